"""SQL of messages: putting them, reading a page of them, dropping them, forgetting old ones.

Owns the rows of `notify_message`, save for what a delivery writes, which `notify_attempts.py` is
for. `put_messages` is called inside the transaction that decides on a message. Times are Unix
milliseconds. Never sends anything, and never looks into a payload.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any, Literal

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from radar_audit_hub.retention.policy import Floors

from .database import fetch
from .notify_expiry import kept_sql
from .schema_notify import notify_destination, notify_message
from .sql import arguments_for

MESSAGE_PREFIX = "msg_"  # and a ULID
_PUT_ROWS = 1000  # in one statement
_FORGET_ROWS = 1000
_ORPHAN_MS = 10 * 60_000  # longer than any transaction may take to commit
State = Literal["pending", "delivered", "failed", "dropped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMessage:
    """A message to be delivered from `due_at` on; times are Unix ms.

    `id` is `msg_` and a ULID: the webhook-id of all its attempts. Of two with one `dedup_key` in
    an org only the first is put. `payload` is what `notify/content.py` encodes. `recorded_at`:
    when the first of its events was committed. `event_ids`: what `notify_expiry.event_ids_of` makes
    of the events that it shows. `replay_of`: the message that it repeats.
    """

    org_id: str
    id: str
    destination_id: str
    owner_id: str
    rule: str
    kind: str
    severity: str
    dedup_key: str
    payload: str
    event_ids: str | None
    created_at: int
    due_at: int
    recorded_at: int | None = None
    replay_of: str | None = None


_COLUMNS = tuple(field.name for field in fields(NewMessage))
_values = attrgetter(*_COLUMNS)
_WHOLE = ("created_at", "due_at", "recorded_at")
_NAMES = ", ".join(_COLUMNS)
_ARRAYS = ", ".join(
    f"${place}::{'bigint' if name in _WHOLE else 'text'}[]"
    for place, name in enumerate(_COLUMNS, 1)
)
_PUT_POSTGRESQL = (
    f"INSERT INTO notify_message ({_NAMES}, state, attempts) "  # noqa: S608 - names from our own table
    f"SELECT put.*, 'pending', 0 FROM unnest({_ARRAYS}) AS put ON CONFLICT DO NOTHING"
)
_PUT_SQLITE = (
    f"INSERT INTO notify_message ({_NAMES}, state, attempts) "  # noqa: S608 - names from our own table
    f"VALUES ({', '.join('?' * len(_COLUMNS))}, 'pending', 0) ON CONFLICT DO NOTHING"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message(NewMessage):
    """A message that is stored; `attempts` of them were begun, the last at `due_at` or later."""

    state: State
    attempts: int
    settled_at: int | None

    @property
    def wire_id(self) -> str:
        """The id that a receiver sees: a replay is the same message to it."""
        return self.replay_of or self.id


async def put_messages(conn: AsyncConnection, rows: Sequence[NewMessage]) -> int:
    """Store messages in the caller's transaction; return how many were not there already.

    After the commit `hub.deliveries.wake()` has them delivered at once.
    """
    # In one order everywhere, so that two such transactions cannot wait for one another.
    ordered = sorted(rows, key=lambda row: (row.org_id, row.dedup_key))
    is_postgresql = conn.dialect.name == "postgresql"
    added = 0
    for first in range(0, len(ordered), _PUT_ROWS):
        values = [_values(row) for row in ordered[first : first + _PUT_ROWS]]
        # The text of the statement is always the same: to make one of so many values anew takes
        # far longer than the database does.
        if is_postgresql:
            done = await conn.exec_driver_sql(
                _PUT_POSTGRESQL, tuple(map(list, zip(*values, strict=True)))
            )
        else:
            done = await conn.exec_driver_sql(_PUT_SQLITE, values)
        added += done.rowcount
    return added


_ALL = (*_COLUMNS, "state", "attempts", "settled_at")


async def get_message(
    conn: AsyncConnection, org_id: str, message_id: str, floors: Floors
) -> Message | None:
    """Return one message, None if there is none of that id, or it shows what has expired."""
    args = arguments_for(conn)
    org = args.add(org_id)
    where = [f"org_id = {org}", f"id = {args.add(message_id)}", kept_sql(org, floors, args)]
    found = await _read(conn, where, "", args.values)
    return found[0] if found else None


async def list_messages(
    conn: AsyncConnection,
    org_id: str,
    destination_id: str,
    *,
    floors: Floors,
    states: Collection[str] = (),
    from_ms: int | None = None,
    to_ms: int | None = None,
    after: tuple[int, str] | None = None,
    limit: int = 100,
) -> list[Message]:
    """Return at most `limit` of a destination's messages, the newest first.

    Without those that show what has expired by `floors`. `states` none: all; made in
    [`from_ms`, `to_ms`); behind the key `after`, which is (created_at, id) of the last one of a
    page.
    """
    args = arguments_for(conn)
    org = args.add(org_id)
    where = [f"org_id = {org}", f"destination_id = {args.add(destination_id)}"]
    if states:
        where.append(f"state IN ({', '.join(map(args.add, sorted(states)))})")
    if from_ms is not None:
        where.append(f"created_at >= {args.add(from_ms)}")
    if to_ms is not None:
        where.append(f"created_at < {args.add(to_ms)}")
    if after is not None:
        where.append(f"(created_at, id) < ({args.add(after[0])}, {args.add(after[1])})")
    where.append(kept_sql(org, floors, args))
    order = f"ORDER BY created_at DESC, id DESC LIMIT {args.add(limit)}"
    return await _read(conn, where, order, args.values)


async def _read(
    conn: AsyncConnection, where: Sequence[str], order: str, values: Sequence[Any]
) -> list[Message]:
    sql = f"SELECT {', '.join(_ALL)} FROM notify_message WHERE {' AND '.join(where)} {order}"  # noqa: S608 - names from our own table
    rows = await fetch(conn, sql, values)
    return [Message(**dict(zip(_ALL, row, strict=True))) for row in rows]


async def replay_counts(conn: AsyncConnection, org_id: str, destination_id: str) -> dict[str, int]:
    """Return how often messages of a destination were replayed, by their ids."""
    statement = (
        select(notify_message.c.replay_of, func.count().label("times"))
        .where(
            notify_message.c.org_id == org_id,
            notify_message.c.destination_id == destination_id,
            notify_message.c.replay_of.is_not(None),
        )
        .group_by(notify_message.c.replay_of)
    )
    return {row.replay_of: row.times for row in await conn.execute(statement)}


async def drop_pending(conn: AsyncConnection, org_id: str, destination_id: str, now_ms: int) -> int:
    """Give up what waits for a destination; return how much that was."""
    done = await conn.execute(
        update(notify_message)
        .where(
            notify_message.c.org_id == org_id,
            notify_message.c.destination_id == destination_id,
            notify_message.c.state == "pending",
        )
        .values(state="dropped", settled_at=now_ms)
    )
    return done.rowcount


async def drop_orphans(conn: AsyncConnection, now_ms: int) -> int:
    """Give up what waits for a destination that is gone; return how much that was.

    Such a message was put while its destination was being deleted.
    """
    exists = (
        select(notify_destination.c.id)
        .where(
            notify_destination.c.org_id == notify_message.c.org_id,
            notify_destination.c.id == notify_message.c.destination_id,
        )
        .exists()
    )
    done = await conn.execute(
        update(notify_message)
        .where(
            notify_message.c.state == "pending",
            notify_message.c.due_at <= now_ms - _ORPHAN_MS,
            ~exists,
        )
        .values(state="dropped", settled_at=now_ms)
    )
    return done.rowcount


async def count_pending(conn: AsyncConnection) -> int:
    """Return how many messages of all orgs wait."""
    statement = select(func.count()).where(notify_message.c.state == "pending")
    return int((await conn.execute(statement)).scalar_one())


async def destination_ids(conn: AsyncConnection) -> list[tuple[str, str]]:
    """Return org and id of all destinations that have messages, gone ones too."""
    statement = select(notify_message.c.org_id, notify_message.c.destination_id).distinct()
    return [(row.org_id, row.destination_id) for row in await conn.execute(statement)]


async def old_messages(
    conn: AsyncConnection, org_id: str, destination_id: str, *, before_ms: int, keep_rows: int
) -> list[str]:
    """Return the ids of at most 1,000 settled messages that a destination's log need not keep.

    Those made before `before_ms`, and those behind the newest `keep_rows`.
    """
    mine = (
        notify_message.c.org_id == org_id,
        notify_message.c.destination_id == destination_id,
    )
    edge = (
        select(notify_message.c.created_at)
        .where(*mine)
        .order_by(notify_message.c.created_at.desc())
        .offset(keep_rows)
        .limit(1)
    )
    oldest_kept = (await conn.execute(edge)).scalar_one_or_none()
    before = before_ms if oldest_kept is None else max(before_ms, oldest_kept + 1)
    wanted = (
        select(notify_message.c.id)
        .where(*mine, notify_message.c.created_at < before, notify_message.c.state != "pending")
        .order_by(notify_message.c.created_at)
        .limit(_FORGET_ROWS)
    )
    return list((await conn.execute(wanted)).scalars())


def message_of(row: Any) -> Message:
    """Return the message of a row that has all of the table's columns."""
    return Message(**row._mapping)  # noqa: SLF001 - a row's only map
