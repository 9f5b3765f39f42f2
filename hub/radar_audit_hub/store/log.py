"""Appending to an org's log: the one place that gives out sequence numbers.

Owns the rows' way into the log under the lock of the org's head (`head.py`): that
lock is the only sequencer, so commit order is seq order, without a gap. Called by
ingest (`append_batch`) and by every mutation that writes an event (`append`, inside
the mutation's transaction). Never waits for anything but the database while it
holds the head.
"""

from __future__ import annotations

import logging
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import asyncpg
import msgspec
from sqlalchemy import BindParameter, bindparam, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from radar_audit_hub.ingest.facts import Known, is_same_fact, kept_apart, own_key
from radar_audit_hub.ingest.prepare import PreparedEvent
from radar_audit_hub.retention.policy import DAY_MS, Floors

from .database import Database, driver
from .head import Head, advance, full_tiles, lock_head
from .schema import audit_event

COLUMNS = tuple(column.name for column in audit_event.columns)
_INSERT_SQLITE = (
    f"INSERT INTO audit_event ({', '.join(COLUMNS)}) "  # noqa: S608 - names from our own table
    f"VALUES ({', '.join('?' * len(COLUMNS))})"
)
FloorsNow = Callable[[], Floors]
S = TypeVar("S", Known, PreparedEvent)
_logger = logging.getLogger(__name__)
_UNIQUE_ERRORS = (asyncpg.UniqueViolationError, sqlite3.IntegrityError, IntegrityError)


class Appended(msgspec.Struct, frozen=True, gc=False):
    """What became of one event: its id and place; a duplicate names the row stored before.

    One that had expired by its turn was not stored, and has no place: its seq is -1.
    """

    id: str
    seq: int
    duplicate: bool = False
    expired: bool = False

    @property
    def is_new(self) -> bool:
        """Whether a row was written for it."""
        return not (self.duplicate or self.expired)


async def append(
    connection: AsyncConnection,
    org_id: str,
    events: Sequence[PreparedEvent],
    recorded_at_ms: int,
) -> list[int]:
    """Append events inside the caller's `write()` transaction and return their seqs.

    The ids must be new: a duplicate raises the driver's integrity error and
    spoils the transaction. `recorded_at_ms` is Unix milliseconds.
    """
    if not events:
        return []
    return await _append_at(
        connection, org_id, await lock_head(connection, org_id), events, recorded_at_ms
    )


async def _append_at(
    connection: AsyncConnection,
    org_id: str,
    head: Head,
    events: Sequence[PreparedEvent],
    recorded_at_ms: int,
) -> list[int]:
    if not events:
        return []
    first = head.next_seq
    await _insert_rows(connection, org_id, events, first, recorded_at_ms)
    leaves = [event.leaf_hash for event in events]
    tiles = await full_tiles(connection, org_id, first, leaves)
    head.frontier.extend(leaves)
    counts = Counter([(e.created_at_ms // DAY_MS, e.action) for e in events])
    await advance(connection, org_id, head.frontier, tiles, counts)
    return list(range(first, first + len(events)))


async def append_batch(
    database: Database,
    org_id: str,
    events: Sequence[PreparedEvent],
    recorded_at_ms: int,
    floors_now: FloorsNow | None = None,
) -> list[Appended]:
    """Append what is new of a batch, in a transaction of its own; one result per event.

    An event whose id or source key is stored already, or stands earlier in the
    batch, is a duplicate, unless it states another fact (`ingest/facts.py`).
    Optimistic: the look-up for known ids is made only after the insert was
    refused, because it costs several times the insert.

    `floors_now` is asked once the head is locked: an event that was purged
    before this batch's turn is then known to be too old, and not stored again.
    """
    fresh, answered_by = _without_inner_doubles(events)
    try:
        async with database.write() as connection:
            head = await lock_head(connection, org_id)
            kept = _visible(fresh, floors_now)
            seqs = iter(await _append_at(connection, org_id, head, kept, recorded_at_ms))
        ids = {e.id for e in kept}
        stored = [Appended(e.id, next(seqs)) if e.id in ids else _expired(e) for e in fresh]
    except _UNIQUE_ERRORS:
        stored = await _append_unknown(database, org_id, fresh, recorded_at_ms, floors_now)
    results = []
    told: set[int] = set()
    for place in answered_by:
        first = stored[place]
        again = place in told and not first.expired
        results.append(Appended(first.id, first.seq, duplicate=True) if again else first)
        told.add(place)
    return results


def _visible(
    events: Sequence[PreparedEvent], floors_now: FloorsNow | None
) -> Sequence[PreparedEvent]:
    """Return the events that are young enough to be stored."""
    if floors_now is None:
        return events
    limits = floors_now()
    return [e for e in events if limits.visible(e.action, e.created_at_ms, e.cluster_id)]


def _expired(event: PreparedEvent) -> Appended:
    return Appended(event.id, -1, expired=True)


def _without_inner_doubles(
    events: Sequence[PreparedEvent],
) -> tuple[list[PreparedEvent], list[int]]:
    """Return the first of each fact, and for each event the place of the one that stands for it.

    What shares a name but is another fact stays: the insert will be refused for it.
    """
    seen: dict[str | bytes | None, int] = {}
    fresh: list[PreparedEvent] = []
    answered_by: list[int] = []
    for event in events:
        place = len(fresh)
        if event.id in seen or event.source_key in seen:
            holder = seen[event.id] if event.id in seen else seen[event.source_key]
            if _repeats(fresh[holder], event):
                place = holder
            else:
                place = seen.setdefault(own_key(event), place)
        if place == len(fresh):
            fresh.append(event)
            seen.setdefault(event.id, place)
            if event.source_key is not None:
                seen.setdefault(event.source_key, place)
        answered_by.append(place)
    return fresh, answered_by


def _names(event: PreparedEvent) -> tuple[str | bytes, ...]:
    return (event.id,) if event.source_key is None else (event.id, event.source_key)


def _twin(found: Mapping[str | bytes, S], event: PreparedEvent) -> S | None:
    return next((found[name] for name in _names(event) if name in found), None)


def _repeats(known: Known | PreparedEvent, event: PreparedEvent) -> bool:
    return event.source_key is None or is_same_fact(known, event)


async def _append_unknown(
    database: Database,
    org_id: str,
    events: Sequence[PreparedEvent],
    recorded_at_ms: int,
    floors_now: FloorsNow | None,
) -> list[Appended]:
    """The slow path: under the head lock nobody else appends, so look first, then insert."""
    async with database.write() as connection:
        head = await lock_head(connection, org_id)
        visible = _visible(events, floors_now)
        if database.dialect == "postgresql":
            # Statistics of a fresh table make the planner read all of it.
            await connection.execute(text("SET LOCAL enable_seqscan = off"))
        stored = await _known(connection, org_id, visible)
        rivals = _rivals(org_id, visible, stored)
        if rivals:
            _logger.warning("session ids came again for others", extra={"events": len(rivals)})
            stored |= await _known(connection, org_id, list(rivals.values()))
        own = {event: rivals.get(event, event) for event in visible}
        new = [event for event in own.values() if _twin(stored, event) is None]
        seqs = await _append_at(connection, org_id, head, new, recorded_at_ms)
    places = {event: Appended(event.id, seq) for event, seq in zip(new, seqs, strict=True)}
    for event in own.values():
        known = _twin(stored, event)
        if known is not None:
            places[event] = Appended(known.id, known.seq, duplicate=True)
    return [places[own[event]] if event in own else _expired(event) for event in events]


def _rivals(
    org_id: str, events: Sequence[PreparedEvent], stored: Mapping[str | bytes, Known]
) -> dict[PreparedEvent, PreparedEvent]:
    """Return the events whose name another fact has, stored or earlier, in a form of their own."""
    earlier: dict[str | bytes, PreparedEvent] = {}
    rivals: dict[PreparedEvent, PreparedEvent] = {}
    for event in events:
        holder = _twin(stored, event) or _twin(earlier, event)
        if holder is None:
            earlier.update(dict.fromkeys(_names(event), event))
        elif not _repeats(holder, event):
            rivals[event] = kept_apart(org_id, event)
    return rivals


async def _known(
    connection: AsyncConnection, org_id: str, events: Sequence[PreparedEvent]
) -> dict[str | bytes, Known]:
    """Return the stored rows that share an id or a source key with the events, by either."""
    columns = [audit_event.c[name] for name in ("id", "seq", "target_id", "created_at", "metadata")]
    of_org = select(*columns, audit_event.c.source_key).where(audit_event.c.org_id == org_id)
    found: dict[str | bytes, Known] = {}
    ids: BindParameter[Any] = bindparam("ids", [e.id for e in events], expanding=True)
    keys: BindParameter[Any] = bindparam(
        "keys", [e.source_key for e in events if e.source_key], expanding=True
    )
    for condition in (audit_event.c.id.in_(ids), audit_event.c.source_key.in_(keys)):
        for *facts, key in await connection.execute(of_org.where(condition)):
            known = Known(*facts)
            found[known.id] = known
            if key is not None:
                found[bytes(key)] = known
    return found


async def _insert_rows(
    connection: AsyncConnection,
    org_id: str,
    events: Sequence[PreparedEvent],
    first: int,
    recorded_at_ms: int,
) -> None:
    rows: list[tuple[Any, ...]] = [
        (
            org_id,
            seq,
            e.id,
            e.actor_user_id,
            e.actor_email,
            e.action,
            e.target_type,
            e.target_id,
            e.cluster_id,
            e.source_key,
            e.metadata,
            e.created_at_ms,
            recorded_at_ms,
            e.pii_commitment,
            e.pii_salt,
            e.leaf_hash,
        )
        for seq, e in enumerate(events, first)
    ]
    raw = await driver(connection)
    if connection.dialect.name == "postgresql":
        await raw.copy_records_to_table("audit_event", records=rows, columns=COLUMNS)
    else:
        await raw.executemany(_INSERT_SQLITE, rows)
