"""SQL of following: how far each org's log is judged, and what its rules remember.

Owns the tables `notify_cursor`, `notify_route`, `notify_memory` and `notify_window`. Called by
`notify/following/`, and in the change that stores an owner's document. A step is written under
the condition that nobody else has made one since it was read (`advance`). Times are Unix
milliseconds. Never judges anything.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, delete, func, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from .control import insert_new
from .owners import put_row
from .schema import audit_log_head, org
from .schema_following import notify_cursor, notify_memory, notify_route, notify_window
from .schema_notify import notify_destination

CLAIM_MS = 5_000  # far above what a step takes; so long nobody does the work of who died
_CLOCKS_APART_MS = 10 * 60_000  # replicas' clocks are never this far apart
_AT_ONCE = 200  # rows of several columns in one statement, below SQLite's limit of arguments
RuleKey = tuple[str, str]
WindowKey = tuple[str, str, str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """How far an org's log is judged: up to `next_seq`, which is not; `end_seq` is its length."""

    org_id: str
    next_seq: int
    version: int
    end_seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowedOrg:
    """What judging needs of an org; `revision` counts the changes of its documents."""

    name: str
    plan: str
    retention: str | None
    revision: int
    is_deleted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """What is written of a step beside its messages: None in a value deletes the row."""

    memories: Mapping[RuleKey, str | None]
    windows: Mapping[WindowKey, tuple[int, str] | None]
    suppressed: Mapping[str, int]


async def head_seq(conn: AsyncConnection, org_id: str) -> int:
    """Return the seq of the org's next event."""
    statement = select(audit_log_head.c.next_seq).where(audit_log_head.c.org_id == org_id)
    return (await conn.execute(statement)).scalar_one_or_none() or 0


async def get_routes(conn: AsyncConnection, org_id: str) -> dict[str, str]:
    """Return the org's owners with active rules, each with its text of `notify_route`."""
    statement = select(notify_route).where(notify_route.c.org_id == org_id)
    return {row.owner_id: row.since for row in await conn.execute(statement)}


async def get_route(conn: AsyncConnection, org_id: str, owner_id: str) -> str | None:
    """Return one owner's text of `notify_route`, None for one without active rules."""
    statement = select(notify_route.c.since).where(
        notify_route.c.org_id == org_id, notify_route.c.owner_id == owner_id
    )
    return (await conn.execute(statement)).scalar_one_or_none()


async def put_route(
    conn: AsyncConnection, org_id: str, owner_id: str, since: str, *, next_seq: int, now_ms: int
) -> None:
    """Note an owner's active rules; with the org's first ones its log is followed from there on."""
    row = {"org_id": org_id, "owner_id": owner_id, "since": since}
    await put_row(conn, notify_route, row, ("org_id", "owner_id"))
    cursor = {
        "org_id": org_id,
        "next_seq": next_seq,
        "version": 0,
        "claimed_until": 0,
        "judged_at": now_ms,
    }
    await insert_new(conn, notify_cursor, cursor)


async def delete_route(conn: AsyncConnection, org_id: str, owner_id: str) -> None:
    """Note that an owner has no active rule; without any in the org its log is not followed."""
    await conn.execute(
        delete(notify_route).where(
            notify_route.c.org_id == org_id, notify_route.c.owner_id == owner_id
        )
    )
    left = select(notify_route.c.owner_id).where(notify_route.c.org_id == org_id).limit(1)
    if (await conn.execute(left)).first() is None:
        await stop_following(conn, org_id)


async def forget_rules(
    conn: AsyncConnection, org_id: str, owner_id: str, kept: Collection[str]
) -> None:
    """Forget what an owner's rules count, but for those that are `kept` by name."""
    await conn.execute(
        delete(notify_memory).where(
            notify_memory.c.org_id == org_id,
            notify_memory.c.owner_id == owner_id,
            notify_memory.c.rule.not_in(sorted(kept)),
        )
    )


async def stop_following(conn: AsyncConnection, org_id: str) -> None:
    """Forget how far an org's log is judged, and all that its rules remember."""
    for table in (notify_cursor, notify_route, notify_memory, notify_window):
        await conn.execute(delete(table).where(table.c.org_id == org_id))


async def work_waiting(conn: AsyncConnection, holder: str, now_ms: int, limit: int) -> list[str]:
    """Return orgs with events to judge or windows that are due, those longest without a step first.

    Without those that another replica works on.
    """
    free = or_(
        notify_cursor.c.claim.is_(None),
        notify_cursor.c.claim == holder,
        notify_cursor.c.claimed_until <= now_ms,
        notify_cursor.c.claimed_until > now_ms + CLAIM_MS + _CLOCKS_APART_MS,
    )
    behind = (
        select(notify_cursor.c.org_id, notify_cursor.c.judged_at)
        .join(audit_log_head, audit_log_head.c.org_id == notify_cursor.c.org_id)
        .where(free, notify_cursor.c.next_seq < audit_log_head.c.next_seq)
        .order_by(notify_cursor.c.judged_at)
        .limit(limit)
    )
    due = (
        select(notify_cursor.c.org_id, func.min(notify_window.c.due_at).label("judged_at"))
        .join(notify_window, notify_window.c.org_id == notify_cursor.c.org_id)
        .where(free, notify_window.c.due_at <= now_ms)
        .group_by(notify_cursor.c.org_id)
        .order_by("judged_at")
        .limit(limit)
    )
    found: dict[str, int] = {}
    for statement in (behind, due):
        for row in await conn.execute(statement):
            found[row.org_id] = min(row.judged_at, found.get(row.org_id, row.judged_at))
    return sorted(found, key=lambda org_id: found[org_id])[:limit]


async def events_behind(conn: AsyncConnection) -> int:
    """Return how many events of all orgs that are followed wait to be judged."""
    waiting = func.sum(audit_log_head.c.next_seq - notify_cursor.c.next_seq)
    statement = select(func.coalesce(waiting, 0)).join_from(
        notify_cursor, audit_log_head, audit_log_head.c.org_id == notify_cursor.c.org_id
    )
    return int((await conn.execute(statement)).scalar_one())


async def get_cursor(conn: AsyncConnection, org_id: str) -> Cursor | None:
    """Return how far an org's log is judged; None where it is not followed."""
    statement = select(notify_cursor).where(notify_cursor.c.org_id == org_id)
    row = (await conn.execute(statement)).first()
    if row is None:
        return None
    end = max(row.next_seq, await head_seq(conn, org_id))
    return Cursor(org_id=org_id, next_seq=row.next_seq, version=row.version, end_seq=end)


async def get_followed_org(conn: AsyncConnection, org_id: str) -> FollowedOrg:
    """Return what judging needs of an org that is followed, which is never removed."""
    statement = select(
        org.c.name, org.c.plan, org.c.retention, org.c.settings_revision, org.c.deleted_at
    ).where(org.c.id == org_id)
    row = (await conn.execute(statement)).one()
    return FollowedOrg(
        name=row.name,
        plan=row.plan,
        retention=row.retention,
        revision=row.settings_revision,
        is_deleted=row.deleted_at is not None,
    )


async def advance(
    conn: AsyncConnection, cursor: Cursor, *, next_seq: int, revision: int, holder: str, now_ms: int
) -> bool:
    """Move an org's cursor on and claim the org; False if something came between.

    Of two replicas that judged the same events one is told True; none where a document changed.
    """
    moved = await conn.execute(
        update(notify_cursor)
        .where(
            notify_cursor.c.org_id == cursor.org_id,
            notify_cursor.c.version == cursor.version,
            notify_cursor.c.next_seq == cursor.next_seq,
        )
        .values(
            next_seq=next_seq,
            version=cursor.version + 1,
            claim=holder,
            claimed_until=now_ms + CLAIM_MS,
            judged_at=now_ms,
        )
    )
    if not moved.rowcount:
        return False
    current = select(org.c.settings_revision).where(org.c.id == cursor.org_id)
    return bool((await conn.execute(current)).scalar_one() == revision)


async def load_memories(
    conn: AsyncConnection, org_id: str, rules: Collection[RuleKey]
) -> dict[RuleKey, str]:
    """Return what some rules count, by owner and name."""
    table, found = notify_memory, {}
    for part in _parts(sorted(rules)):
        statement = select(table).where(
            table.c.org_id == org_id, tuple_(table.c.owner_id, table.c.rule).in_(part)
        )
        for row in await conn.execute(statement):
            found[row.owner_id, row.rule] = row.memory
    return found


async def orgs_with_memories(conn: AsyncConnection) -> list[str]:
    """Return the orgs in which any rule counts something."""
    statement = select(notify_memory.c.org_id).distinct()
    return list((await conn.execute(statement)).scalars())


async def all_memories(conn: AsyncConnection, org_id: str) -> dict[RuleKey, str]:
    """Return what all rules of an org count, by owner and name."""
    statement = select(notify_memory).where(notify_memory.c.org_id == org_id)
    return {(row.owner_id, row.rule): row.memory for row in await conn.execute(statement)}


async def replace_memory(
    conn: AsyncConnection, org_id: str, rule: RuleKey, before: str, after: str | None
) -> bool:
    """Write what a rule counts (None: nothing) unless a step has written since; tell whether."""
    row = (
        notify_memory.c.org_id == org_id,
        notify_memory.c.owner_id == rule[0],
        notify_memory.c.rule == rule[1],
        notify_memory.c.memory == before,
    )
    if after is None:
        done = await conn.execute(delete(notify_memory).where(*row))
    else:
        done = await conn.execute(update(notify_memory).where(*row).values(memory=after))
    return bool(done.rowcount)


async def rules_due(conn: AsyncConnection, org_id: str, now_ms: int) -> set[RuleKey]:
    """Return the rules, by owner and name, for which something waited until now."""
    statement = (
        select(notify_window.c.owner_id, notify_window.c.rule)
        .where(notify_window.c.org_id == org_id, notify_window.c.due_at <= now_ms)
        .distinct()
    )
    return {(row.owner_id, row.rule) for row in await conn.execute(statement)}


async def load_windows(
    conn: AsyncConnection, org_id: str, rules: Collection[RuleKey]
) -> dict[WindowKey, tuple[int, str]]:
    """Return due time and content of all that waits for some rules."""
    table = notify_window
    found: dict[WindowKey, tuple[int, str]] = {}
    for part in _parts(sorted(rules)):
        statement = select(table).where(
            table.c.org_id == org_id, tuple_(table.c.owner_id, table.c.rule).in_(part)
        )
        for row in await conn.execute(statement):
            key = (row.owner_id, row.rule, row.destination_id, row.kind, row.key)
            found[key] = (row.due_at, row.held)
    return found


async def remember(conn: AsyncConnection, org_id: str, kept: Remembered) -> None:
    """Write what a step changed of what rules remember; the cursor must have been moved."""
    for (owner_id, rule), memory in kept.memories.items():
        key: dict[str, Any] = {"org_id": org_id, "owner_id": owner_id, "rule": rule}
        if memory is None:
            await _delete(conn, notify_memory, key)
        else:
            await put_row(conn, notify_memory, {**key, "memory": memory}, tuple(key))
    names = ("owner_id", "rule", "destination_id", "kind", "key")
    for window, held in kept.windows.items():
        key = {"org_id": org_id, **dict(zip(names, window, strict=True))}
        if held is None:
            await _delete(conn, notify_window, key)
        else:
            row = {**key, "due_at": held[0], "held": held[1]}
            await put_row(conn, notify_window, row, tuple(key))
    for destination_id, count in sorted(kept.suppressed.items()):
        await conn.execute(
            update(notify_destination)
            .where(notify_destination.c.org_id == org_id, notify_destination.c.id == destination_id)
            .values(suppressed=notify_destination.c.suppressed + count)
        )


async def _delete(conn: AsyncConnection, table: Any, key: Mapping[str, Any]) -> None:
    await conn.execute(delete(table).where(and_(*(table.c[k] == v for k, v in key.items()))))


def _parts(rules: Sequence[RuleKey]) -> Iterable[Sequence[RuleKey]]:
    return (rules[first : first + _AT_ONCE] for first in range(0, len(rules), _AT_ONCE))
