"""Keeps one throw-away PostgreSQL server and ends it with the process that asked for it.

A program of its own, started by `postgres.py`: it runs the server as a child, and when the owner
process is gone (even by kill -9) or SIGTERM comes, it stops the server by its pid and removes
the folder. Never touches another server.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TypedDict

_POLL_SECONDS = 0.2
_STOP_SECONDS = 20.0


def main() -> None:
    """Take owner pid, folder to remove, "uid:gid" to run as (or empty), then the command."""
    owner, folder, ids, *command = sys.argv[1:]
    asked = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: asked.set())
    with (Path(folder) / "server.log").open("ab") as log:
        server = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **as_account(ids)
        )
    while server.poll() is None and _is_alive(int(owner)) and not asked.wait(_POLL_SECONDS):
        pass
    if server.poll() is None:
        server.send_signal(signal.SIGINT)  # "fast": open transactions are rolled back
        try:
            server.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        shutil.rmtree(folder, ignore_errors=True)


class Account(TypedDict, total=False):
    """The arguments of Popen that make a child run as another user."""

    user: int
    group: int
    extra_groups: list[int]


def as_account(ids: str) -> Account:
    """Turn "uid:gid" into arguments of Popen; none for an empty text."""
    if not ids:
        return {}
    uid, gid = map(int, ids.split(":"))
    return {"user": uid, "group": gid, "extra_groups": []}


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


if __name__ == "__main__":
    main()
