"""Notices that no request makes: clusters that fall silent or come back, disabled destinations.

Owns the rounds. Started by `app.py` on every replica; each notice is told under the org's lock, by
a row that only one can write, so that neither a second replica nor a restart tells it again. A
cluster that is back before it was told to be gone is never told of.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import NoReturn

from radar_audit_hub.changes import changing_by_itself
from radar_audit_hub.clusters.silence import Listening
from radar_audit_hub.context import Hub
from radar_audit_hub.errors import NotFoundError
from radar_audit_hub.polling import EveryNth, poll_forever
from radar_audit_hub.store import inbox
from radar_audit_hub.store.notify_destinations import disabled_since, get_destination
from radar_audit_hub.store.presence import (
    SeenCluster,
    note_back,
    note_gone,
    returned_clusters,
    seen_cluster,
    silent_clusters,
)

from . import words
from .telling import tell

ROUND_SECONDS = 10.0
TIDY_ROUNDS = 360
_AT_ONCE = 200
_CAUGHT_UP_MS = 24 * 60 * 60 * 1000  # a disabled destination is told of so long after it happened
_logger = logging.getLogger(__name__)


async def tell_clusters(hub: Hub) -> int:
    """Tell of the clusters that fell silent or came back; return how many notices that was."""
    silence_ms = int(hub.settings.notify.disconnected_after_seconds * 1000)
    now_ms = hub.now_ms()
    async with hub.db.read() as conn:
        back = await returned_clusters(conn, now_ms - silence_ms, _AT_ONCE)
        gone = await silent_clusters(conn, now_ms - silence_ms, _AT_ONCE)
    told = 0
    for found in (*back, *gone):
        told += await _tell_one(hub, found, silence_ms)
    if told:
        hub.deliveries.wake()
    return told


async def _tell_one(hub: Hub, found: SeenCluster, silence_ms: int) -> bool:
    """Look at a cluster again under its org's lock, and tell what is so now."""
    try:
        async with changing_by_itself(hub) as change:
            await change.lock(found.org_id)
            now = await seen_cluster(change.conn, found.org_id, found.cluster_id)
            if now is None:
                return False
            is_silent = now.last_seen_at < change.now_ms - silence_ms
            if now.gone_at is None:
                if not is_silent or not await note_gone(change.conn, now, change.now_ms):
                    return False
                await tell(change, now.org_id, words.disconnected(now))
                return True
            if is_silent or not await note_back(change.conn, now.org_id, now.cluster_id):
                return False
            await tell(change, now.org_id, words.reconnected(now, now.gone_at))
            return True
    except NotFoundError:  # the org was deleted a moment ago
        return False


async def tell_disabled(hub: Hub) -> int:
    """Tell of destinations that were disabled lately; return how many people hear of it anew.

    Who disabled one tells of it at once; what a crash kept from it is caught up with here.
    """
    async with hub.db.read() as conn:
        found = await disabled_since(conn, hub.now_ms() - _CAUGHT_UP_MS, _AT_ONCE)
    told = 0
    for row in found:
        told += await tell_owners(hub, row.org_id, row.id)
    return told


async def on_disabled(hub: Hub, org_id: str, destination_id: str, _: str) -> None:
    """Tell an org's owners of a destination that was just disabled."""
    await tell_owners(hub, org_id, destination_id)


async def tell_owners(hub: Hub, org_id: str, destination_id: str) -> int:
    """Tell an org's owners of a destination that is disabled, once for each time that it is."""
    try:
        async with changing_by_itself(hub) as change:
            await change.lock(org_id)
            row = await get_destination(change.conn, org_id, destination_id)
            if row is None or row.disabled_at is None:
                return 0
            notice = words.disabled(
                org_id,
                row.id,
                name=row.name,
                reason=row.disabled_reason or "its receiver wants no more",
                at_ms=row.disabled_at,
            )
            return await tell(change, org_id, notice)
    except NotFoundError:
        return 0


async def run_forever(
    hub: Hub, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> NoReturn:
    """Do a round every ROUND_SECONDS; a failed one is logged, the next one tried."""
    silence_ms = int(hub.settings.notify.disconnected_after_seconds * 1000)
    listening = Listening(hub.now_ms(), silence_ms)
    tidying = EveryNth(TIDY_ROUNDS)

    async def look() -> None:
        await hub.db.ping()
        if listening.goes_on(hub.now_ms()):
            await tell_clusters(hub)
        await tell_disabled(hub)
        if tidying.is_due():
            async with hub.db.write() as conn:
                await inbox.forget_surplus(conn)

    await poll_forever(
        look,
        partial(sleep, ROUND_SECONDS),
        logger=_logger,
        trouble="a round over notices failed",
        failed=lambda: listening.breaks(hub.now_ms()),
    )
