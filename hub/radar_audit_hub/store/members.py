"""SQL of who belongs to an org: pages of members, roles, leaving, joining by domain.

Owns the member rows after their insertion, and the orgs' allowed domains. Called by the org and
member handlers inside a change. Never judges whether somebody may leave: that is the rules' part.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from .control import Member, Org, insert_new, org_of
from .schema import app_user, org, org_member, pat
from .schema_inbox import inbox_item
from .schema_members import org_departure, org_domain, org_invitation, org_invitation_token
from .schema_signin import session
from .schema_web import saved_view


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenMember:
    """A member as lists show them; `seen_at_ms` is None before the first use of the hub."""

    user_id: str
    email: str
    role: str
    joined_at_ms: int
    seen_at_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnOrg:
    """An org with the role that somebody has in it."""

    org: Org
    role: str


async def page_members(
    conn: AsyncConnection, org_id: str, *, after: str | None, limit: int
) -> list[SeenMember]:
    """Return at most `limit` members by e-mail, those behind the e-mail `after`."""
    by_token = (
        select(func.max(pat.c.last_used_at))
        .where(pat.c.org_id == org_member.c.org_id, pat.c.user_id == org_member.c.user_id)
        .scalar_subquery()
    )
    by_session = (
        select(func.max(session.c.last_seen_at))
        .where(session.c.user_id == org_member.c.user_id)
        .scalar_subquery()
    )
    statement = (
        select(
            org_member.c.user_id,
            app_user.c.email,
            org_member.c.role,
            org_member.c.created_at,
            by_token.label("by_token"),
            by_session.label("by_session"),
        )
        .join(app_user, app_user.c.id == org_member.c.user_id)
        .where(org_member.c.org_id == org_id)
        .order_by(app_user.c.email)
        .limit(limit)
    )
    if after is not None:
        statement = statement.where(app_user.c.email > after)
    return [
        SeenMember(
            user_id=row.user_id,
            email=row.email,
            role=row.role,
            joined_at_ms=row.created_at,
            seen_at_ms=max(
                (at for at in (row.by_token, row.by_session) if at is not None), default=None
            ),
        )
        for row in await conn.execute(statement)
    ]


async def get_member(conn: AsyncConnection, org_id: str, user_id: str) -> Member | None:
    """Return one member, None if they are not one."""
    statement = (
        select(org_member, app_user.c.email)
        .join(app_user, app_user.c.id == org_member.c.user_id)
        .where(org_member.c.org_id == org_id, org_member.c.user_id == user_id)
    )
    row = (await conn.execute(statement)).first()
    if row is None:
        return None
    return Member(
        org_id=org_id,
        user_id=user_id,
        email=row.email,
        role=row.role,
        created_at_ms=row.created_at,
    )


async def has_member_with_email(conn: AsyncConnection, org_id: str, email: str) -> bool:
    """Tell whether a member has this lower-case e-mail."""
    statement = (
        select(org_member.c.user_id)
        .join(app_user, app_user.c.id == org_member.c.user_id)
        .where(org_member.c.org_id == org_id, app_user.c.email == email)
    )
    return (await conn.execute(statement)).first() is not None


async def count_owners(conn: AsyncConnection, org_id: str) -> int:
    """Return how many owners an org has; stays true only under the org's lock."""
    statement = (
        select(func.count())
        .select_from(org_member)
        .where(org_member.c.org_id == org_id, org_member.c.role == "owner")
    )
    return int((await conn.execute(statement)).scalar_one())


async def owner_emails(conn: AsyncConnection, org_id: str) -> list[str]:
    """Return the lower-case e-mails of an org's owners."""
    statement = (
        select(app_user.c.email)
        .join(org_member, app_user.c.id == org_member.c.user_id)
        .where(org_member.c.org_id == org_id, org_member.c.role == "owner")
    )
    return list((await conn.execute(statement)).scalars())


async def set_role(conn: AsyncConnection, org_id: str, user_id: str, role: str) -> None:
    """Give a member another role."""
    await conn.execute(
        update(org_member)
        .where(org_member.c.org_id == org_id, org_member.c.user_id == user_id)
        .values(role=role)
    )


async def delete_member(conn: AsyncConnection, org_id: str, user_id: str, now_ms: int) -> None:
    """Take a member out of an org, and note it, so that their domain does not bring them back."""
    await conn.execute(
        delete(saved_view).where(saved_view.c.org_id == org_id, saved_view.c.user_id == user_id)
    )
    await conn.execute(
        delete(inbox_item).where(inbox_item.c.org_id == org_id, inbox_item.c.user_id == user_id)
    )
    await conn.execute(
        delete(org_member).where(org_member.c.org_id == org_id, org_member.c.user_id == user_id)
    )
    await forget_departure(conn, org_id, user_id)
    await conn.execute(
        insert(org_departure).values(org_id=org_id, user_id=user_id, departed_at=now_ms)
    )


async def forget_departure(conn: AsyncConnection, org_id: str, user_id: str) -> None:
    """Let a domain bring somebody in again: they were asked back."""
    await conn.execute(
        delete(org_departure).where(
            org_departure.c.org_id == org_id, org_departure.c.user_id == user_id
        )
    )


async def has_departed(conn: AsyncConnection, org_id: str, user_id: str) -> bool:
    """Tell whether somebody was removed from an org, or left, and was not asked back since."""
    statement = select(org_departure.c.user_id).where(
        org_departure.c.org_id == org_id, org_departure.c.user_id == user_id
    )
    return (await conn.execute(statement)).first() is not None


async def forget_people(conn: AsyncConnection, org_id: str) -> None:
    """Delete who belongs to an org, did, or was to: the org is deleted in the same transaction."""
    for table in (
        org_member,
        org_departure,
        org_domain,
        org_invitation_token,
        org_invitation,
        saved_view,
        inbox_item,
    ):
        await conn.execute(delete(table).where(table.c.org_id == org_id))


async def page_own_orgs(
    conn: AsyncConnection, user_id: str, *, after: str | None, limit: int
) -> list[OwnOrg]:
    """Return at most `limit` living orgs that a user is a member of, by id behind `after`."""
    statement = (
        select(org, org_member.c.role)
        .join(org_member, org_member.c.org_id == org.c.id)
        .where(org_member.c.user_id == user_id, org.c.deleted_at.is_(None))
        .order_by(org.c.id)
        .limit(limit)
    )
    if after is not None:
        statement = statement.where(org.c.id > after)
    return [OwnOrg(org=org_of(row), role=row.role) for row in await conn.execute(statement)]


async def count_owned_orgs(conn: AsyncConnection, user_id: str) -> int:
    """Return how many living orgs a user is an owner of."""
    statement = (
        select(func.count())
        .select_from(org_member)
        .join(org, org.c.id == org_member.c.org_id)
        .where(
            org_member.c.user_id == user_id,
            org_member.c.role == "owner",
            org.c.deleted_at.is_(None),
        )
    )
    return int((await conn.execute(statement)).scalar_one())


async def update_org(conn: AsyncConnection, changed: Org) -> None:
    """Write an org's name, settings and end, as `changed` has them; its plan is billing's."""
    await conn.execute(
        update(org)
        .where(org.c.id == changed.id)
        .values(
            name=changed.name,
            default_role=changed.default_role,
            pat_default_days=changed.pat_default_days,
            record_log_access=changed.record_log_access,
            deleted_at=changed.deleted_at_ms,
        )
    )


async def domains_of(conn: AsyncConnection, org_id: str) -> list[str]:
    """Return an org's allowed domains in byte order."""
    statement = (
        select(org_domain.c.domain)
        .where(org_domain.c.org_id == org_id)
        .order_by(org_domain.c.domain)
    )
    return list((await conn.execute(statement)).scalars())


async def set_domains(
    conn: AsyncConnection, org_id: str, domains: Iterable[str], now_ms: int
) -> None:
    """Make `domains` the allowed domains of an org; those that stay keep their time."""
    wanted = set(domains)
    await conn.execute(
        delete(org_domain).where(
            org_domain.c.org_id == org_id, org_domain.c.domain.not_in(sorted(wanted))
        )
    )
    for domain in sorted(wanted):
        row = {"org_id": org_id, "domain": domain, "created_at": now_ms}
        await insert_new(conn, org_domain, row)


async def orgs_of_domain(conn: AsyncConnection, domain: str, limit: int) -> list[str]:
    """Return the ids of at most `limit` living orgs that name a domain, in byte order."""
    statement = (
        select(org_domain.c.org_id)
        .join(org, org.c.id == org_domain.c.org_id)
        .where(org_domain.c.domain == domain, org.c.deleted_at.is_(None))
        .order_by(org_domain.c.org_id)
        .limit(limit)
    )
    return list((await conn.execute(statement)).scalars())
