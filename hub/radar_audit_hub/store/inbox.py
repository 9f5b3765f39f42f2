"""SQL of inboxes: putting notices, reading a page, marking them read, what is wanted by mail.

Owns the tables `inbox_item` and `inbox_preference`. A notice is seen only by who belongs to its
org at that moment, in one of the roles that its kind is for: the caller says which. Times are
Unix milliseconds. Never sends anything.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import ColumnElement, and_, delete, exists, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from .control import insert_new
from .database import insert_into
from .schema import app_user, org, org_member
from .schema_inbox import inbox_item, inbox_preference

MAX_ITEMS = 1000  # of one person; the oldest beyond are forgotten
_PUT_ROWS = 100  # in one statement, far below the databases' limits of arguments
_AT_ONCE = 500
# Which roles of an org see a kind.
Audience = Mapping[str, Collection[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewItem:
    """A notice in one person's inbox; `facts` is JSON."""

    user_id: str
    id: str
    org_id: str
    kind: str
    dedup_key: str
    title: str
    path: str
    facts: str
    created_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Item(NewItem):
    """The same as it is read, with the org's name and when it was read (None: not yet)."""

    org_name: str
    read_at: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """A member of an org; `by_mail` is what they chose for the kind, None: nothing."""

    user_id: str
    email: str
    by_mail: bool | None


async def recipients(
    conn: AsyncConnection, org_id: str, roles: Collection[str], kind: str
) -> list[Recipient]:
    """Return an org's members of some roles, with what they chose for a kind."""
    chosen = and_(
        inbox_preference.c.user_id == org_member.c.user_id, inbox_preference.c.kind == kind
    )
    statement = (
        select(org_member.c.user_id, app_user.c.email, inbox_preference.c.by_mail)
        .join(app_user, app_user.c.id == org_member.c.user_id)
        .join(inbox_preference, chosen, isouter=True)
        .where(org_member.c.org_id == org_id, org_member.c.role.in_(sorted(roles)))
        .order_by(org_member.c.user_id)
    )
    return [
        Recipient(user_id=row.user_id, email=row.email, by_mail=row.by_mail)
        for row in await conn.execute(statement)
    ]


async def put_items(conn: AsyncConnection, items: Sequence[NewItem]) -> int:
    """Store notices; return how many were not there already, by person, org and `dedup_key`."""
    insert = insert_into(conn, inbox_item)
    added = 0
    for first in range(0, len(items), _PUT_ROWS):
        values = [asdict(one) for one in items[first : first + _PUT_ROWS]]
        statement = insert.values(values).on_conflict_do_nothing()
        added += (await conn.execute(statement)).rowcount
    return added


async def told_often(
    conn: AsyncConnection,
    org_id: str,
    kind: str,
    user_ids: Collection[str],
    since_ms: int,
    most: int,
) -> set[str]:
    """Return which of these people have more than `most` of an org's notices of a kind since."""
    statement = (
        select(inbox_item.c.user_id)
        .where(
            inbox_item.c.org_id == org_id,
            inbox_item.c.user_id.in_(sorted(user_ids)),
            inbox_item.c.kind == kind,
            inbox_item.c.created_at > since_ms,
        )
        .group_by(inbox_item.c.user_id)
        .having(func.count() > most)
    )
    return set((await conn.execute(statement)).scalars())


async def page_items(
    conn: AsyncConnection,
    user_id: str,
    seen_by: Audience,
    *,
    org_id: str | None,
    unread: bool,
    before: str | None,
    limit: int,
) -> list[Item]:
    """Return at most `limit` of a person's notices, the newest first, those before an id."""
    statement = (
        select(inbox_item, org.c.name.label("org_name"))
        .join(org, org.c.id == inbox_item.c.org_id)
        .where(*_visible(user_id, seen_by))
        .order_by(inbox_item.c.id.desc())
        .limit(limit)
    )
    if org_id is not None:
        statement = statement.where(inbox_item.c.org_id == org_id)
    if unread:
        statement = statement.where(inbox_item.c.read_at.is_(None))
    if before is not None:
        statement = statement.where(inbox_item.c.id < before)
    return [Item(**row._mapping) for row in await conn.execute(statement)]  # noqa: SLF001 - a row's only map


async def count_unread(
    conn: AsyncConnection, user_id: str, seen_by: Audience, *, most: int | None = None
) -> int:
    """Return how many notices of a person are not read; `most` where it is that many or more."""
    unread = (
        select(inbox_item.c.id)
        .where(*_visible(user_id, seen_by), inbox_item.c.read_at.is_(None))
        .limit(most)
    )
    statement = select(func.count()).select_from(unread.subquery())
    return int((await conn.execute(statement)).scalar_one())


async def mark_read(
    conn: AsyncConnection, user_id: str, ids: Sequence[str] | None, now_ms: int
) -> int:
    """Note that a person has read some notices (None: all); return how many were unread."""
    statement = (
        update(inbox_item)
        .where(inbox_item.c.user_id == user_id, inbox_item.c.read_at.is_(None))
        .values(read_at=now_ms)
    )
    if ids is not None:
        statement = statement.where(inbox_item.c.id.in_(ids))
    return (await conn.execute(statement)).rowcount


async def delete_item(conn: AsyncConnection, user_id: str, item_id: str) -> bool:
    """Delete a notice of a person's; False if there is none."""
    done = await conn.execute(
        delete(inbox_item).where(inbox_item.c.user_id == user_id, inbox_item.c.id == item_id)
    )
    return bool(done.rowcount)


async def forget_surplus(conn: AsyncConnection) -> int:
    """Delete what people have beyond the newest MAX_ITEMS; return how many people that was."""
    crowded = (
        select(inbox_item.c.user_id)
        .group_by(inbox_item.c.user_id)
        .having(func.count() > MAX_ITEMS)
        .limit(_AT_ONCE)
    )
    users = (await conn.execute(crowded)).scalars().all()
    for user_id in users:
        edge = (
            select(inbox_item.c.id)
            .where(inbox_item.c.user_id == user_id)
            .order_by(inbox_item.c.id.desc())
            .offset(MAX_ITEMS)
            .limit(1)
        )
        oldest = (await conn.execute(edge)).scalar_one_or_none()
        if oldest is not None:
            await conn.execute(
                delete(inbox_item).where(inbox_item.c.user_id == user_id, inbox_item.c.id <= oldest)
            )
    return len(users)


async def preferences(conn: AsyncConnection, user_id: str) -> dict[str, bool]:
    """Return what a person chose, by kind; a kind that is not there is as its default."""
    statement = select(inbox_preference).where(
        inbox_preference.c.user_id == user_id, inbox_preference.c.by_mail.is_not(None)
    )
    return {row.kind: row.by_mail for row in await conn.execute(statement)}


async def ending_of(conn: AsyncConnection, user_id: str, kind: str, fresh: str) -> str:
    """Return what stands in the link that ends a person's mails of a kind; `fresh` if new."""
    row = {"user_id": user_id, "kind": kind, "by_mail": None, "ending": fresh}
    if await insert_new(conn, inbox_preference, row):
        return fresh
    statement = select(inbox_preference.c.ending).where(
        inbox_preference.c.user_id == user_id, inbox_preference.c.kind == kind
    )
    return str((await conn.execute(statement)).scalar_one())


async def choose(
    conn: AsyncConnection, user_id: str, kind: str, *, by_mail: bool | None, fresh: str
) -> None:
    """Note what a person chose for a kind (None: the default); `fresh` as in `ending_of`."""
    await ending_of(conn, user_id, kind, fresh)
    await conn.execute(
        update(inbox_preference)
        .where(inbox_preference.c.user_id == user_id, inbox_preference.c.kind == kind)
        .values(by_mail=by_mail)
    )


async def end_mails(conn: AsyncConnection, ending: str) -> str | None:
    """End the mails that a link names; return their kind, None for a link that is none."""
    done = await conn.execute(
        update(inbox_preference)
        .where(inbox_preference.c.ending == ending)
        .values(by_mail=False)
        .returning(inbox_preference.c.kind)
    )
    found: str | None = done.scalar_one_or_none()
    return found


def _visible(user_id: str, seen_by: Audience) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions of what a person may see: of their orgs, as their role there allows."""
    by_roles: dict[tuple[str, ...], list[str]] = {}
    for kind, roles in seen_by.items():
        by_roles.setdefault(tuple(sorted(roles)), []).append(kind)
    allowed = or_(
        *(
            and_(inbox_item.c.kind.in_(kinds), org_member.c.role.in_(roles))
            for roles, kinds in by_roles.items()
        )
    )
    belongs = exists().where(
        org_member.c.org_id == inbox_item.c.org_id,
        org_member.c.user_id == inbox_item.c.user_id,
        allowed,
    )
    return inbox_item.c.user_id == user_id, belongs
