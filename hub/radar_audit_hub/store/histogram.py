"""Counting the log over time: how many events of a filter fall into each stretch of a range.

Owns the SQL of the histogram. Called by the Activity page. As the facets do: from a bounded
number of rows, and where they are too many from the day counters, in stretches of whole UTC days.
Never an unbounded COUNT; what was not counted is said.
"""

from __future__ import annotations

from dataclasses import dataclass

from radar_audit_events.ids import event_time_ms, floor_id
from radar_audit_events.query import Query

from radar_audit_hub.retention.policy import DAY_MS, Floors

from .database import Database, fetch
from .day_counts import BY_DAY, count_by
from .query import above, scan_edge, where_sql
from .sql import Arguments, Plan, plan

BUDGET_ROWS = 50_000
MAX_BARS = 400


@dataclass(frozen=True, slots=True)
class Stretches:
    """Counts of stretches of `step_ms` that begin at multiples of it, by their begin (Unix ms).

    A stretch that is not there has none. Before `counted_from_ms` nothing was counted.
    """

    step_ms: int
    counts: dict[int, int]
    counted_from_ms: int


async def stretches(
    database: Database,
    org_id: str,
    query: Query,
    floors: Floors,
    *,
    from_ms: int,
    to_ms: int,
    step_ms: int,
) -> Stretches:
    """Count the events of a filter in [from_ms, to_ms), in stretches of `step_ms`.

    The answer's stretches are days (or `step_ms`, if that is whole days) where the rows were too
    many and the day counters know. Raises ValueError for more than MAX_BARS stretches.
    """
    if (to_ms - from_ms) // step_ms > MAX_BARS:
        raise ValueError(f"at most {MAX_BARS} stretches can be counted")
    found = plan(query)
    low, high = max(found.low, floor_id(from_ms)), min(found.high, floor_id(to_ms))
    bounded = Plan(low, high, found.actions, found.actor, found.residual)
    if bounded.empty:
        return Stretches(step_ms, {}, from_ms)
    async with database.scans.turn(org_id), database.read() as connection:
        edge = await scan_edge(connection, database, org_id, bounded, floors)
        near = bounded if edge is None else above(bounded, edge)
        args = Arguments(database.dialect)
        where = where_sql(org_id, near, floors, args)
        step = args.add(step_ms)
        # SQLite and PostgreSQL both divide whole numbers to whole numbers.
        rows = await fetch(
            connection,
            f"SELECT created_at / {step}, count(*), min(created_at) FROM ("  # noqa: S608 - arguments only
            f"SELECT created_at FROM audit_event WHERE {where} "
            f"ORDER BY id DESC LIMIT {BUDGET_ROWS}) AS newest GROUP BY 1",
            args.values,
        )
        counts = {int(row[0]) * step_ms: int(row[1]) for row in rows}
        if edge is None and sum(counts.values()) < BUDGET_ROWS:
            return Stretches(step_ms, counts, from_ms)
        by_day = await count_by(BY_DAY, connection, database, org_id, bounded, floors)
    if by_day is not None:
        step_ms = max(step_ms // DAY_MS, 1) * DAY_MS
        whole: dict[int, int] = {}
        for day, count in by_day.items():
            begin = day * DAY_MS // step_ms * step_ms
            whole[begin] = whole.get(begin, 0) + count
        return Stretches(step_ms, whole, from_ms)
    oldest = min((int(row[2]) for row in rows), default=to_ms)
    return Stretches(step_ms, counts, event_time_ms(edge) if edge is not None else oldest)
