"""Counting the log over time: how many events of a filter fall into each stretch of a range.

Owns the SQL of the histogram. Called by the Activity page. As the facets do: from a bounded
number of rows, and where they are too many from the day counters, in stretches of whole UTC days.
Never an unbounded COUNT; what was not counted is said.
"""

from __future__ import annotations

from dataclasses import dataclass

from radar_audit_events.actions import ACTIONS
from radar_audit_events.ids import event_time_ms, floor_id
from radar_audit_events.query import Query
from sqlalchemy.ext.asyncio import AsyncConnection

from radar_audit_hub.retention.policy import DAY_MS, Floors

from .database import Database, fetch
from .query import above, scan_edge, where_sql
from .sql import Arguments, Plan, actions_sql, plan

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
        by_day = await _from_counters(connection, database, org_id, bounded, floors)
    if by_day is not None:
        step_ms = max(step_ms // DAY_MS, 1) * DAY_MS
        whole: dict[int, int] = {}
        for day, count in by_day.items():
            begin = day * DAY_MS // step_ms * step_ms
            whole[begin] = whole.get(begin, 0) + count
        return Stretches(step_ms, whole, from_ms)
    oldest = min((int(row[2]) for row in rows), default=to_ms)
    return Stretches(step_ms, counts, event_time_ms(edge) if edge is not None else oldest)


async def _from_counters(
    connection: AsyncConnection, database: Database, org_id: str, found: Plan, floors: Floors
) -> dict[int, int] | None:
    """Count by UTC day with the day counters; None where the filter needs a look at rows.

    A first or last day of which only a part is asked for is counted from rows.
    """
    if found.residual or found.actor or not floors.is_plain:
        return None
    low_ms, high_ms = event_time_ms(found.low), event_time_ms(found.high)
    starts: dict[int, set[str]] = {}
    for action in ACTIONS if found.actions is None else found.actions:
        starts.setdefault(max(low_ms, floors.floor_for(action)), set()).add(action)
    result: dict[int, int] = {}
    for start, names in starts.items():  # actions share at most a few floors
        if start < high_ms:
            part = await _days(connection, database, org_id, frozenset(names), start, high_ms)
            for day, count in part.items():
                result[day] = result.get(day, 0) + count
    return result


async def _days(
    connection: AsyncConnection,
    database: Database,
    org_id: str,
    actions: frozenset[str],
    start_ms: int,
    end_ms: int,
) -> dict[int, int]:
    first, last = -(-start_ms // DAY_MS), end_ms // DAY_MS
    args = Arguments(database.dialect)
    rows = await fetch(
        connection,
        "SELECT day, CAST(sum(n) AS BIGINT) FROM audit_day_count "  # noqa: S608 - arguments only
        f"WHERE org_id = {args.add(org_id)} AND day >= {args.add(first)} "
        f"AND day < {args.add(last)} AND {actions_sql(actions, args)} GROUP BY day",
        args.values,
    )
    result = {int(row[0]): int(row[1]) for row in rows}
    edges = [(start_ms, min(first * DAY_MS, end_ms)), (max(last * DAY_MS, start_ms), end_ms)]
    for low, high in edges if first <= last else edges[:1]:
        if low >= high:
            continue
        args = Arguments(database.dialect)
        rows = await fetch(
            connection,
            "SELECT count(*) FROM audit_event "  # noqa: S608 - arguments only
            f"WHERE org_id = {args.add(org_id)} AND id >= {args.add(floor_id(low))} "
            f"AND id < {args.add(floor_id(high))} AND {actions_sql(actions, args)}",
            args.values,
        )
        day = low // DAY_MS
        if rows[0][0]:
            result[day] = result.get(day, 0) + int(rows[0][0])
    return result
