"""Counting the log: facets of a filter, and the size of an export before it starts.

Owns the use of the day counters. Called by the audit handlers. Whole days come
from the counters, the days at the edges from rows, and what no counter can
answer from a bounded number of rows. Never an unbounded COUNT.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from radar_audit_events.actions import ACTIONS
from radar_audit_events.ids import event_time_ms, floor_id
from radar_audit_events.query import Query
from sqlalchemy.ext.asyncio import AsyncConnection

from radar_audit_hub.retention.policy import DAY_MS, Floors

from .database import Database, fetch
from .query import above, scan_edge, where_sql
from .sql import Arguments, Plan, actions_sql, plan

FACET_BUDGET_ROWS = 50_000
MAX_ACTORS = 100


@dataclass(frozen=True, slots=True)
class Facets:
    """Counts by value, most first; `complete` tells whether every matching row was counted.

    `total_capped`: there may be more than `total`. Action and type counts may be
    complete (from counters) where the actors' are of the newest rows only.
    """

    actions: list[tuple[str, int]]
    actors: list[tuple[str, int]]
    target_types: list[tuple[str, int]]
    total: int
    total_capped: bool
    complete: bool


async def facets(
    database: Database,
    org_id: str,
    query: Query,
    floors: Floors,
    *,
    budget_rows: int | None = None,
) -> Facets:
    """Count the events of a filter by action, actor and target type.

    Looks at `budget_rows` rows at most (None: FACET_BUDGET_ROWS), the newest; what the day
    counters know is whole anyway.
    """
    budget = FACET_BUDGET_ROWS if budget_rows is None else budget_rows
    found = plan(query)
    if found.empty:
        return Facets([], [], [], 0, total_capped=False, complete=True)
    async with database.scans.turn(org_id), database.read() as connection:
        edge = await scan_edge(connection, database, org_id, found, floors)
        args = Arguments(database.dialect)
        where = where_sql(org_id, found if edge is None else above(found, edge), floors, args)
        sql = (
            "SELECT action, actor_email, actor_user_id, count(*) FROM ("  # noqa: S608 - arguments only
            f"SELECT action, actor_email, actor_user_id FROM audit_event WHERE {where} "
            f"ORDER BY id DESC LIMIT {budget + 1}) AS newest GROUP BY 1, 2, 3"
        )
        rows = await fetch(connection, sql, args.values)
        complete = edge is None and sum(row[3] for row in rows) <= budget
        counted = None
        if not complete:
            counted = await _from_counters(connection, database, org_id, found, floors)
    actors: Counter[str] = Counter()
    scanned: Counter[str] = Counter()
    for action, email, user, count in rows:
        scanned[action] += count
        if email or user:
            actors[email or user] += count
    by_action = scanned if counted is None else counted
    types: Counter[str] = Counter()
    for action, count in by_action.items():
        types[ACTIONS[action].target_type] += count
    return Facets(
        actions=by_action.most_common(),
        actors=actors.most_common(MAX_ACTORS),
        target_types=types.most_common(),
        total=min(by_action.total(), budget) if counted is None else by_action.total(),
        total_capped=not complete and counted is None,
        complete=complete,
    )


async def estimate_rows(
    database: Database, org_id: str, query: Query, floors: Floors
) -> int | None:
    """Return how many rows an export will have, None where only counting them would tell."""
    found = plan(query)
    if found.empty:
        return 0
    async with database.read() as connection:
        counted = await _from_counters(connection, database, org_id, found, floors)
    return None if counted is None else counted.total()


async def _from_counters(
    connection: AsyncConnection, database: Database, org_id: str, found: Plan, floors: Floors
) -> Counter[str] | None:
    """Count by action with the day counters; None where the filter needs a look at rows."""
    if found.residual or found.actor or not floors.is_plain:
        return None
    counts: Counter[str] = Counter()
    low_ms = event_time_ms(found.low) if found.low else 0
    high_ms = event_time_ms(found.high) if found.high[3:4].isdigit() else None
    for action in ACTIONS if found.actions is None else found.actions:
        start = max(low_ms, floors.floor_for(action))
        counts[action] = start
    # Actions share at most a few floors: one statement for each.
    result: Counter[str] = Counter()
    for start in set(counts.values()):
        names = frozenset(a for a, s in counts.items() if s == start)
        result.update(await _count_between(connection, database, org_id, names, start, high_ms))
    return Counter({a: n for a, n in result.items() if n > 0})


async def _count_between(
    connection: AsyncConnection,
    database: Database,
    org_id: str,
    actions: frozenset[str],
    start_ms: int,
    end_ms: int | None,
) -> Counter[str]:
    first_day = -(-start_ms // DAY_MS)
    end_day = None if end_ms is None else end_ms // DAY_MS
    result: Counter[str] = Counter()
    args = Arguments(database.dialect)
    conditions = [
        f"org_id = {args.add(org_id)}",
        f"day >= {args.add(first_day)}",
        actions_sql(actions, args),
    ]
    if end_day is not None:
        conditions.append(f"day < {args.add(end_day)}")
    rows = await fetch(
        connection,
        # SQLite sums integers as integers; PostgreSQL's sum of bigint is numeric.
        "SELECT action, CAST(sum(n) AS BIGINT) FROM audit_day_count "  # noqa: S608 - arguments only
        f"WHERE {' AND '.join(conditions)} GROUP BY action",
        args.values,
    )
    result.update({row[0]: int(row[1]) for row in rows})
    edges = [(start_ms, min(first_day * DAY_MS, first_day * DAY_MS if end_ms is None else end_ms))]
    if end_ms is not None and end_day is not None and end_day >= first_day:
        edges.append((end_day * DAY_MS, end_ms))
    for low, high in edges:
        if low >= high:
            continue
        args = Arguments(database.dialect)
        rows = await fetch(
            connection,
            "SELECT action, count(*) FROM audit_event "  # noqa: S608 - arguments only
            f"WHERE org_id = {args.add(org_id)} AND id >= {args.add(floor_id(low))} "
            f"AND id < {args.add(floor_id(high))} AND {actions_sql(actions, args)} GROUP BY action",
            args.values,
        )
        result.update({row[0]: int(row[1]) for row in rows})
    return result
