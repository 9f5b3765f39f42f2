"""Ends the terminals of collectors that fell silent, and records what may be lost with them.

Owns the job, started by `app.py`, and what follows from an instance's silence of SILENT_MS: an
assumed end for each terminal that it had open and that nobody else has ended or still sees, and
a gap where something is known to be missing. One transaction per instance holds its ends, its
gap and the note that it is dealt with; the lease only saves replicas the same work. A real end
that comes later is stored beside the assumed one (`ingest/late_ends.py`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from typing import NoReturn

import msgspec
from radar_audit_events import ids
from radar_audit_events.codec import SALT_BYTES
from radar_audit_events.event import Event

from radar_audit_hub.context import Hub
from radar_audit_hub.ingest.prepare import PreparedEvent, prepare
from radar_audit_hub.polling import poll_forever
from radar_audit_hub.retention.job import Lease
from radar_audit_hub.store.collectors import GapRow, save_gaps, silent_gap_id
from radar_audit_hub.store.control import lock_org
from radar_audit_hub.store.database import Connection
from radar_audit_hub.store.facts import StoredFact, stored_facts
from radar_audit_hub.store.head import lock_head
from radar_audit_hub.store.log import append
from radar_audit_hub.store.silence import (
    SilentInstance,
    note_assumed,
    sessions_held,
    settle,
    silent_instances,
)

SILENT_MS = 10 * 60 * 1000  # capture design: silent for ten minutes
ROUND_SECONDS = 30.0
MAX_DEAF_MS = 120_000  # a longer pause between two looks is one in which heartbeats may have failed
LEASE = "silent collectors"
GAP_REASON = "the collector fell silent"
_AT_ONCE = 100
_PLACE = ("cluster_id", "cluster_name", "namespace", "pod", "session_id", "container")
_logger = logging.getLogger(__name__)


def assumed_end(start: StoredFact, silent: SilentInstance, session_id: str) -> Event:
    """Return the end that is assumed of a session: it was open when last heard of, no longer."""
    begun = msgspec.json.decode(start.metadata)
    ended_ms = max(start.created_at_ms, silent.last_seen_at_ms)
    metadata = {name: begun[name] for name in _PLACE if name in begun} | {
        "duration_ms": ended_ms - start.created_at_ms,
        "end_reason": "assumed",
        "observed": False,
        "started_at": ids.format_ms(start.created_at_ms),
    }
    key = ids.source_key(silent.cluster_id, session_id, "assumed")
    return Event(
        id=ids.event_id(ended_ms, key),
        org_id=silent.org_id,
        action="pod.exec_ended",
        target_type="pod",
        target_id=start.target_id,
        created_at_ms=ended_ms,
        metadata=metadata,
        actor_user_id=start.actor_user_id,
        actor_email=start.actor_email,
        cluster_id=silent.cluster_id,
    )


def gap_of(silent: SilentInstance, ended: int, never_begun: int, now_ms: int) -> GapRow | None:
    """Return the gap that an instance leaves, None if nothing is known to be missing.

    `ended` terminals got an assumed end, of `never_begun` not even the start had come. What a
    former instance's spool held is not lost as long as its terminals were ended properly: the
    instance that came after it has that spool.
    """
    count = ended + never_begun + (silent.waiting_events or 0)
    if not count:
        return None
    return GapRow(
        org_id=silent.org_id,
        cluster_id=silent.cluster_id,
        gap_id=silent_gap_id(silent.collector_id, silent.instance_id),
        collector_id=silent.collector_id,
        from_at_ms=silent.last_seen_at_ms,
        to_at_ms=now_ms,
        count=count,
        reason=GAP_REASON,
        recorded_at_ms=now_ms,
    )


async def run_round(hub: Hub, lease: Lease) -> int:
    """Deal with all instances that are silent now; return how many terminals were ended."""
    ended = 0
    while await lease.keep():
        async with hub.db.read() as conn:
            found = await silent_instances(conn, hub.now_ms() - SILENT_MS, _AT_ONCE)
        for silent in found:
            ended += await end_sessions_of(hub, silent)
        if len(found) < _AT_ONCE:
            return ended
    return ended


async def end_sessions_of(hub: Hub, silent: SilentInstance) -> int:
    """Deal with one instance in one transaction; return how many terminals were ended."""
    async with hub.db.write() as conn:
        # In the order of every change: org, head, then the rows that collectors write.
        org = await lock_org(conn, silent.org_id)
        await lock_head(conn, silent.org_id)  # nobody stores an end while ours is decided on
        now_ms = hub.now_ms()
        if not await settle(conn, silent, now_ms):
            return 0  # it came back, or another replica was here
        if org is None or org.deleted_at_ms is not None:
            return 0
        since_ms = now_ms - SILENT_MS
        held = await sessions_held(
            conn, silent.org_id, silent.cluster_id, since_ms, silent.open_sessions
        )
        events, never_begun = await _ends(hub, conn, silent, held)
        await append(conn, silent.org_id, events, now_ms)
        if events:
            await note_assumed(conn, silent.org_id, silent.cluster_id, now_ms)
        gap = gap_of(silent, len(events), never_begun, now_ms)
        if gap is not None:
            await save_gaps(conn, [gap])
    if events:
        hub.signal.notify(silent.org_id)
    return len(events)


async def _ends(
    hub: Hub, conn: Connection, silent: SilentInstance, held: Collection[str]
) -> tuple[list[PreparedEvent], int]:
    """Return the assumed ends to store, and how many terminals never had a start here."""
    names = dict.fromkeys(name for name in silent.open_sessions if name not in held)
    keys = {name: _keys(silent.cluster_id, name) for name in names}
    stored = await stored_facts(conn, silent.org_id, [key for of in keys.values() for key in of])
    events, never_begun = [], 0
    for name, (started, *ends) in keys.items():
        if any(end in stored for end in ends):
            continue
        if started not in stored:
            never_begun += 1
            continue
        event = assumed_end(stored[started], silent, name)
        key = ids.source_key(silent.cluster_id, name, "assumed")
        events.append(prepare(event, hub.random_bytes(SALT_BYTES), key))
    return events, never_begun


def _keys(cluster_id: str, session_id: str) -> tuple[bytes, bytes, bytes]:
    started, ended, assumed = (
        ids.source_key(cluster_id, session_id, kind) for kind in ("started", "ended", "assumed")
    )
    return started, ended, assumed


class Listening:
    """Since when this hub could have heard of collectors, without a break; times are Unix ms.

    A hub that was down, stood still or had no database has heard of nobody: all would seem silent.
    """

    def __init__(self, now_ms: int, silence_ms: int = SILENT_MS) -> None:
        """Begin to listen at `now_ms`, for silences of `silence_ms`."""
        self._silence_ms = silence_ms
        self._since_ms = self._last_ms = now_ms

    def goes_on(self, now_ms: int) -> bool:
        """Note that all is well; tell whether it has been for as long as silence must last."""
        if not 0 <= now_ms - self._last_ms <= MAX_DEAF_MS:
            self._since_ms = now_ms
        self._last_ms = now_ms
        return now_ms - self._since_ms >= self._silence_ms

    def breaks(self, now_ms: int) -> None:
        """Note that nobody could be heard just now."""
        self._since_ms = self._last_ms = now_ms


async def run_forever(
    hub: Hub, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> NoReturn:
    """Do a round every ROUND_SECONDS; a failed one is logged, the next one tried."""
    lease = Lease(hub.db, hub.now_ms, hub.random_bytes(8).hex(), LEASE)
    listening = Listening(hub.now_ms())

    async def look() -> None:
        await hub.db.ping()
        if listening.goes_on(hub.now_ms()) and (ended := await run_round(hub, lease)):
            extra = {"terminals": ended}
            _logger.warning("took terminals of silent collectors as ended", extra=extra)

    await poll_forever(
        look,
        partial(sleep, ROUND_SECONDS),
        logger=_logger,
        trouble="a round over silent collectors failed",
        failed=lambda: listening.breaks(hub.now_ms()),
    )
