"""Counting the log: facets of a filter, and the size of an export before it starts.

Called by the audit handlers and the Activity page. What the day counters know comes from them
(`day_counts.py`), what no counter can answer from a bounded number of rows. Never an unbounded
COUNT.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from radar_audit_events.actions import ACTIONS
from radar_audit_events.ids import event_time_ms
from radar_audit_events.query import Query
from sqlalchemy.ext.asyncio import AsyncConnection

from radar_audit_hub.retention.policy import Floors

from .database import Database, fetch
from .day_counts import BY_ACTION, count_by
from .query import above, newest_sql, scan_edge
from .sql import Arguments, Plan, plan

FACET_BUDGET_ROWS = 50_000
MAX_ACTORS = 100
_ACTOR = "COALESCE(NULLIF(actor_email, ''), NULLIF(actor_user_id, ''))"


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
    floors = floors.since(event_time_ms(found.low) if found.low else 0)
    async with database.scans.turn(org_id), database.read() as connection:
        actions = await count_by(BY_ACTION, connection, database, org_id, found, floors)
        edge = await scan_edge(connection, database, org_id, found, floors)
        near = found if edge is None else above(found, edge)
        is_known = actions is not None
        if actions is not None:
            actors, looked_at = await _actors(connection, database, org_id, near, floors, budget)
            total = actions.total()
        else:
            actions, actors = await _pairs(connection, database, org_id, near, floors, budget)
            looked_at = actions.total()
            total = min(looked_at, budget)
    complete = edge is None and looked_at <= budget
    types: Counter[str] = Counter()
    for action, count in actions.items():
        types[ACTIONS[action].target_type] += count
    return Facets(
        actions=actions.most_common(),
        actors=actors,
        target_types=types.most_common(),
        total=total,
        total_capped=not complete and not is_known,
        complete=complete,
    )


async def _actors(
    connection: AsyncConnection,
    database: Database,
    org_id: str,
    found: Plan,
    floors: Floors,
    budget: int,
) -> tuple[list[tuple[str, int]], int]:
    """Count the newest rows by actor; return these and how many rows were looked at."""
    args = Arguments(database.dialect)
    newest = newest_sql("id, actor_email, actor_user_id", org_id, found, floors, budget + 1, args)
    rows = await fetch(
        connection,
        f"SELECT {_ACTOR}, count(*), CAST(sum(count(*)) OVER () AS BIGINT) "  # noqa: S608 - arguments only
        f"FROM ({newest}) AS newest "
        f"GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {MAX_ACTORS + 1}",  # one may be nobody
        args.values,
    )
    actors = [(name, count) for name, count, _ in rows if name is not None]
    return actors[:MAX_ACTORS], rows[0][2] if rows else 0


async def _pairs(
    connection: AsyncConnection,
    database: Database,
    org_id: str,
    found: Plan,
    floors: Floors,
    budget: int,
) -> tuple[Counter[str], list[tuple[str, int]]]:
    """Count the newest rows by action and by actor, looking at each of them once."""
    args = Arguments(database.dialect)
    columns = "id, action, actor_email, actor_user_id"
    newest = newest_sql(columns, org_id, found, floors, budget + 1, args)
    rows = await fetch(
        connection,
        f"SELECT action, {_ACTOR}, count(*) FROM ({newest}) AS newest GROUP BY 1, 2",  # noqa: S608 - arguments only
        args.values,
    )
    actions: Counter[str] = Counter()
    actors: Counter[str] = Counter()
    for action, actor, count in rows:
        actions[action] += count
        if actor is not None:
            actors[actor] += count
    return actions, sorted(actors.items(), key=lambda one: (-one[1], one[0]))[:MAX_ACTORS]


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
