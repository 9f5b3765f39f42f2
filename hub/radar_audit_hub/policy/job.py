"""Ends the overrides of org owners when their day is over, and adopts older documents' alerts.

Owns the rounds. Started by `app.py`; replicas may do the same round, since the org's lock lets one
of them find the override and the others none. Never needed for reading: an override that has ended
is not asked, but what it lengthened ends by the delay that begins here.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import NoReturn

from radar_audit_hub.changes import changing_by_itself
from radar_audit_hub.context import Hub
from radar_audit_hub.errors import NotFoundError
from radar_audit_hub.polling import poll_forever
from radar_audit_hub.retention.in_force import HOUR_MS
from radar_audit_hub.store.owners import (
    delete_ended_override,
    orgs_with_ended_override,
)

from .adopting import adopt_older
from .settling import LEAST_RELEASE_DELAY_HOURS, settle

ROUND_SECONDS = 60.0
_logger = logging.getLogger(__name__)


async def end_overrides(hub: Hub) -> int:
    """End the overrides that are over and return how many this replica ended."""
    async with hub.db.read() as conn:
        orgs = await orgs_with_ended_override(conn, hub.now_ms())
    ended = 0
    for org_id in orgs:
        try:
            async with changing_by_itself(hub) as change:
                org = await change.lock(org_id)
                if await delete_ended_override(change.conn, org_id, change.now_ms):
                    delay_ms = LEAST_RELEASE_DELAY_HOURS * HOUR_MS
                    await settle(change.conn, org, now_ms=change.now_ms, delay_ms=delay_ms)
                    ended += 1
        except NotFoundError:  # the org is deleted: nothing counts there any more
            continue
    return ended


async def run_forever(hub: Hub) -> NoReturn:
    """Do a round a minute; a failed one is logged, the next one tried."""
    has_adopted = False

    async def look() -> None:
        nonlocal has_adopted
        await end_overrides(hub)
        if not has_adopted:
            await adopt_older(hub)
        has_adopted = True

    pause = partial(asyncio.sleep, ROUND_SECONDS)
    await poll_forever(look, pause, logger=_logger, trouble="a round over ended overrides failed")
