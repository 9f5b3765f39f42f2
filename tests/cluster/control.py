"""The words between a cluster's first process and whoever commands it: one request, one answer.

Owns both ends' form (a line of JSON each) and the client. The provider `machine` asks,
`machine_init` answers. The socket lies in the cluster's folder, which only its owner can enter.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.errors import ClusterError

_ANSWER_SECONDS = 15.0


@dataclass(frozen=True)
class Process:
    """A process that the cluster started; `ended` says how it ended ("exit 1", "signal 9")."""

    name: str
    ended: str | None


def start(control: Path, name: str, argv: list[str], log: Path) -> None:
    """Start `argv` as the process `name`; its output is appended to `log`."""
    _ask(control, {"do": "start", "name": name, "argv": argv, "log": str(log)})


def stop(control: Path, name: str, signal_name: str, wait_seconds: float) -> bool:
    """Send "TERM" or "KILL" to the process `name`; return whether it ended within the time."""
    request = {"do": "stop", "name": name, "signal": signal_name, "wait_seconds": wait_seconds}
    return bool(_ask(control, request, _ANSWER_SECONDS + wait_seconds)["ended"])


def processes(control: Path) -> dict[str, Process]:
    """Return the processes that were started, by name."""
    answer = _ask(control, {"do": "list"})
    return {name: Process(name, ended) for name, ended in answer["processes"].items()}


def first_process(control: Path) -> int:
    """Return the pid, as this machine counts, of the process that listens on `control`.

    OSError (ConnectionRefusedError, FileNotFoundError) when nobody listens.
    """
    with socket.socket(socket.AF_UNIX) as peer, short_name(control) as name:
        peer.settimeout(_ANSWER_SECONDS)
        peer.connect(name)
        told = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        peer.sendall(encoded({"do": "list"}))
        peer.makefile("rb").readline()
    return int.from_bytes(told[:4], "little")


@contextlib.contextmanager
def short_name(path: Path) -> Iterator[str]:
    """Yield a name of `path` that fits a socket's address, which holds 107 bytes, however long."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def encoded(message: Mapping[str, Any]) -> bytes:
    """Return the line of `message`."""
    return json.dumps(message).encode() + b"\n"


def _ask(
    control: Path, request: Mapping[str, Any], timeout_seconds: float = _ANSWER_SECONDS
) -> dict[str, Any]:
    try:
        with socket.socket(socket.AF_UNIX) as peer, short_name(control) as name:
            peer.settimeout(timeout_seconds)
            peer.connect(name)
            peer.sendall(encoded(request))
            line = peer.makefile("rb").readline()
    except OSError as error:
        raise ClusterError(f"the cluster does not answer on {control} ({error})") from error
    if not line:
        raise ClusterError(f"the cluster hung up on {control}")
    answer: dict[str, Any] = json.loads(line)
    if "error" in answer:
        raise ClusterError(answer["error"])
    return answer
