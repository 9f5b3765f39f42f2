"""Counting the log over time: how many events of a filter fall into each stretch of a range.

Owns the SQL of the histogram. Called by the Activity page. What the day counters know, they are
asked first: for stretches of whole days, and whether the rows are few enough to be counted in
shorter ones. What no counter knows comes from a bounded number of rows. Never an unbounded COUNT;
what was not counted is said.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass

from radar_audit_events.ids import event_time_ms, floor_id
from radar_audit_events.query import Query
from sqlalchemy.ext.asyncio import AsyncConnection

from radar_audit_hub.retention.policy import DAY_MS, Floors

from .database import Database, driver, fetch
from .day_counts import BY_DAY, count_by, most_of
from .query import above, newest_sql, scan_edge
from .sql import Arguments, Plan, floor_sql, plan

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
    floors = floors.since(event_time_ms(low))
    async with database.scans.turn(org_id), database.read() as connection:
        most = await most_of(connection, database, org_id, bounded, floors)
        if most is None:
            return await _of_newest(
                connection, database, org_id, bounded, floors, (from_ms, to_ms, step_ms)
            )
        in_days = step_ms % DAY_MS == 0
        if in_days or most > BUDGET_ROWS:
            by_day = await count_by(BY_DAY, connection, database, org_id, bounded, floors)
            if by_day is not None and (in_days or by_day.total() > BUDGET_ROWS):
                step_ms = max(step_ms // DAY_MS, 1) * DAY_MS
                return Stretches(step_ms, _in_days(by_day, step_ms), from_ms)
        counts = await _of_ids(connection, database, org_id, bounded, floors, step_ms)
    return Stretches(step_ms, counts, from_ms)


def _in_days(by_day: Counter[int], step_ms: int) -> dict[int, int]:
    whole: Counter[int] = Counter()
    for day, count in by_day.items():
        whole[day * DAY_MS // step_ms * step_ms] += count
    return dict(whole)


async def _of_ids(
    connection: AsyncConnection,
    database: Database,
    org_id: str,
    found: Plan,
    floors: Floors,
    step_ms: int,
) -> dict[int, int]:
    """Count each stretch of a plan that its ids, actions and floors decide.

    One range of an index for each stretch and action: where all of it counts, no row is read.
    """
    low_ms, high_ms = event_time_ms(found.low), event_time_ms(found.high)
    args = Arguments(database.dialect)
    named = ["bar(low, high)"]
    given = [
        [
            f"({args.add(max(found.low, floor_id(begin)))}, "
            f"{args.add(min(found.high, floor_id(begin + step_ms)))})"
            for begin in range(low_ms // step_ms * step_ms, high_ms, step_ms)
        ]
    ]
    conditions = [f"org_id = {args.add(org_id)}", "id >= bar.low", "id < bar.high"]
    if found.actions is not None:
        named.append("wanted(name)")
        given.append([f"({args.add(name)})" for name in sorted(found.actions)])
        conditions.append("action = wanted.name")
    if floors.highest() > low_ms:
        conditions.append(floor_sql(floors, args))
    lists = ", ".join(
        f"{name} AS (VALUES {', '.join(rows)})" for name, rows in zip(named, given, strict=True)
    )
    async with _by_order(connection):
        rows = await fetch(
            connection,
            f"WITH {lists} SELECT low, CAST(sum(n) AS BIGINT) FROM ("  # noqa: S608 - arguments only
            "SELECT bar.low, (SELECT count(*) FROM (SELECT 1 FROM audit_event "
            f"WHERE {' AND '.join(conditions)} ORDER BY id LIMIT {BUDGET_ROWS}) AS one) AS n "
            f"FROM bar{' CROSS JOIN wanted' if len(named) > 1 else ''}) AS part GROUP BY 1",
            args.values,
        )
    return {event_time_ms(low) // step_ms * step_ms: int(n) for low, n in rows if n}


@contextlib.asynccontextmanager
async def _by_order(connection: AsyncConnection) -> AsyncIterator[None]:
    """Hold PostgreSQL to an index that has the order which is asked for, whatever it believes.

    Of an org that came after the last statistics it expects one row, takes any index, and would
    look at the whole org for each stretch.
    """
    if connection.dialect.name != "postgresql":
        yield
        return
    raw = await driver(connection)
    async with raw.transaction():
        await raw.execute("SET LOCAL enable_sort = off")
        yield


async def _of_newest(
    connection: AsyncConnection,
    database: Database,
    org_id: str,
    found: Plan,
    floors: Floors,
    asked: tuple[int, int, int],
) -> Stretches:
    """Count the newest rows of a plan in [from, to) by steps, all in Unix ms."""
    from_ms, to_ms, step_ms = asked
    edge = await scan_edge(connection, database, org_id, found, floors)
    args = Arguments(database.dialect)
    near = found if edge is None else above(found, edge)
    newest = newest_sql("id, created_at", org_id, near, floors, BUDGET_ROWS, args)
    step = args.add(step_ms)
    # SQLite and PostgreSQL both divide whole numbers to whole numbers.
    rows = await fetch(
        connection,
        f"SELECT created_at / {step}, count(*), min(created_at) "  # noqa: S608 - arguments only
        f"FROM ({newest}) AS newest GROUP BY 1",
        args.values,
    )
    counts = {int(row[0]) * step_ms: int(row[1]) for row in rows}
    if edge is None and sum(counts.values()) < BUDGET_ROWS:
        return Stretches(step_ms, counts, from_ms)
    oldest = min((int(row[2]) for row in rows), default=to_ms)
    return Stretches(step_ms, counts, event_time_ms(edge) if edge is not None else oldest)
