"""Replicas that do nothing but deliver, to be killed: `notify_worker.py URL CA_FILE`.

Owns a process that has imported all there is and forks one replica per line of its input, whose
pid it prints. The replicas' clock runs too fast, so that a dead one's lanes run out in a second.
"""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import sys
import time
from pathlib import Path

from radar_audit_hub import outbound
from radar_audit_hub.context import Hub
from radar_audit_hub.notify.sending.job import run_forever
from radar_audit_hub.settings import HubSettings
from radar_audit_hub.settings_notify import NotifySettings
from radar_audit_hub.store.database import Database

SPEED = 100
KEY = base64.b64encode(b"k" * 32).decode()
PATIENCE_SECONDS = 600.0  # a machine that stands still for a while is no receiver that hangs
_EPOCH_MS = 1_600_000_000_000


def fast_ms() -> int:
    """Return a time that all replicas of this machine agree on, in milliseconds."""
    now_ms = time.time_ns() // 1_000_000
    return now_ms + (now_ms - _EPOCH_MS) * (SPEED - 1)


async def work(url: str, ca_file: str) -> None:
    """Deliver until killed."""
    notify = NotifySettings(
        allowed_networks=("127.0.0.0/8",), ca_file=Path(ca_file), timeout_seconds=PATIENCE_SECONDS
    )
    settings = HubSettings(database_url=url, secrets_key=KEY, notify=notify)
    db = await Database.open(url)
    hub = Hub.create(db, settings, now_ms=fast_ms, random_bytes=os.urandom)
    await run_forever(hub, poll_seconds=0.02)


def main() -> None:
    """Fork a replica for each line."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # none stays a zombie
    outbound.CONNECT_SECONDS = PATIENCE_SECONDS
    for _ in sys.stdin:
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            asyncio.run(work(*sys.argv[1:]))
            os._exit(1)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
