"""Counts what other ages would take of an org's log, before they are in force.

Owns one bounded count, by the very conditions that reading and purging go by. Called by the audit
policy for its answers. Never deletes, and never counts further than its bound.
"""

from __future__ import annotations

from radar_audit_events.ids import floor_id
from sqlalchemy.ext.asyncio import AsyncConnection

from radar_audit_hub.retention.policy import Floors

from .database import fetch
from .sql import arguments_for, floor_sql

MAX_COUNTED = 100_000  # more is told as "at least so many": a count must not hold up an answer


async def would_delete(
    conn: AsyncConnection, org_id: str, now: Floors, then: Floors, cluster_id: str | None = None
) -> int:
    """Return how many events are visible by `now` and not by `then`, at most MAX_COUNTED.

    With `cluster_id` only that cluster's are counted.
    """
    args = arguments_for(conn)
    conditions = [
        f"org_id = {args.add(org_id)}",
        f"id < {args.add(floor_id(then.highest()))}",
        floor_sql(now, args),
        f"NOT {floor_sql(then, args)}",
    ]
    if cluster_id is not None:
        conditions.append(f"cluster_id = {args.add(cluster_id)}")
    sql = (
        f"SELECT count(*) FROM (SELECT 1 FROM audit_event WHERE {' AND '.join(conditions)} "  # noqa: S608 - arguments only
        f"LIMIT {MAX_COUNTED}) AS counted"
    )
    return int((await fetch(conn, sql, args.values))[0][0])
