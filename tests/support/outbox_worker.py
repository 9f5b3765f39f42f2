"""A replica that does nothing but outgoing work, to be killed: `outbox_worker.py URL FILE NUMBER`.

Owns a hub without listener. Its clock shows only times that tell its number, so that whose a
claim is can be read off the claim's end. Its handler writes one line when it begins and one when
it ends.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from functools import partial

from radar_audit_hub.context import Hub
from radar_audit_hub.outbox.delivery import Delivery
from radar_audit_hub.outbox.job import run_forever
from radar_audit_hub.settings import HubSettings
from radar_audit_hub.store.database import Database

NUMBERS = 32  # replicas that can be told apart; CLAIM_MS is a multiple of it


def numbered_ms(number: int) -> int:
    """Return the time in milliseconds, but for the rest by NUMBERS: that is the replica's."""
    now_ms = time.time_ns() // 1_000_000
    return now_ms - now_ms % NUMBERS + number


async def work(url: str, path: str, number: int) -> None:
    """Do work until killed."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND)

    async def handle(_hub: Hub, delivery: Delivery) -> None:
        os.write(file, f"begun-{delivery.payload['number']}\n".encode())
        await asyncio.sleep(0.01)
        os.write(file, f"ended-{delivery.payload['number']}\n".encode())

    db = await Database.open(url)
    settings, clock = HubSettings(database_url=url), partial(numbered_ms, number)
    hub = Hub.create(db, settings, now_ms=clock, random_bytes=os.urandom)
    await run_forever(hub, {"k": handle}, poll_seconds=0.02)


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1], sys.argv[2], int(sys.argv[3])))
