"""Counting with the day counters: whole days from them, the days at the edges from rows.

Owns the use of the day counters. Called by `facets.py`, which counts by action, and by
`histogram.py`, which counts by day. Never an unbounded COUNT, and None for what no counter knows:
what a floor hides row by row, and what only a look at the rows can find.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from radar_audit_events.actions import ACTIONS
from radar_audit_events.ids import event_time_ms, floor_id
from sqlalchemy.ext.asyncio import AsyncConnection

from radar_audit_hub.retention.policy import DAY_MS, Floors

from .database import Database, fetch
from .sql import Arguments, Plan, actions_sql


@dataclass(frozen=True, slots=True)
class Key:
    """What is counted apart: a column of the counters, and the same of the rows of one day."""

    of_counter: str
    of_rows: str | None  # None: the day itself, so that the rows need not be looked at


BY_ACTION = Key("action", "action")
BY_DAY = Key("day", None)


def _is_known(found: Plan, floors: Floors) -> bool:
    return not found.residual and not found.actor and floors.is_plain


async def most_of(
    connection: AsyncConnection, database: Database, org_id: str, found: Plan, floors: Floors
) -> int | None:
    """Return a number that a filter has no more events than: those of the days it touches.

    The filter's times are bounded on both sides. None where the filter needs a look at rows.
    """
    if not _is_known(found, floors):
        return None
    args = Arguments(database.dialect)
    conditions = [
        f"org_id = {args.add(org_id)}",
        f"day >= {args.add(event_time_ms(found.low) // DAY_MS)}",
        f"day <= {args.add(event_time_ms(found.high) // DAY_MS)}",
    ]
    if found.actions is not None:
        conditions.append(actions_sql(found.actions, args))
    rows = await fetch(
        connection,
        # SQLite sums integers as integers; PostgreSQL's sum of bigint is numeric.
        "SELECT CAST(COALESCE(sum(n), 0) AS BIGINT) FROM audit_day_count "  # noqa: S608 - arguments only
        f"WHERE {' AND '.join(conditions)}",
        args.values,
    )
    return int(rows[0][0])


async def count_by(
    key: Key,
    connection: AsyncConnection,
    database: Database,
    org_id: str,
    found: Plan,
    floors: Floors,
) -> Counter[Any] | None:
    """Count a filter's events by action (text) or UTC day (whole days since 1970).

    None where the filter needs a look at rows.
    """
    if not _is_known(found, floors):
        return None
    low_ms = event_time_ms(found.low) if found.low else 0
    high_ms = event_time_ms(found.high) if found.high[3:4].isdigit() else None
    starts: dict[int, set[str]] = {}
    for action in ACTIONS if found.actions is None else found.actions:
        starts.setdefault(max(low_ms, floors.floor_for(action)), set()).add(action)
    # Actions share at most a few floors: one statement for each.
    result: Counter[Any] = Counter()
    for start, names in starts.items():
        between = (start, high_ms)
        result.update(
            await _count_between(key, connection, database, org_id, frozenset(names), between)
        )
    return Counter({value: count for value, count in result.items() if count > 0})


async def _count_between(
    key: Key,
    connection: AsyncConnection,
    database: Database,
    org_id: str,
    actions: frozenset[str],
    between: tuple[int, int | None],
) -> Counter[Any]:
    start_ms, end_ms = between
    first_day = -(-start_ms // DAY_MS)
    end_day = None if end_ms is None else end_ms // DAY_MS
    result: Counter[Any] = Counter()
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
        f"SELECT {key.of_counter}, CAST(sum(n) AS BIGINT) FROM audit_day_count "  # noqa: S608 - arguments only
        f"WHERE {' AND '.join(conditions)} GROUP BY 1",
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
        conditions = [
            f"org_id = {args.add(org_id)}",
            f"id >= {args.add(floor_id(low))}",
            f"id < {args.add(floor_id(high))}",
        ]
        # Named, even all of them, actions come from an index; days need no look at them.
        if key.of_rows is not None or len(actions) < len(ACTIONS):
            conditions.append(actions_sql(actions, args))
        of_rows = str(low // DAY_MS) if key.of_rows is None else key.of_rows
        rows = await fetch(
            connection,
            f"SELECT {of_rows}, count(*) FROM audit_event "  # noqa: S608 - arguments only
            f"WHERE {' AND '.join(conditions)} GROUP BY 1",
            args.values,
        )
        result.update({row[0]: int(row[1]) for row in rows})
    return result
