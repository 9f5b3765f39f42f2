"""A replica that does nothing but follow logs, to be killed: `following_worker.py URL`.

Owns a hub without listener whose clock runs a hundred times too fast, so that a dead replica's
claim runs out, and digests end, within moments.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time

from radar_audit_hub.context import Hub
from radar_audit_hub.notify.following.job import run_forever
from radar_audit_hub.settings import HubSettings
from radar_audit_hub.store.database import Database

SPEED = 100
_EPOCH_MS = 1_600_000_000_000


def fast_ms() -> int:
    """Return a time that all workers of this machine agree on, in milliseconds."""
    now_ms = time.time_ns() // 1_000_000
    return now_ms + (now_ms - _EPOCH_MS) * (SPEED - 1)


async def work(url: str) -> None:
    """Follow until killed."""
    db = await Database.open(url)
    hub = Hub.create(db, HubSettings(database_url=url), now_ms=fast_ms, random_bytes=os.urandom)
    await run_forever(hub)


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1]))
