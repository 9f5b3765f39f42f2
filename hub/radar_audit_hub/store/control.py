"""SQL of the control tables: orgs, users, members, clusters.

Owns the rows that say who and what exists; credentials are in `tokens.py`. Called by the admin
command, ingest and the feature handlers, always on a connection that the caller opened, so that
a change and its audit events share one transaction. Never writes an audit event itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from .database import fetch, insert_into
from .schema import app_user, cluster, org, org_member
from .sql import Arguments


@dataclass(frozen=True, slots=True, kw_only=True)
class Org:
    """An organization; `plan` is free, team or enterprise; times are Unix milliseconds.

    `default_role` is what people become who join by their domain, `pat_default_days` how long a
    PAT is good that does not say, None: for ever.
    """

    id: str
    name: str
    plan: str
    record_log_access: bool
    created_at_ms: int
    deleted_at_ms: int | None = None
    default_role: str = "viewer"
    pat_default_days: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person by id and lower-case e-mail."""

    id: str
    email: str
    created_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A user's place in one org; `role` is owner, auditor, member or viewer."""

    org_id: str
    user_id: str
    email: str
    role: str
    created_at_ms: int


class Person(NamedTuple):
    """Who an actor is: id and e-mail."""

    user_id: str
    email: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A cluster of an org; ids are unique over all orgs."""

    org_id: str
    id: str
    name: str
    environment: str
    labels: Mapping[str, str]
    created_at_ms: int
    deleted_at_ms: int | None = None


async def insert_new(conn: AsyncConnection, table: Table, row: Mapping[str, Any]) -> bool:
    """Insert a row unless one of the table's unique keys is taken; tell whether it is now there.

    Never fails the transaction: a rival that is about to commit is waited for.
    """
    result = await conn.execute(insert_into(conn, table).values(**row).on_conflict_do_nothing())
    return bool(result.rowcount)


def org_of(row: Any) -> Org:
    """Return the org of a row that has all of the table's columns."""
    return Org(
        id=row.id,
        name=row.name,
        plan=row.plan,
        record_log_access=row.record_log_access,
        created_at_ms=row.created_at,
        deleted_at_ms=row.deleted_at,
        default_role=row.default_role,
        pat_default_days=row.pat_default_days,
    )


async def get_org(conn: AsyncConnection, org_id: str) -> Org | None:
    """Return an org, also a deleted one; None if there never was such an id."""
    row = (await conn.execute(select(org).where(org.c.id == org_id))).first()
    return None if row is None else org_of(row)


async def lock_org(conn: AsyncConnection, org_id: str) -> Org | None:
    """Return an org as `get_org` does and keep other changes of it waiting until the commit.

    On SQLite the transaction has the whole file already. Nobody waits for readers or ingest.
    """
    statement = select(org).where(org.c.id == org_id).with_for_update(key_share=True)
    row = (await conn.execute(statement)).first()
    return None if row is None else org_of(row)


async def list_orgs(conn: AsyncConnection) -> list[Org]:
    """Return all orgs by id, deleted ones too: their logs live until the retention's end."""
    return [org_of(row) for row in await conn.execute(select(org).order_by(org.c.id))]


async def insert_org(conn: AsyncConnection, new: Org) -> bool:
    """Insert an org; False if its id is taken."""
    row = {
        "id": new.id,
        "name": new.name,
        "plan": new.plan,
        "record_log_access": new.record_log_access,
        "created_at": new.created_at_ms,
        "deleted_at": new.deleted_at_ms,
        "default_role": new.default_role,
    }
    return await insert_new(conn, org, row)


async def ensure_user(conn: AsyncConnection, new: User) -> User:
    """Return the user who has the e-mail of `new`, inserted as `new` if nobody has it yet."""
    row = {"id": new.id, "email": new.email, "created_at": new.created_at_ms}
    await insert_new(conn, app_user, row)
    found = (await conn.execute(select(app_user).where(app_user.c.email == new.email))).one()
    return User(id=found.id, email=found.email, created_at_ms=found.created_at)


async def insert_member(
    conn: AsyncConnection, org_id: str, user_id: str, role: str, now_ms: int
) -> bool:
    """Make a user a member of an org; False if they are one already."""
    row = {"org_id": org_id, "user_id": user_id, "role": role, "created_at": now_ms}
    return await insert_new(conn, org_member, row)


async def list_members(conn: AsyncConnection, org_id: str) -> list[Member]:
    """Return an org's members by e-mail."""
    statement = (
        select(org_member, app_user.c.email)
        .join(app_user, app_user.c.id == org_member.c.user_id)
        .where(org_member.c.org_id == org_id)
        .order_by(app_user.c.email)
    )
    return [
        Member(
            org_id=row.org_id,
            user_id=row.user_id,
            email=row.email,
            role=row.role,
            created_at_ms=row.created_at,
        )
        for row in await conn.execute(statement)
    ]


async def people_of_org(
    conn: AsyncConnection, org_id: str, names: Iterable[str]
) -> dict[str, Person]:
    """Return the members of the org that `names` (ids or lower-case e-mails) name, by that name.

    Only members: a collector of one org must not learn about people of another.
    """
    wanted = sorted(set(names))
    if not wanted:
        return {}
    # On the driver: it runs once for every batch that comes in.
    if conn.dialect.name == "postgresql":
        args = Arguments("postgresql")
        among = f"= ANY({args.add(wanted)}::text[])"
    else:
        args = Arguments("sqlite")
        place = args.add(json.dumps(wanted))
        among = f"IN (SELECT value FROM json_each({place}))"  # noqa: S608 - arguments only
    sql = (
        "SELECT u.id, u.email FROM app_user u JOIN org_member m ON m.user_id = u.id "  # noqa: S608 - arguments only
        f"WHERE m.org_id = {args.add(org_id)} AND (u.id {among} OR u.email {among})"
    )
    found: dict[str, Person] = {}
    for user_id, email in await fetch(conn, sql, args.values):
        found[user_id] = found[email] = Person(user_id, email)
    return found


async def insert_cluster(conn: AsyncConnection, new: Cluster) -> bool:
    """Insert a cluster; False if its id is taken, in whichever org."""
    row = {
        "org_id": new.org_id,
        "id": new.id,
        "name": new.name,
        "environment": new.environment,
        "labels": json.dumps(dict(new.labels), sort_keys=True),
        "created_at": new.created_at_ms,
        "deleted_at": new.deleted_at_ms,
    }
    return await insert_new(conn, cluster, row)
