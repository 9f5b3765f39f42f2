"""Appending to an org's log: the one place that gives out sequence numbers.

Owns the rows' way into the log under the lock of the org's head (`head.py`): that
lock is the only sequencer, so commit order is seq order, without a gap. Called by
ingest (`append_batch`) and by every mutation that writes an event (`append`, inside
the mutation's transaction). Never waits for anything but the database while it
holds the head.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import asyncpg
import msgspec
from sqlalchemy import BindParameter, bindparam, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

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
_UNIQUE_ERRORS = (asyncpg.UniqueViolationError, sqlite3.IntegrityError, IntegrityError)


class Appended(msgspec.Struct, frozen=True, gc=False):
    """What became of one event: its id and place; a duplicate names the row stored before.

    One that had expired by its turn was not stored, and has no place: its seq is -1.
    """

    id: str
    seq: int
    duplicate: bool
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
    batch, is a duplicate. Optimistic: the look-up for known ids is made only
    after the insert was refused, because it costs several times the insert.

    `floors_now` is asked once the head is locked: an event that was purged
    before this batch's turn is then known to be too old, and not stored again.
    """
    fresh, earlier = _without_inner_doubles(events)
    try:
        async with database.write() as connection:
            head = await lock_head(connection, org_id)
            kept, stored = _still_visible(fresh, floors_now)
            seqs = await _append_at(connection, org_id, head, kept, recorded_at_ms)
        stored |= {
            e.id: Appended(e.id, s, duplicate=False) for e, s in zip(kept, seqs, strict=True)
        }
    except _UNIQUE_ERRORS:
        stored = await _append_unknown(database, org_id, fresh, recorded_at_ms, floors_now)
    results = []
    for index, event in enumerate(events):
        twin = earlier.get(index)
        if twin is None:
            results.append(stored[event.id])
        else:
            first = stored[twin]
            results.append(first if first.expired else Appended(first.id, first.seq, True))
    return results


def _still_visible(
    events: Sequence[PreparedEvent], floors_now: FloorsNow | None
) -> tuple[list[PreparedEvent], dict[str, Appended]]:
    """Return the events that may be stored, and the verdict on each of the others by its id."""
    if floors_now is None:
        return list(events), {}
    limits = floors_now()
    kept = [e for e in events if limits.visible(e.action, e.created_at_ms)]
    ids = {e.id for e in kept}
    late = [e.id for e in events if e.id not in ids] if len(kept) < len(events) else []
    return kept, {i: Appended(i, -1, duplicate=False, expired=True) for i in late}


def _without_inner_doubles(
    events: Sequence[PreparedEvent],
) -> tuple[list[PreparedEvent], dict[int, str]]:
    """Return the first of each fact, and for each double its index with the first's id."""
    seen: dict[str | bytes, str] = {}
    fresh: list[PreparedEvent] = []
    earlier: dict[int, str] = {}
    for index, event in enumerate(events):
        twin = seen.get(event.id)
        if twin is None and event.source_key is not None:
            twin = seen.get(event.source_key)
        if twin is not None:
            earlier[index] = twin
            continue
        seen[event.id] = event.id
        if event.source_key is not None:
            seen[event.source_key] = event.id
        fresh.append(event)
    return fresh, earlier


async def _append_unknown(
    database: Database,
    org_id: str,
    events: Sequence[PreparedEvent],
    recorded_at_ms: int,
    floors_now: FloorsNow | None,
) -> dict[str, Appended]:
    """The slow path: under the head lock nobody else appends, so look first, then insert."""
    async with database.write() as connection:
        head = await lock_head(connection, org_id)
        events, results = _still_visible(events, floors_now)
        if database.dialect == "postgresql":
            # Statistics of a fresh table make the planner read all of it.
            await connection.execute(text("SET LOCAL enable_seqscan = off"))
        by_id, by_key = await _known(connection, org_id, events)
        unknown = []
        for event in events:
            known = by_id.get(event.id) or by_key.get(event.source_key or b"")
            if known is None:
                unknown.append(event)
            else:
                results[event.id] = Appended(known[0], known[1], duplicate=True)
        seqs = await _append_at(connection, org_id, head, unknown, recorded_at_ms)
    for event, seq in zip(unknown, seqs, strict=True):
        results[event.id] = Appended(event.id, seq, duplicate=False)
    return results


async def _known(
    connection: AsyncConnection, org_id: str, events: Sequence[PreparedEvent]
) -> tuple[dict[str, tuple[str, int]], dict[bytes, tuple[str, int]]]:
    columns = (audit_event.c.id, audit_event.c.seq, audit_event.c.source_key)
    of_org = select(*columns).where(audit_event.c.org_id == org_id)
    by_id: dict[str, tuple[str, int]] = {}
    by_key: dict[bytes, tuple[str, int]] = {}
    ids: BindParameter[Any] = bindparam("ids", [e.id for e in events], expanding=True)
    keys: BindParameter[Any] = bindparam(
        "keys", [e.source_key for e in events if e.source_key], expanding=True
    )
    for condition in (audit_event.c.id.in_(ids), audit_event.c.source_key.in_(keys)):
        for row in await connection.execute(of_org.where(condition)):
            by_id[row.id] = (row.id, row.seq)
            if row.source_key is not None:
                by_key[bytes(row.source_key)] = (row.id, row.seq)
    return by_id, by_key


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
