"""Reading the log: pages, one event, following.

Owns the SQL of every search. Called by the audit handlers and the export. Each
path applies the retention floor itself, so that an expired row is invisible
whether or not it has been purged. Never writes, never uses OFFSET on a page
path or an exact COUNT.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from radar_audit_events.ids import floor_id, format_ms
from radar_audit_events.query import Query
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from radar_audit_hub.retention.policy import Floors

from .database import Database, fetch
from .schema import audit_log_head
from .sql import (
    MAX_MERGED_LISTS,
    TOP_ID,
    Arguments,
    Plan,
    actions_sql,
    bounds_sql,
    floor_sql,
    plan,
    residual_sql,
    scan_weight,
)

# Rows looked at for one page when terms cannot be answered by an index: some tenths of a second
# for one word, and fewer rows the more there is to look for in each.
SCAN_BUDGET_ROWS = 50_000
ROW_COLUMNS = (
    "id, org_id, actor_user_id, actor_email, action, target_type, target_id, "
    "metadata, created_at, seq"
)


class StoredEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One row in the contract's public form and order; encoding it gives the public JSON."""

    id: str
    org_id: str
    actor_user_id: str | None
    actor_email: str | None
    action: str
    target_type: str
    target_id: str
    metadata: msgspec.Raw
    created_at: str
    seq: int
    recorded_at: str | msgspec.UnsetType = msgspec.UNSET


@dataclass(frozen=True, slots=True)
class Page:
    """Rows newest first; `next_before` is the id to go on below, None at the end.

    A page may hold fewer rows than asked for, even none, and still go on: its
    scan budget ran out.
    """

    rows: list[StoredEvent]
    next_before: str | None


@dataclass(frozen=True, slots=True)
class Followed:
    """Rows in commit order; `read_to_seq` is how far the log was looked at."""

    rows: list[StoredEvent]
    read_to_seq: int


def stored_event(row: Any) -> StoredEvent:
    """Make the public form of a row selected with ROW_COLUMNS (and maybe recorded_at after)."""
    return StoredEvent(
        id=row[0],
        org_id=row[1],
        actor_user_id=row[2],
        actor_email=row[3],
        action=row[4],
        target_type=row[5],
        target_id=row[6],
        metadata=msgspec.Raw(row[7]),
        created_at=format_ms(row[8]),
        seq=row[9],
        recorded_at=format_ms(row[10]) if len(row) > 10 else msgspec.UNSET,
    )


def _columns(*, recorded: bool) -> str:
    return f"{ROW_COLUMNS}, recorded_at" if recorded else ROW_COLUMNS


def where_sql(org_id: str, found: Plan, floors: Floors, args: Arguments) -> str:
    """Return the whole condition of a plan in one piece, for scans, exports and following."""
    conditions = [f"org_id = {args.add(org_id)}", *_visible(found, floors, args)]
    if found.actions is not None:
        conditions.append(actions_sql(found.actions, args))
    conditions.extend(residual_sql(found, args))
    return " AND ".join(conditions)


def _visible(found: Plan, floors: Floors, args: Arguments) -> list[str]:
    """Return the conditions on id, actor and age."""
    if floors.exceptions or not floors.is_plain:
        return [floor_sql(floors, args), *bounds_sql(found, args)]
    # One bound at each end: with two at the same one SQLite takes another index.
    low = max(found.low, floor_id(floors.default_ms))
    return bounds_sql(replace(found, low=low), args)


async def page(
    database: Database,
    org_id: str,
    query: Query,
    floors: Floors,
    *,
    before: str | None,
    limit: int,
    with_recorded_at: bool = False,
) -> Page:
    """Return the newest `limit` matching events with an id below `before`."""
    found = _below(plan(query), before)
    if found.empty:
        return Page([], None)
    async with reading(database, org_id, found) as connection:
        edge = await scan_edge(connection, database, org_id, found, floors)
        if edge is not None:
            found = above(found, edge)
        args = Arguments(database.dialect)
        sql = _page_sql(org_id, found, floors, limit + 1, args, recorded=with_recorded_at)
        rows = await fetch(connection, sql, args.values)
    events = [stored_event(row) for row in rows[:limit]]
    if len(rows) > limit:
        return Page(events, events[-1].id)
    return Page(events, edge)


def _below(found: Plan, before: str | None) -> Plan:
    if before is None or before >= found.high:
        return found
    return replace(found, high=before)


def above(found: Plan, edge: str) -> Plan:
    """Return the plan bounded to ids from `edge` on."""
    return replace(found, low=max(found.low, edge))


def _many_actions(found: Plan) -> bool:
    return found.actions is not None and len(found.actions) > MAX_MERGED_LISTS and not found.actor


def _scans(found: Plan) -> bool:
    return bool(found.residual) or _many_actions(found)


def _budget_rows(found: Plan) -> int:
    return max(1, SCAN_BUDGET_ROWS // scan_weight(found))


@contextlib.asynccontextmanager
async def reading(database: Database, org_id: str, found: Plan) -> AsyncIterator[AsyncConnection]:
    """Hand out a connection for a plan; one that looks at rows one by one waits for its turn."""
    if not _scans(found):
        async with database.read() as connection:
            yield connection
        return
    async with database.scans.turn(org_id), database.read() as connection:
        yield connection


async def scan_edge(
    connection: AsyncConnection, database: Database, org_id: str, found: Plan, floors: Floors
) -> str | None:
    """Return the id at which the row budget of one scan ends, None if it reaches the end.

    None also for a plan that an index answers.
    """
    if not _scans(found):
        return None
    args = Arguments(database.dialect)
    anyone = replace(found, actor=())
    bounds = bounds_sql(anyone, args) if floors.exceptions else _visible(anyone, floors, args)
    conditions = [f"org_id = {args.add(org_id)}", *bounds]
    budget = _budget_rows(found)
    newest = _by_actor("id", conditions, found, budget, args)
    rows = await fetch(
        connection,
        f"SELECT id FROM ({newest}) AS newest ORDER BY id DESC LIMIT 1 OFFSET {budget - 1}",  # noqa: S608 - arguments only
        args.values,
    )
    return rows[0][0] if rows else None


def _page_sql(
    org_id: str, found: Plan, floors: Floors, count: int, args: Arguments, *, recorded: bool
) -> str:
    """Merge sorted lists: each action (or all) above its floor, plus what outlives the default."""
    columns = _columns(recorded=recorded)
    org = f"org_id = {args.add(org_id)}"
    limit = args.add(count)
    shared = [org, *residual_sql(found, args)]
    lists = []
    merged = found.actions is not None and not _many_actions(found) and not found.actor
    if merged and found.actions is not None and args.dialect == "postgresql":
        lists.append(_lateral(found, found.actions, shared, floors, columns, limit, args))
    elif merged and found.actions is not None:
        for action in sorted(found.actions):
            floor = floor_id(floors.lowest_for(action))
            conditions = [*shared, f"action = {args.add(action)}", *_between(found, floor, args)]
            conditions += _filter(floors, args)
            lists.append(_list(columns, conditions, limit))
    else:
        narrow = [] if found.actions is None else [actions_sql(found.actions, args)]
        lists.extend(
            _list(columns, [*shared, *narrow, *actor, *conditions], limit)
            for actor in _actor_lists(found, args)
            for conditions in _floor_lists(floors, found, args)
        )
    return _merge(lists, limit)


def newest_sql(
    columns: str, org_id: str, found: Plan, floors: Floors, count: int, args: Arguments
) -> str:
    """Return the statement of the newest `count` rows of a plan; `columns` are id and others.

    Where each of them is to be counted, not shown: each row's floor is judged by itself.
    """
    where = where_sql(org_id, replace(found, actor=()), floors, args)
    return _by_actor(columns, [where], found, count, args)


def _by_actor(columns: str, shared: Sequence[str], found: Plan, count: int, args: Arguments) -> str:
    """Merge a list for each column that the actor may be found under: OR would use no index."""
    limit = args.add(count)
    return _merge(
        [_list(columns, [*shared, *actor], limit) for actor in _actor_lists(found, args)], limit
    )


def _merge(lists: Sequence[str], limit: str) -> str:
    if len(lists) == 1:
        return lists[0]
    parts = " UNION ALL ".join(f"SELECT * FROM ({one}) AS part" for one in lists)  # noqa: S608 - arguments only
    return f"SELECT * FROM ({parts}) AS parts ORDER BY id DESC LIMIT {limit}"  # noqa: S608 - arguments only


def _list(columns: str, conditions: Sequence[str], limit: str) -> str:
    return (
        f"SELECT {columns} FROM audit_event WHERE {' AND '.join(conditions)} "  # noqa: S608 - arguments only
        f"ORDER BY id DESC LIMIT {limit}"
    )


def _between(found: Plan, floor: str, args: Arguments, top: str = TOP_ID) -> list[str]:
    """Return the conditions on the id, one at each end: from `floor` on and below `top`, too."""
    low, high = max(found.low, floor), min(found.high, top)
    return bounds_sql(replace(found, actor=(), low=low, high=high), args)


def _lateral(
    found: Plan,
    actions: frozenset[str],
    shared: Sequence[str],
    floors: Floors,
    columns: str,
    limit: str,
    args: Arguments,
) -> str:
    names = sorted(actions)
    ids = [max(found.low, floor_id(floors.lowest_for(name))) for name in names]
    below = bounds_sql(replace(found, actor=(), low=""), args)
    wanted = ["action = wanted.name", "id >= wanted.floor", *below, *_filter(floors, args)]
    inner = _list(columns, [*shared, *wanted], limit)
    return (
        f"SELECT part.* FROM unnest({args.add(names)}::text[], {args.add(ids)}::text[]) "  # noqa: S608 - arguments only
        f"AS wanted(name, floor) CROSS JOIN LATERAL ({inner}) AS part "
        f"ORDER BY part.id DESC LIMIT {limit}"
    )


def _actor_lists(found: Plan, args: Arguments) -> list[list[str]]:
    """Return the actor conditions of each list: one list for each index, without doubles."""
    lists: list[list[str]] = []
    others: list[str] = []
    for column, text in found.actor:
        mark = args.add(text)
        lists.append([f"{column} = {mark}", *others])
        others = [f"COALESCE({column} <> {mark}, TRUE)"]
    return lists or [[]]


def _filter(floors: Floors, args: Arguments) -> list[str]:
    """Return what is to be looked at row by row, where the action alone does not decide."""
    return [] if floors.is_plain else [floor_sql(floors, args)]


def _floor_lists(floors: Floors, found: Plan, args: Arguments) -> list[list[str]]:
    """Return the conditions of each list: all above the default floor, longer actions below it.

    Kept apart, so that each is a range of one index however many expired rows await the purge.
    """
    default = floor_id(floors.default_ms)
    base = _between(found, default, args)
    lists = [base]
    apart: list[str] = []
    for exception in floors.exceptions:
        is_longer = exception.floor_ms < floors.default_ms
        if found.actions is not None and exception.action not in found.actions:
            continue
        if not is_longer and not floors.is_plain:
            continue  # the filter has it
        name = args.add(exception.action)
        mine = f"action = {name}"
        lowest = exception.floor_ms if floors.is_plain else floors.lowest_for(exception.action)
        reach = floor_id(lowest)
        if is_longer:
            lists.append([mine, *_between(found, reach, args, default)])
            apart.append(name)
        else:
            base.append(f"NOT ({mine} AND NOT id >= {args.add(reach)})")
    if not floors.is_plain:
        low = floor_id(floors.lowest_of_clusters())
        older = _between(found, low, args, default)
        lists.append([*older, *(f"action <> {name}" for name in apart)])
        lists = [[*one, floor_sql(floors, args)] for one in lists]
    return lists


async def get(
    database: Database,
    org_id: str,
    event_id: str,
    floors: Floors,
    *,
    with_recorded_at: bool = False,
) -> StoredEvent | None:
    """Return one event, None when it is unknown or no longer visible."""
    args = Arguments(database.dialect)
    sql = (
        f"SELECT {_columns(recorded=with_recorded_at)} FROM audit_event "  # noqa: S608 - arguments only
        f"WHERE org_id = {args.add(org_id)} AND id = {args.add(event_id)} "
        f"AND {floor_sql(floors, args)}"
    )
    async with database.read() as connection:
        rows = await fetch(connection, sql, args.values)
    return stored_event(rows[0]) if rows else None


async def next_seq(database: Database, org_id: str) -> int:
    """Return the seq that the org's next event will get: 0 for an empty log."""
    query = select(audit_log_head.c.next_seq).where(audit_log_head.c.org_id == org_id)
    async with database.read() as connection:
        return (await connection.execute(query)).scalar_one_or_none() or 0


async def follow(
    database: Database,
    org_id: str,
    query: Query,
    floors: Floors,
    *,
    after_seq: int,
    limit: int,
) -> Followed:
    """Return the next `limit` matching events after `after_seq`, in commit order.

    Commit order is seq order, because the head's lock gives out seqs: what is
    read up to the head read first can never be joined by a lower seq later.
    """
    found = plan(query)
    end = min(await next_seq(database, org_id), after_seq + 1 + _budget_rows(found))
    if end <= after_seq + 1 or found.empty:
        return Followed([], max(after_seq, end - 1))
    args = Arguments(database.dialect)
    where = where_sql(org_id, found, floors, args)
    sql = (
        f"SELECT {ROW_COLUMNS} FROM audit_event WHERE {where} "  # noqa: S608 - arguments only
        f"AND seq > {args.add(after_seq)} AND seq < {args.add(end)} "
        f"ORDER BY seq LIMIT {args.add(limit)}"
    )
    async with reading(database, org_id, found) as connection:
        rows = [stored_event(row) for row in await fetch(connection, sql, args.values)]
    return Followed(rows, rows[-1].seq if len(rows) == limit else end - 1)
