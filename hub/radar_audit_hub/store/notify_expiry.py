"""SQL of the age of messages: one is shown, sent and kept no longer than the events it shows.

Owns the condition, which asks the log itself by the log's own floors: so overrides by action and
cluster, legal holds and what was deleted already count here as they do there. Called by the
delivery log, by whoever sends, and by the job that forgets. A message that shows no event (one of
Radar's own kinds, a test) has no such age. Times are Unix milliseconds. Never reads a payload.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from radar_audit_events.ids import floor_id
from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncConnection

from radar_audit_hub.retention.policy import Floors

from .database import Dialect, fetch
from .schema_notify import notify_attempt, notify_message
from .sql import Arguments, arguments_for, floor_sql

_FORGET_ROWS = 1000
# The ids of a message as rows with a column `value`.
_SHOWN: dict[Dialect, str] = {
    "postgresql": "unnest(string_to_array(event_ids, ' ')) AS shown(value)",
    "sqlite": """json_each('["' || replace(event_ids, ' ', '","') || '"]') AS shown""",
}


def event_ids_of(ids: Iterable[str]) -> str | None:
    """Return how a message keeps the ids of the events it shows: the oldest first; None for none.

    Ids begin with their time, so the whole text can be compared with a floor's id.
    """
    return " ".join(sorted(set(ids))) or None


def may_have_expired(event_ids: str | None, floors: Floors) -> bool:
    """Tell whether any of a message's events is so old that the log has to be asked."""
    return event_ids is not None and event_ids < floor_id(floors.highest())


def kept_sql(org: str, floors: Floors, args: Arguments) -> str:
    """Return the condition that the log still shows all events of a row of `notify_message`.

    `org` is the placeholder of the org's id.
    """
    edge = args.add(floor_id(floors.highest()))
    visible = (
        f"SELECT 1 FROM audit_event WHERE audit_event.org_id = {org} "  # noqa: S608 - arguments only
        f"AND audit_event.id = shown.value AND {floor_sql(floors, args)}"
    )
    expired = f"SELECT 1 FROM {_SHOWN[args.dialect]} WHERE NOT EXISTS ({visible})"  # noqa: S608 - arguments only
    return f"(event_ids IS NULL OR event_ids >= {edge} OR NOT EXISTS ({expired}))"


async def any_expired_waits(conn: AsyncConnection, org_id: str, floors: Floors) -> bool:
    """Tell whether `drop_expired` would give anything up, without a lock or a transaction."""
    args = arguments_for(conn)
    org = args.add(org_id)
    where = [f"org_id = {org}", "state = 'pending'", *_old(org, floors, args)]
    sql = f"SELECT 1 FROM notify_message WHERE {' AND '.join(where)} LIMIT 1"  # noqa: S608 - arguments only
    return bool(await fetch(conn, sql, args.values))


async def drop_expired(
    conn: AsyncConnection,
    org_id: str,
    floors: Floors,
    now_ms: int,
    destination_id: str | None = None,
) -> list[str]:
    """Give up what waits in an org, or for one destination, and shows an event that has expired.

    Returns the ids of the destinations that it waited for, each once. A message that somebody
    works on at this moment is passed over.
    """
    args = arguments_for(conn)
    org = args.add(org_id)
    where = [f"org_id = {org}", "state = 'pending'", *_old(org, floors, args)]
    if destination_id is not None:
        where.append(f"destination_id = {args.add(destination_id)}")
    # Never waits for a row: what else is locked by whoever calls may be what that one waits for.
    lock = "FOR UPDATE SKIP LOCKED" if args.dialect == "postgresql" else ""
    chosen = f"SELECT id FROM notify_message WHERE {' AND '.join(where)} {lock}"  # noqa: S608 - arguments only
    sql = (
        f"UPDATE notify_message SET state = 'dropped', settled_at = {args.add(now_ms)} "  # noqa: S608 - arguments only
        f"WHERE org_id = {org} AND id IN ({chosen}) RETURNING destination_id"
    )
    found = await conn.exec_driver_sql(sql, tuple(args.values))
    return sorted({row[0] for row in found})


async def expired_messages(conn: AsyncConnection, org_id: str, floors: Floors) -> list[str]:
    """Return the ids of at most 1,000 settled messages that show an event which has expired.

    To be asked outside of a transaction: where many are as old and still kept, by an override or
    a hold, each of them is looked at.
    """
    args = arguments_for(conn)
    org = args.add(org_id)
    where = [f"org_id = {org}", "state <> 'pending'", *_old(org, floors, args)]
    sql = (
        f"SELECT id FROM notify_message WHERE {' AND '.join(where)} "  # noqa: S608 - arguments only
        f"ORDER BY event_ids LIMIT {args.add(_FORGET_ROWS)}"
    )
    return [row[0] for row in await fetch(conn, sql, args.values)]


def _old(org: str, floors: Floors, args: Arguments) -> tuple[str, str]:
    """Return the condition of what has expired, first so that an index finds the few rows."""
    edge = args.add(floor_id(floors.highest()))
    return f"event_ids < {edge}", f"NOT {kept_sql(org, floors, args)}"


async def delete_messages(conn: AsyncConnection, org_id: str, ids: Sequence[str]) -> None:
    """Delete settled messages of an org with their attempts; a thousand at most."""
    for table, column in (
        (notify_attempt, notify_attempt.c.message_id),
        (notify_message, notify_message.c.id),
    ):
        await conn.execute(delete(table).where(table.c.org_id == org_id, column.in_(ids)))
