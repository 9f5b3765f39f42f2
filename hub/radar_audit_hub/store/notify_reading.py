"""Reading events to judge or to tell them: by their places in the log, in commit order.

Owns that SQL. Called by `notify/following/`. What retention hides is not returned, here as
everywhere: an event that has expired is neither judged nor shown. Never writes.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec
from radar_audit_events.event import Event
from sqlalchemy.ext.asyncio import AsyncConnection

from radar_audit_hub.notify.finding import Seen
from radar_audit_hub.retention.policy import Floors

from .database import fetch
from .sql import Arguments, arguments_for, floor_sql

_COLUMNS = (
    "seq, id, actor_user_id, actor_email, action, target_type, target_id, cluster_id, "
    "metadata, created_at, recorded_at"
)
_metadata = msgspec.json.Decoder(dict[str, Any])


async def events_between(
    conn: AsyncConnection, org_id: str, floors: Floors, first_seq: int, end_seq: int
) -> list[Seen]:
    """Return the visible events with seqs in [`first_seq`, `end_seq`), by seq."""
    args = arguments_for(conn)
    places = f"seq >= {args.add(first_seq)} AND seq < {args.add(end_seq)}"
    return await _read(conn, org_id, floors, places, args)


async def events_at(
    conn: AsyncConnection, org_id: str, floors: Floors, seqs: Collection[int]
) -> list[Seen]:
    """Return the visible events at some places, by seq; a few hundred at most."""
    if not seqs:
        return []
    args = arguments_for(conn)
    places = f"seq IN ({', '.join(args.add(seq) for seq in sorted(seqs))})"
    return await _read(conn, org_id, floors, places, args)


async def _read(
    conn: AsyncConnection, org_id: str, floors: Floors, places: str, args: Arguments
) -> list[Seen]:
    sql = (
        f"SELECT {_COLUMNS} FROM audit_event WHERE org_id = {args.add(org_id)} "  # noqa: S608 - arguments only
        f"AND {places} AND {floor_sql(floors, args)} ORDER BY seq"
    )
    return [_seen(org_id, row) for row in await fetch(conn, sql, args.values)]


def _seen(org_id: str, row: Any) -> Seen:
    event = Event(
        id=row[1],
        org_id=org_id,
        action=row[4],
        target_type=row[5],
        target_id=row[6],
        created_at_ms=row[9],
        metadata=_metadata.decode(row[8]),
        actor_user_id=row[2],
        actor_email=row[3],
        cluster_id=row[7],
        seq=row[0],
    )
    return Seen(event, row[0], row[10])
