"""SQL of attempts: each is noted before anything is sent, and again once it is known how it went.

Owns the table `notify_attempt` and what a delivery writes into `notify_message` and
`notify_destination`. Called by `notify/sending/` and whoever shows the delivery log. The number
of an attempt is taken by compare-and-set, so two who work on one message cannot both make it.
Times are Unix milliseconds. Never holds a secret: what it is given was cleaned of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, case, func, insert, null, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from .notify_messages import Message
from .schema_notify import notify_attempt, notify_destination, notify_message

Outcome = Literal["delivered", "retry", "failed"]
EXPIRED = "a message was dropped: events that it tells of expired before it could be delivered"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt at a message; `outcome` None: begun, and nobody knows how it ended.

    `outcome`: delivered; retry (another follows); failed (none does). `request` and `response`
    are JSON without secrets, None where they were not asked for; `receiver_status` is the answer's,
    of HTTP or SMTP.
    """

    message_id: str
    number: int
    started_at: int
    duration_ms: int | None
    receiver_status: int | None
    outcome: Outcome | None
    error: str | None
    request: str | None
    response: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How an attempt went: what is written once it is over. `due_at` is that of a retry."""

    outcome: Outcome
    duration_ms: int
    receiver_status: int | None = None
    error: str | None = None
    response: str | None = None
    due_at: int | None = None


async def begin(conn: AsyncConnection, message: Message, request: str, now_ms: int) -> int | None:
    """Note that a message's next attempt begins; return its number, from 1.

    None: the message is settled, or somebody else has begun that attempt.
    """
    number = message.attempts + 1
    mine = await conn.execute(
        update(notify_message)
        .where(
            notify_message.c.org_id == message.org_id,
            notify_message.c.id == message.id,
            notify_message.c.state == "pending",
            notify_message.c.attempts == message.attempts,
        )
        .values(attempts=number)
    )
    if not mine.rowcount:
        return None
    await conn.execute(
        insert(notify_attempt).values(
            org_id=message.org_id,
            message_id=message.id,
            number=number,
            started_at=now_ms,
            request=request,
        )
    )
    return number


async def complete(
    conn: AsyncConnection, message: Message, number: int, ended: Ended, now_ms: int
) -> int | None:
    """Note how an attempt went, in its row, its message and its destination.

    Returns since when the destination has done nothing but fail (Unix ms), None if it does not.
    """
    await conn.execute(
        update(notify_attempt)
        .where(
            notify_attempt.c.org_id == message.org_id,
            notify_attempt.c.message_id == message.id,
            notify_attempt.c.number == number,
        )
        .values(
            outcome=ended.outcome,
            duration_ms=ended.duration_ms,
            receiver_status=ended.receiver_status,
            error=ended.error,
            response=ended.response,
        )
    )
    values: dict[str, Any] = (
        {"due_at": ended.due_at}
        if ended.outcome == "retry"
        else {"state": ended.outcome, "settled_at": now_ms}
    )
    await conn.execute(
        update(notify_message)
        .where(
            notify_message.c.org_id == message.org_id,
            notify_message.c.id == message.id,
            notify_message.c.state == "pending",
            notify_message.c.attempts == number,
        )
        .values(**values)
    )
    return await _note_at_destination(conn, message, ended, now_ms)


async def _note_at_destination(
    conn: AsyncConnection, message: Message, ended: Ended, now_ms: int
) -> int | None:
    since = notify_destination.c.failing_since
    values: dict[str, Any] = {"last_attempt_at": now_ms}
    if ended.outcome == "delivered":
        values |= {"last_delivery_at": now_ms, "failing_since": None}
    else:
        values |= {
            "last_error_at": now_ms,
            "last_error": ended.error,
            "failing_since": case((since.is_(None), now_ms), else_=since),
        }
    statement = (
        update(notify_destination)
        .where(
            notify_destination.c.org_id == message.org_id,
            notify_destination.c.id == message.destination_id,
        )
        .values(**values)
        .returning(since)
    )
    found: int | None = (await conn.execute(statement)).scalar_one_or_none()
    return found


async def note_dropped(
    conn: AsyncConnection, org_id: str, destination_ids: Sequence[str], now_ms: int
) -> None:
    """Say at destinations that something which waited for them was dropped, since it expired."""
    await conn.execute(
        update(notify_destination)
        .where(
            notify_destination.c.org_id == org_id,
            notify_destination.c.id.in_(sorted(destination_ids)),
        )
        .values(last_error_at=now_ms, last_error=EXPIRED)
    )


async def disable(
    conn: AsyncConnection, org_id: str, destination_id: str, reason: str, now_ms: int
) -> bool:
    """Send nothing more to a destination, for `reason` (a sentence); False if that was so."""
    statement = (
        update(notify_destination)
        .where(
            notify_destination.c.org_id == org_id,
            notify_destination.c.id == destination_id,
            notify_destination.c.disabled_at.is_(None),
        )
        .values(disabled_at=now_ms, disabled_reason=reason)
    )
    return bool((await conn.execute(statement)).rowcount)


async def count_disabled(conn: AsyncConnection) -> int:
    """Return how many destinations of all orgs are disabled."""
    statement = select(func.count()).where(notify_destination.c.disabled_at.is_not(None))
    return int((await conn.execute(statement)).scalar_one())


async def attempts_of(
    conn: AsyncConnection, org_id: str, message_ids: Sequence[str], *, with_wire: bool = True
) -> dict[str, list[Attempt]]:
    """Return the attempts at messages, by message and number; a page of ids at most.

    `with_wire`: with what was sent and answered, which may be 100 KB an attempt.
    """
    table = notify_attempt
    wire: Sequence[ColumnElement[Any]] = (table.c.request, table.c.response)
    if not with_wire:
        wire = [null().label(column.name) for column in (table.c.request, table.c.response)]
    plain = [column for column in table.c if column.name not in ("org_id", "request", "response")]
    statement = (
        select(*plain, *wire)
        .where(table.c.org_id == org_id, table.c.message_id.in_(sorted(message_ids)))
        .order_by(table.c.message_id, table.c.number)
    )
    found: dict[str, list[Attempt]] = {name: [] for name in message_ids}
    for row in await conn.execute(statement):
        found[row.message_id].append(Attempt(**row._mapping))  # noqa: SLF001 - a row's only map
    return found
