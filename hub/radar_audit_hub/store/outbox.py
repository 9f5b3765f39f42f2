"""SQL of the outbox: work that is noted in the transaction which asks for it, and done after.

Owns putting, claiming and settling. `put` is called inside a change, the rest by
`outbox/job.py`. A claim is an attempt's number: who settles a row names the attempt, so that
one whose claim ran out cannot overwrite what its successor found. Never runs any of the work.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from radar_audit_events.ids import new_id
from sqlalchemy import ColumnElement, and_, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from .control import insert_new
from .schema_outbox import outbox

GIVE_UP_MS = 72 * 3_600_000  # after this long the work is of no use to anybody
CLAIM_MS = 5 * 60_000  # far above what an attempt may take, so that no other begins meanwhile
KEEP_DONE_MS = 30 * 86_400_000  # how long a dedup key is remembered
_CLOCKS_APART_MS = 10 * 60_000  # replicas' clocks are never this far apart
_DELETE_ROWS = 1000
Outcome = Literal["done", "given_up"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A row that the caller may work on until `CLAIM_MS` have passed; times are Unix ms.

    `attempt` counts from 1.
    """

    id: str
    org_id: str | None
    kind: str
    payload: Mapping[str, Any]
    created_at_ms: int
    give_up_at_ms: int
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """How many rows wait and when the oldest of them should have been done (Unix ms)."""

    pending: int
    oldest_due_at_ms: int | None


async def put(
    conn: AsyncConnection,
    *,
    kind: str,
    dedup_key: str,
    payload: Mapping[str, Any],
    now_ms: int,
    due_ms: int | None = None,
    org_id: str | None = None,
) -> bool:
    """Note work of `kind` in the caller's transaction; False if `dedup_key` was used already.

    It is begun at `due_ms` (now) and given up 72 h after that. `payload` is kept as JSON in
    plain sight, so it must not hold a secret.
    """
    due = now_ms if due_ms is None else due_ms
    row = {
        "id": new_id("ob_", now_ms, secrets.token_bytes(10)),
        "org_id": org_id,
        "kind": kind,
        "dedup_key": dedup_key,
        "payload": json.dumps(dict(payload), sort_keys=True),
        "created_at": now_ms,
        "due_at": due,
        "give_up_at": due + GIVE_UP_MS,
        "attempts": 0,
    }
    return await insert_new(conn, outbox, row)


def _due(kinds: Collection[str], now_ms: int) -> ColumnElement[bool]:
    claimed = outbox.c.claimed_until
    return and_(
        outbox.c.done_at.is_(None),
        outbox.c.due_at <= now_ms,
        outbox.c.kind.in_(sorted(kinds)),
        or_(
            claimed.is_(None),
            claimed <= now_ms,
            # A relic of a clock that was set back.
            claimed > now_ms + CLAIM_MS + _CLOCKS_APART_MS,
        ),
    )


async def any_due(conn: AsyncConnection, kinds: Collection[str], now_ms: int) -> bool:
    """Tell whether `claim` would find something: reads only, so it may be asked often."""
    statement = select(outbox.c.id).where(_due(kinds, now_ms)).limit(1)
    return (await conn.execute(statement)).first() is not None


async def claim(
    conn: AsyncConnection, kinds: Collection[str], now_ms: int, limit: int
) -> list[Claimed]:
    """Claim at most `limit` rows that are due, those due first first.

    Rows that another replica is claiming right now are passed over, not waited for.
    """
    wanted = (
        select(outbox.c.id)
        .where(_due(kinds, now_ms))
        .order_by(outbox.c.due_at, outbox.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    ids = (await conn.execute(wanted)).scalars().all()
    if not ids:
        return []
    statement = (
        update(outbox)
        .where(outbox.c.id.in_(ids))
        .values(claimed_until=now_ms + CLAIM_MS, attempts=outbox.c.attempts + 1)
        .returning(outbox)
    )
    rows = (await conn.execute(statement)).all()
    return [
        Claimed(
            id=row.id,
            org_id=row.org_id,
            kind=row.kind,
            payload=json.loads(row.payload),
            created_at_ms=row.created_at,
            give_up_at_ms=row.give_up_at,
            attempt=row.attempts,
        )
        for row in sorted(rows, key=lambda row: (row.due_at, row.id))
    ]


async def settle(
    conn: AsyncConnection,
    row: Claimed,
    now_ms: int,
    *,
    outcome: Outcome,
    error: str | None = None,
) -> bool:
    """Note that the work is over; False if the claim had passed to another attempt."""
    return await _write(conn, row, done_at=now_ms, outcome=outcome, last_error=error)


async def put_back(conn: AsyncConnection, row: Claimed, due_ms: int, error: str | None) -> bool:
    """Have the work tried again from `due_ms` on; False as with `settle`."""
    return await _write(conn, row, due_at=due_ms, claimed_until=None, last_error=error)


async def _write(conn: AsyncConnection, row: Claimed, **values: Any) -> bool:
    mine = and_(outbox.c.id == row.id, outbox.c.attempts == row.attempt, outbox.c.done_at.is_(None))
    return bool((await conn.execute(update(outbox).where(mine).values(**values))).rowcount)


async def waiting(conn: AsyncConnection) -> Waiting:
    """Count what is not done yet, whatever its kind."""
    statement = select(func.count(), func.min(outbox.c.due_at)).where(outbox.c.done_at.is_(None))
    pending, oldest = (await conn.execute(statement)).one()
    return Waiting(pending=pending, oldest_due_at_ms=oldest)


async def any_done_long_ago(conn: AsyncConnection, now_ms: int) -> bool:
    """Tell whether `forget_done` would find something."""
    statement = select(outbox.c.id).where(outbox.c.done_at <= now_ms - KEEP_DONE_MS).limit(1)
    return (await conn.execute(statement)).first() is not None


async def forget_done(conn: AsyncConnection, now_ms: int) -> int:
    """Delete at most 1,000 rows that were settled 30 days ago; return how many."""
    old = (
        select(outbox.c.id)
        .where(outbox.c.done_at <= now_ms - KEEP_DONE_MS)
        .order_by(outbox.c.done_at)
        .limit(_DELETE_ROWS)
    )
    return (await conn.execute(delete(outbox).where(outbox.c.id.in_(old)))).rowcount
