"""A replica that does nothing but follow logs, to be killed: `following_worker.py URL`.

Owns a hub without listener on the fast clock of `outbox_worker.py`, so that a dead replica's
claim runs out, and digests end, within moments.
"""

from __future__ import annotations

import asyncio
import os
import sys

from radar_audit_hub.context import Hub
from radar_audit_hub.notify.following.job import run_forever
from radar_audit_hub.settings import HubSettings
from radar_audit_hub.store.database import Database

from tests.support.outbox_worker import fast_ms


async def work(url: str) -> None:
    """Follow until killed."""
    db = await Database.open(url)
    hub = Hub.create(db, HubSettings(database_url=url), now_ms=fast_ms, random_bytes=os.urandom)
    await run_forever(hub)


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1]))
