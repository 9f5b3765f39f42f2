"""Deleting what has expired, in small steps, each with its receipt.

Owns the order of a purge: keep the leaf hashes that no full tile holds yet,
delete, take the day counts back, move `min_seq`, write the receipt, all in one
transaction. Called by the retention job and the admin command. Never deletes a
row that a read path would still show: what has expired is asked again under the org's lock, since
its plan may have grown since the round began.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from radar_audit_events.chain import TILE_WIDTH
from radar_audit_events.event import Event
from radar_audit_events.ids import event_id, floor_id
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from radar_audit_hub.ingest.prepare import prepare
from radar_audit_hub.retention.policy import DAY_MS, RECEIPT_ACTION, Expiry, Floors

from .control import lock_org
from .database import Database, fetch
from .head import add_day_counts, lock_head, save_tile, tile_hashes
from .log import append
from .schema import audit_event, audit_log_head
from .sql import Arguments, floor_sql

MAX_RANGES = 100  # ranges of seqs that one receipt lists
ExpiryNow = Callable[[AsyncConnection], Awaitable[Expiry]]


def _expired_sql(org_id: str, floors: Floors, args: Arguments) -> str:
    return (
        f"org_id = {args.add(org_id)} AND id < {args.add(floor_id(floors.highest()))} "
        f"AND NOT {floor_sql(floors, args)}"
    )


async def expired_count(database: Database, org_id: str, floors: Floors) -> int:
    """Return how many rows a purge would delete now."""
    args = Arguments(database.dialect)
    sql = f"SELECT count(*) FROM audit_event WHERE {_expired_sql(org_id, floors, args)}"  # noqa: S608 - arguments only
    async with database.read() as connection:
        rows = await fetch(connection, sql, args.values)
    return int(rows[0][0])


def _ranges(seqs: Sequence[int]) -> list[tuple[int, int]]:
    ranges: list[tuple[int, int]] = []
    for seq in seqs:
        if ranges and seq == ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], seq)
        elif len(ranges) == MAX_RANGES:
            break
        else:
            ranges.append((seq, seq))
    return ranges


async def purge_step(
    database: Database,
    org_id: str,
    expiry_now: ExpiryNow,
    *,
    batch: int,
    now_ms: int,
    salt: bytes,
) -> int:
    """Delete up to `batch` expired rows and return how many; 0 means there are none.

    `expiry_now` tells on a connection what has expired; `salt` is 32 fresh random bytes, for the
    receipt.
    """
    async with database.read() as connection:
        expiry = await expiry_now(connection)
        if not await _expired(connection, database, org_id, expiry.floors, 1):
            return 0
    async with database.write() as connection:
        # The org and its head, in the order of every change: nobody changes its plan meanwhile,
        # and no two purgers choose the same rows.
        await lock_org(connection, org_id)
        expiry = await expiry_now(connection)
        head = await lock_head(connection, org_id)
        rows = await _expired(connection, database, org_id, expiry.floors, batch)
        if not rows:
            return 0
        ranges = _ranges(sorted(row[0] for row in rows))
        kept = {seq for first, last in ranges for seq in range(first, last + 1)}
        rows = [row for row in rows if row[0] in kept]
        open_tile = head.next_seq // TILE_WIDTH
        if ranges[-1][1] >= open_tile * TILE_WIDTH:
            hashes = await tile_hashes(connection, org_id, open_tile, head.next_seq)
            await save_tile(connection, org_id, open_tile, hashes)
        await _delete(connection, database, org_id, [row[0] for row in rows])
        await add_day_counts(connection, org_id, Counter({k: -n for k, n in _days(rows).items()}))
        await _move_min_seq(connection, org_id, head.next_seq)
        receipt = _receipt(
            org_id, ranges, len(rows), head.frontier.root(), now_ms, expiry.policy_name, salt
        )
        await append(connection, org_id, [prepare(receipt, salt)], now_ms)
    return len(rows)


async def _expired(
    connection: AsyncConnection, database: Database, org_id: str, floors: Floors, batch: int
) -> Sequence[Any]:
    args = Arguments(database.dialect)
    sql = (
        f"SELECT seq, created_at, action FROM audit_event "  # noqa: S608 - arguments only
        f"WHERE {_expired_sql(org_id, floors, args)} ORDER BY id LIMIT {args.add(batch)}"
    )
    return await fetch(connection, sql, args.values)


def _days(rows: Sequence[Any]) -> Counter[tuple[int, str]]:
    return Counter((row[1] // DAY_MS, row[2]) for row in rows)


async def _delete(
    connection: AsyncConnection, database: Database, org_id: str, seqs: list[int]
) -> None:
    args = Arguments(database.dialect)
    org = args.add(org_id)
    if database.dialect == "postgresql":
        which = f"seq = ANY({args.add(seqs)}::bigint[])"
    else:
        # The seqs are integers of our own rows; a list of arguments would pass SQLite's limit.
        which = f"seq IN ({', '.join(str(int(seq)) for seq in seqs)})"
    await fetch(
        connection,
        f"DELETE FROM audit_event WHERE org_id = {org} AND {which}",  # noqa: S608 - arguments and integers only
        args.values,
    )


async def _move_min_seq(connection: AsyncConnection, org_id: str, next_seq: int) -> None:
    lowest = select(func.min(audit_event.c.seq)).where(audit_event.c.org_id == org_id)
    await connection.execute(
        update(audit_log_head)
        .where(audit_log_head.c.org_id == org_id)
        .values(min_seq=func.coalesce(lowest.scalar_subquery(), next_seq))
    )


def _receipt(
    org_id: str,
    ranges: list[tuple[int, int]],
    count: int,
    root: bytes,
    now_ms: int,
    policy_name: str,
    salt: bytes,
) -> Event:
    return Event(
        id=event_id(now_ms, hashlib.sha256(salt).digest()[:10]),
        org_id=org_id,
        action=RECEIPT_ACTION,
        target_type="org",
        target_id=org_id,
        created_at_ms=now_ms,
        metadata={
            "policy": policy_name,
            "from_seq": ranges[0][0],
            "to_seq": ranges[-1][1],
            "count": count,
            "ranges": [f"{first}-{last}" for first, last in ranges],
            "root_before": root.hex(),
        },
    )
