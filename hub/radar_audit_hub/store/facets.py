"""Counting the log: facets of a filter, and the size of an export before it starts.

Called by the audit handlers and the Activity page. What the day counters know comes from them
(`day_counts.py`), what no counter can answer from a bounded number of rows. Never an unbounded
COUNT.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from radar_audit_events.actions import ACTIONS
from radar_audit_events.query import Query

from radar_audit_hub.retention.policy import Floors

from .database import Database, fetch
from .day_counts import BY_ACTION, count_by
from .query import above, scan_edge, where_sql
from .sql import Arguments, plan

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
            counted = await count_by(BY_ACTION, connection, database, org_id, found, floors)
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
        counted = await count_by(BY_ACTION, connection, database, org_id, found, floors)
    return None if counted is None else counted.total()
