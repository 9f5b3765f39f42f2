"""SQL of destinations: one row for each destination of each owner's document, and how it stands.

Owns the table `notify_destination`, save for the columns that a delivery writes, which
`notify_messages.py` moves. Called by `notify/` and `policy/`, always on a connection that the
caller opened. Times are Unix milliseconds. Never reads a document or a secret.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import delete, func, insert, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from .schema_notify import notify_destination, notify_message

_AT_ONCE = 500  # below SQLite's limit of arguments
_UNTOUCHED = {
    "disabled_at": None,
    "disabled_reason": None,
    "failing_since": None,
    "last_error_at": None,
    "last_error": None,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationRow:
    """A destination of an owner's document and how its deliveries went; times are Unix ms.

    `identity` (32 bytes) is the same for two that lead to the same receiver. `disabled_at`:
    nothing is sent since. `suppressed` counts what a throttle held back.
    """

    org_id: str
    id: str
    owner_id: str
    name: str
    kind: str
    identity: bytes
    has_secret: bool
    created_at: int
    disabled_at: int | None = None
    disabled_reason: str | None = None
    failing_since: int | None = None
    last_attempt_at: int | None = None
    last_delivery_at: int | None = None
    last_error_at: int | None = None
    last_error: str | None = None
    suppressed: int = 0


async def list_destinations(
    conn: AsyncConnection, org_id: str, owner_id: str | None = None
) -> list[DestinationRow]:
    """Return an org's destinations (of one owner, or all) by owner and name."""
    statement = (
        select(notify_destination)
        .where(notify_destination.c.org_id == org_id)
        .order_by(notify_destination.c.owner_id, notify_destination.c.name)
    )
    if owner_id is not None:
        statement = statement.where(notify_destination.c.owner_id == owner_id)
    return [_row(row) for row in await conn.execute(statement)]


async def page_destinations(
    conn: AsyncConnection, org_id: str, *, after: tuple[str, str] | None, limit: int
) -> list[DestinationRow]:
    """Return at most `limit` destinations by owner and name, behind the pair `after`."""
    key = tuple_(notify_destination.c.owner_id, notify_destination.c.name)
    statement = (
        select(notify_destination)
        .where(notify_destination.c.org_id == org_id)
        .order_by(notify_destination.c.owner_id, notify_destination.c.name)
        .limit(limit)
    )
    if after is not None:
        statement = statement.where(key > tuple_(*after))
    return [_row(row) for row in await conn.execute(statement)]


async def get_destination(
    conn: AsyncConnection, org_id: str, destination_id: str
) -> DestinationRow | None:
    """Return one destination, None if there is none of that id."""
    statement = select(notify_destination).where(
        notify_destination.c.org_id == org_id, notify_destination.c.id == destination_id
    )
    row = (await conn.execute(statement)).first()
    return None if row is None else _row(row)


async def destination_named(
    conn: AsyncConnection, org_id: str, owner_id: str, name: str
) -> DestinationRow | None:
    """Return the destination that an owner's document has under a name."""
    statement = select(notify_destination).where(
        notify_destination.c.org_id == org_id,
        notify_destination.c.owner_id == owner_id,
        notify_destination.c.name == name,
    )
    row = (await conn.execute(statement)).first()
    return None if row is None else _row(row)


async def disabled_ids(conn: AsyncConnection, org_id: str) -> frozenset[str]:
    """Return the ids of an org's destinations that nothing is sent to now."""
    statement = select(notify_destination.c.id).where(
        notify_destination.c.org_id == org_id, notify_destination.c.disabled_at.is_not(None)
    )
    return frozenset((await conn.execute(statement)).scalars())


async def disabled_since(conn: AsyncConnection, since_ms: int, limit: int) -> list[DestinationRow]:
    """Return destinations of all orgs that were disabled at `since_ms` (Unix ms) or later."""
    statement = (
        select(notify_destination)
        .where(notify_destination.c.disabled_at >= since_ms)
        .order_by(notify_destination.c.disabled_at)
        .limit(limit)
    )
    return [_row(row) for row in await conn.execute(statement)]


async def insert_destination(conn: AsyncConnection, row: DestinationRow) -> None:
    """Store a destination that is new."""
    await conn.execute(insert(notify_destination).values(**asdict(row)))


async def change_receiver(conn: AsyncConnection, row: DestinationRow) -> None:
    """Let a destination lead to another receiver: what was known of the old one is forgotten."""
    await conn.execute(
        update(notify_destination)
        .where(notify_destination.c.org_id == row.org_id, notify_destination.c.id == row.id)
        .values(
            kind=row.kind,
            identity=row.identity,
            has_secret=row.has_secret,
            last_delivery_at=None,
            **_UNTOUCHED,
        )
    )


async def enable_destination(conn: AsyncConnection, org_id: str, destination_id: str) -> bool:
    """Let a destination be sent to again; False where it was not disabled."""
    done = await conn.execute(
        update(notify_destination)
        .where(
            notify_destination.c.org_id == org_id,
            notify_destination.c.id == destination_id,
            notify_destination.c.disabled_at.is_not(None),
        )
        .values(**_UNTOUCHED)
    )
    return bool(done.rowcount)


async def delete_destinations(
    conn: AsyncConnection, org_id: str, ids: Sequence[str], now_ms: int
) -> None:
    """Forget destinations; their messages that wait are dropped at `now_ms` (Unix ms)."""
    for first in range(0, len(ids), _AT_ONCE):
        part = ids[first : first + _AT_ONCE]
        await conn.execute(
            update(notify_message)
            .where(
                notify_message.c.org_id == org_id,
                notify_message.c.destination_id.in_(part),
                notify_message.c.state == "pending",
            )
            .values(state="dropped", settled_at=now_ms)
        )
        await conn.execute(
            delete(notify_destination).where(
                notify_destination.c.org_id == org_id, notify_destination.c.id.in_(part)
            )
        )


async def pending_counts(
    conn: AsyncConnection, org_id: str, ids: Iterable[str] | None = None
) -> dict[str, int]:
    """Return how many messages wait, by destination (of `ids`, or all of the org's)."""
    statement = (
        select(notify_message.c.destination_id, func.count().label("waiting"))
        .where(notify_message.c.org_id == org_id, notify_message.c.state == "pending")
        .group_by(notify_message.c.destination_id)
    )
    if ids is not None:
        wanted = sorted(ids)
        if not wanted:
            return {}
        statement = statement.where(notify_message.c.destination_id.in_(wanted))
    return {row.destination_id: row.waiting for row in await conn.execute(statement)}


def _row(row: Any) -> DestinationRow:
    return DestinationRow(**{**row._mapping, "identity": bytes(row.identity)})  # noqa: SLF001 - a row's only map
