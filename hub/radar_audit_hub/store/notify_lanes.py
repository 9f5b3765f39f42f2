"""SQL of lanes: who delivers to a destination now, so that one replica does at a time.

Owns the table `notify_lane`. Called by `notify/sending/`. A lane is held for a while and renewed
with each attempt, so one whose holder died is free again a minute later. A receiver that fails
rests: nobody holds its lane until then. Times are Unix milliseconds. Never looks at a message's
content.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, delete, func, not_, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from .database import insert_into
from .notify_messages import Message, message_of
from .schema_notify import notify_destination, notify_lane, notify_message

LANE_MS = 75_000  # above what one attempt may take with all around it
_MAX_UNTIL_MS = 3_600_000 + 10 * 60_000  # the longest rest, and clocks that are apart
_FORGET_MS = 86_400_000
# For so long a receiver is doubtful that failed or was slow, though it delivers again: else one
# that does both by turns would hold a good lane half of the time.
PROBATION_MS = 10 * 60_000
_SOME = 256  # candidates that are looked at in one round


@dataclass(frozen=True, slots=True)
class Lane:
    """A destination that the caller alone delivers to, as long as it holds the lane."""

    org_id: str
    destination_id: str
    token: str


async def any_due(conn: AsyncConnection, now_ms: int) -> bool:
    """Tell whether any message waits that is due: reads one entry of an index."""
    statement = (
        select(notify_message.c.id)
        .where(notify_message.c.state == "pending", notify_message.c.due_at <= now_ms)
        .limit(1)
    )
    return (await conn.execute(statement)).first() is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Busy:
    """What is left out of a look for work: destinations that are worked, and orgs that have all.

    `slow` are destinations that are doubtful though their last message was delivered.
    """

    destinations: Collection[str] = ()
    orgs: Collection[str] = ()
    slow: Collection[str] = ()


async def waiting_destinations(
    conn: AsyncConnection, now_ms: int, busy: Busy, *, doubtful: bool
) -> list[tuple[str, str]]:
    """Return org and id of destinations with a due message and a free lane.

    Either those that are doubtful, which fail or did a moment ago or to which nothing was
    delivered yet, or the others. Of these, whose message is due for longest comes first; of the
    doubtful, who was tried longest ago, since most have more that waits than is ever delivered.
    So none is passed over for ever. One probe of an index per destination, however many messages
    wait.
    """
    is_doubtful = _doubtful(busy.slow, now_ms)
    due_at = (
        select(func.min(notify_message.c.due_at))
        .where(
            notify_message.c.org_id == notify_destination.c.org_id,
            notify_message.c.destination_id == notify_destination.c.id,
            notify_message.c.state == "pending",
        )
        .scalar_subquery()
    )
    statement = (
        select(notify_destination.c.org_id, notify_destination.c.id)
        .outerjoin(
            notify_lane,
            and_(
                notify_lane.c.org_id == notify_destination.c.org_id,
                notify_lane.c.destination_id == notify_destination.c.id,
            ),
        )
        .where(due_at <= now_ms, or_(notify_lane.c.until.is_(None), _free(now_ms)))
        .where(is_doubtful if doubtful else not_(is_doubtful))
        .limit(_SOME)
    )
    first = (func.coalesce(notify_destination.c.last_attempt_at, 0),) if doubtful else ()
    statement = statement.order_by(*first, due_at, notify_destination.c.id)
    if busy.destinations:
        statement = statement.where(notify_destination.c.id.not_in(sorted(busy.destinations)))
    if busy.orgs:
        statement = statement.where(notify_destination.c.org_id.not_in(sorted(busy.orgs)))
    return [(row.org_id, row.id) for row in await conn.execute(statement)]


def _doubtful(slow: Collection[str], now_ms: int) -> Any:
    table = notify_destination.c
    return or_(
        table.failing_since.is_not(None),
        func.coalesce(table.last_error_at, 0) > now_ms - PROBATION_MS,
        table.last_delivery_at.is_(None),
        table.id.in_(sorted(slow)),
    )


def _free(now_ms: int) -> Any:
    # A time that is too far away is the relic of a clock that was set back.
    return or_(notify_lane.c.until <= now_ms, notify_lane.c.until > now_ms + _MAX_UNTIL_MS)


async def take(conn: AsyncConnection, lane: Lane, now_ms: int) -> bool:
    """Hold a lane that is free for `LANE_MS`; False if somebody else holds it, or it rests.

    One statement, so that of two who want it one gets it, on either database.
    """
    row = {
        "org_id": lane.org_id,
        "destination_id": lane.destination_id,
        "token": lane.token,
        "until": now_ms + LANE_MS,
    }
    statement = insert_into(conn, notify_lane).values(**row)
    statement = statement.on_conflict_do_update(
        index_elements=["org_id", "destination_id"],
        set_={"token": statement.excluded.token, "until": statement.excluded.until},
        where=_free(now_ms),
    )
    return bool((await conn.execute(statement)).rowcount)


async def renew(conn: AsyncConnection, lane: Lane, now_ms: int) -> bool:
    """Hold the lane for `LANE_MS` more; False if it was lost, and nothing may be sent."""
    return await _write(conn, lane, until=now_ms + LANE_MS)


async def release(conn: AsyncConnection, lane: Lane, until_ms: int) -> None:
    """Let go of a lane that is still held; nobody takes it before `until_ms`."""
    await _write(conn, lane, token=None, until=until_ms)


async def _write(conn: AsyncConnection, lane: Lane, **values: Any) -> bool:
    statement = (
        update(notify_lane)
        .where(
            notify_lane.c.org_id == lane.org_id,
            notify_lane.c.destination_id == lane.destination_id,
            notify_lane.c.token == lane.token,
        )
        .values(**values)
    )
    return bool((await conn.execute(statement)).rowcount)


async def due_messages(
    conn: AsyncConnection, org_id: str, destination_id: str, now_ms: int, limit: int
) -> list[Message]:
    """Return at most `limit` messages of a destination that are due, those due first first."""
    statement = (
        select(notify_message)
        .where(
            notify_message.c.org_id == org_id,
            notify_message.c.destination_id == destination_id,
            notify_message.c.state == "pending",
            notify_message.c.due_at <= now_ms,
        )
        .order_by(notify_message.c.due_at, notify_message.c.id)
        .limit(limit)
    )
    return [message_of(row) for row in await conn.execute(statement)]


async def forget_lanes(conn: AsyncConnection, now_ms: int) -> None:
    """Delete the lanes that nobody has used for a day."""
    await conn.execute(delete(notify_lane).where(notify_lane.c.until <= now_ms - _FORGET_MS))
