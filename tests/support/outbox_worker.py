"""A replica that does nothing but outgoing work, to be killed: `outbox_worker.py URL FILE`.

Owns a hub without listener whose clock runs a hundred times too fast, so that a dead replica's
claims run out within seconds. Its handler writes one line when it begins and one when it ends.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time

from radar_audit_hub.context import Hub
from radar_audit_hub.outbox.delivery import Delivery
from radar_audit_hub.outbox.job import run_forever
from radar_audit_hub.settings import HubSettings
from radar_audit_hub.store.database import Database

SPEED = 100
_EPOCH_MS = 1_600_000_000_000


def fast_ms() -> int:
    """Return a time that all workers of this machine agree on, in milliseconds."""
    now_ms = time.time_ns() // 1_000_000
    return now_ms + (now_ms - _EPOCH_MS) * (SPEED - 1)


async def work(url: str, path: str) -> None:
    """Do work until killed."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND)

    async def handle(_hub: Hub, delivery: Delivery) -> None:
        os.write(file, f"begun-{delivery.payload['number']}\n".encode())
        await asyncio.sleep(0.01)
        os.write(file, f"ended-{delivery.payload['number']}\n".encode())

    db = await Database.open(url)
    hub = Hub.create(db, HubSettings(database_url=url), now_ms=fast_ms, random_bytes=os.urandom)
    await run_forever(hub, {"k": handle}, poll_seconds=0.02)


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1], sys.argv[2]))
