"""Records who reads the log, where an org has turned `record_log_access` on.

Owns both events: `audit.exported` for each export, as far as it got, and `audit.viewed` once a
reader and hour. Called by the read routes; the job that writes the hours is started by `app.py`.
Never refuses a read for its own trouble: what could not be recorded is logged as an error.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from functools import partial
from typing import NoReturn

from aiohttp import web
from radar_audit_events.ids import format_ms

from radar_audit_hub.auth.access import require
from radar_audit_hub.auth.principal import LOG_READERS, READ_SCOPE, Principal
from radar_audit_hub.changes import changing_by_itself
from radar_audit_hub.context import HUB, Hub
from radar_audit_hub.errors import NotFoundError
from radar_audit_hub.polling import poll_forever
from radar_audit_hub.store.log_views import LogView, count_view, orgs_with_views, take_views

HOUR_MS = 3_600_000
ROUND_SECONDS = 60.0
_AT_ONCE = 100
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Reader:
    user_id: str
    email: str
    pat_name: str | None


async def reader_of(request: web.Request) -> Principal:
    """Return who reads the log, if they may, and count the request where the org wants that.

    Raises as `require`.
    """
    caller = await require(request, *LOG_READERS, scope=READ_SCOPE)
    await note_read(request.app[HUB], caller)
    return caller


async def note_read(hub: Hub, caller: Principal) -> None:
    """Count one read of the log by somebody who may, where the org wants that."""
    if not caller.records_log_access:
        return
    now_ms = hub.now_ms()
    view = LogView(
        org_id=caller.org_id,
        user_id=caller.user_id,
        email=caller.email,
        pat_name=caller.pat_name or "",
        hour_ms=now_ms - now_ms % HOUR_MS,
    )
    async with hub.own_turn(caller.user_id):
        try:
            async with hub.db.write() as conn:
                await count_view(conn, view)
        except Exception:  # the read itself may still succeed
            _logger.exception("a read of the log could not be counted")


async def note_export(hub: Hub, caller: Principal, form: str, query: str, rows: int) -> None:
    """Record an export, also one that was cut: `rows` is how many were sent."""
    if not caller.records_log_access:
        return
    metadata = {"format": form, "query": query, "rows": rows}
    try:
        async with changing_by_itself(hub, caller) as change:
            change.note(caller.org_id, "audit.exported", caller.org_id, metadata)
    except Exception:  # the rows are out already
        _logger.exception("an export of the log could not be recorded")


async def write_hours(hub: Hub) -> int:
    """Write the events of the hours that are over and return how many."""
    now_ms = hub.now_ms()
    before_ms = now_ms - now_ms % HOUR_MS
    async with hub.db.read() as conn:
        orgs = await orgs_with_views(conn, before_ms, _AT_ONCE)
    written = 0
    for org_id in orgs:
        written += await _write_org(hub, org_id, before_ms)
    return written


async def _write_org(hub: Hub, org_id: str, before_ms: int) -> int:
    async with changing_by_itself(hub) as change:
        try:
            await change.lock(org_id)
            is_living = True
        except NotFoundError:  # nobody reads the log of a deleted org
            is_living = False
        views = await take_views(change.conn, org_id, before_ms, _AT_ONCE)
        for view in views if is_living else ():
            change.actor = _Reader(view.user_id, view.email, view.pat_name or None)
            metadata = {"hour": format_ms(view.hour_ms), "requests": view.requests}
            change.note(org_id, "audit.viewed", org_id, metadata)
    return len(views) if is_living else 0


async def run_forever(hub: Hub) -> NoReturn:
    """Do a round a minute; a failed one is logged, the next one tried."""
    await poll_forever(
        partial(write_hours, hub),
        partial(asyncio.sleep, ROUND_SECONDS),
        logger=_logger,
        trouble="the reads of the log could not be recorded",
    )
