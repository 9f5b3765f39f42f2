"""SQL of sessions: found by the SHA-256 of their secret, listed and revoked by their id.

Owns the table `session`. Called by authentication (at every request of a browser, so the look-up
runs on the driver) and by signing in and out. Never sees a secret, and judges nothing: whether a
found session is still good is the caller's rule.
"""

from __future__ import annotations

from dataclasses import dataclass

from radar_audit_events.ids import is_opaque_id
from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from .database import fetch
from .named_columns import PLACE, named, selected
from .schema import app_user, org, org_member
from .schema_signin import session
from .sql import arguments_for

TOUCH_EVERY_MS = 60_000  # a stamp costs a write: once a minute is fine enough
_PURGE_AT_ONCE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundSession:
    """A session with its person, and their place in the org that was asked about.

    Times are Unix ms. `org_id` and what follows are None where the person has no place.
    """

    secret_hash: bytes
    id: str
    user_id: str
    email: str
    email_verified: bool
    method: str
    created_at_ms: int
    last_seen_at_ms: int
    expires_at_ms: int
    revoked_at_ms: int | None
    org_id: str | None
    org_name: str | None
    plan: str | None
    role: str | None
    org_deleted_at_ms: int | None
    retention: str | None
    records_log_access: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSession:
    """A session to be stored; times are Unix ms."""

    secret_hash: bytes
    id: str
    user_id: str
    method: str
    ip: str | None
    user_agent: str | None
    created_at_ms: int
    expires_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedSession:
    """A session as its person sees it; times are Unix ms."""

    id: str
    method: str
    ip: str | None
    user_agent: str | None
    created_at_ms: int
    last_seen_at_ms: int
    expires_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A person's place in one org that lives."""

    org_id: str
    org_name: str
    plan: str
    role: str


_COLUMNS = {
    "secret_hash": "s.secret_hash",
    "id": "s.id",
    "user_id": "s.user_id",
    "email": "u.email",
    "email_verified": "u.email_verified",
    "method": "s.method",
    "created_at_ms": "s.created_at",
    "last_seen_at_ms": "s.last_seen_at",
    "expires_at_ms": "s.expires_at",
    "revoked_at_ms": "s.revoked_at",
    **PLACE,
}
_FIND = """
SELECT {columns}
FROM session s
JOIN app_user u ON u.id = s.user_id
LEFT JOIN org_member m ON m.user_id = s.user_id AND m.org_id = {org}
LEFT JOIN org o ON o.id = m.org_id
WHERE s.secret_hash = {hash}
"""


async def find_session(
    conn: AsyncConnection, secret_hash: bytes, org_id: str | None
) -> FoundSession | None:
    """Return the session with this hash, ended ones too; None if there is none.

    `org_id` comes as the caller wrote it; the database could not even look some texts up.
    """
    asked = org_id if org_id is not None and is_opaque_id("org", org_id) else ""
    args = arguments_for(conn)
    sql = _FIND.format(columns=selected(_COLUMNS), hash=args.add(secret_hash), org=args.add(asked))
    rows = await fetch(conn, sql, args.values)
    if not rows:
        return None
    found = named(_COLUMNS, rows[0])
    for name in ("email_verified", "records_log_access"):
        found[name] = bool(found[name])
    return FoundSession(**found)


async def is_session_open(conn: AsyncConnection, user_id: str, session_id: str) -> bool:
    """Tell whether a session of this person is there and was not ended, whatever its age."""
    statement = select(session.c.id).where(
        session.c.user_id == user_id, session.c.id == session_id, session.c.revoked_at.is_(None)
    )
    return (await conn.execute(statement)).first() is not None


async def insert_session(conn: AsyncConnection, new: NewSession) -> None:
    """Insert a session, seen at its beginning."""
    await conn.execute(
        session.insert().values(
            secret_hash=new.secret_hash,
            id=new.id,
            user_id=new.user_id,
            method=new.method,
            ip=new.ip,
            user_agent=new.user_agent,
            created_at=new.created_at_ms,
            last_seen_at=new.created_at_ms,
            expires_at=new.expires_at_ms,
        )
    )


async def touch_session(conn: AsyncConnection, secret_hash: bytes, now_ms: int) -> None:
    """Stamp when a session was last seen, unless another replica did so within the last minute."""
    await conn.execute(
        update(session)
        .where(
            session.c.secret_hash == secret_hash,
            session.c.last_seen_at <= now_ms - TOUCH_EVERY_MS,
        )
        .values(last_seen_at=now_ms)
    )


async def revoke_session(
    conn: AsyncConnection, user_id: str, session_id: str, now_ms: int
) -> str | None:
    """End a session of this person; return its method, None if none of theirs was open."""
    result = await conn.execute(
        update(session)
        .where(
            session.c.user_id == user_id,
            session.c.id == session_id,
            session.c.revoked_at.is_(None),
            session.c.expires_at > now_ms,
        )
        .values(revoked_at=now_ms)
        .returning(session.c.method)
    )
    row = result.first()
    return None if row is None else str(row[0])


async def revoke_by_hash(conn: AsyncConnection, secret_hash: bytes, now_ms: int) -> None:
    """End the session with this hash, if there is one that is open."""
    await conn.execute(
        update(session)
        .where(session.c.secret_hash == secret_hash, session.c.revoked_at.is_(None))
        .values(revoked_at=now_ms)
    )


async def list_sessions(
    conn: AsyncConnection, user_id: str, *, now_ms: int, seen_since_ms: int, limit: int
) -> list[ListedSession]:
    """Return a person's open sessions, the newest first: neither ended nor idle for too long."""
    statement = (
        select(session)
        .where(
            session.c.user_id == user_id,
            session.c.revoked_at.is_(None),
            session.c.expires_at > now_ms,
            session.c.last_seen_at > seen_since_ms,
        )
        .order_by(session.c.id.desc())
        .limit(limit)
    )
    return [
        ListedSession(
            id=row.id,
            method=row.method,
            ip=row.ip,
            user_agent=row.user_agent,
            created_at_ms=row.created_at,
            last_seen_at_ms=row.last_seen_at,
            expires_at_ms=row.expires_at,
        )
        for row in await conn.execute(statement)
    ]


async def end_oldest_sessions(
    conn: AsyncConnection, user_id: str, *, keep: int, now_ms: int
) -> None:
    """End all but the `keep` newest open sessions of a person, and forget those long expired."""
    mine = session.c.user_id == user_id
    newest = (
        select(session.c.id)
        .where(mine, session.c.revoked_at.is_(None), session.c.expires_at > now_ms)
        .order_by(session.c.id.desc())
        .limit(keep)
    )
    kept = [row.id for row in await conn.execute(newest)]
    open_ones = (mine, session.c.revoked_at.is_(None), session.c.id.not_in(kept))
    await conn.execute(update(session).where(*open_ones).values(revoked_at=now_ms))
    # Whatever another sign-in works on is left to it: two of them must not wait for one another.
    expired = (
        select(session.c.secret_hash)
        .where(session.c.expires_at <= now_ms)
        .order_by(session.c.expires_at)
        .limit(_PURGE_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    await conn.execute(delete(session).where(session.c.secret_hash.in_(expired)))


async def places_of(conn: AsyncConnection, user_id: str) -> list[Place]:
    """Return the orgs that a person belongs to, in the order of their ids."""
    statement = (
        select(org.c.id, org.c.name, org.c.plan, org_member.c.role)
        .join(org_member, org_member.c.org_id == org.c.id)
        .where(org_member.c.user_id == user_id, org.c.deleted_at.is_(None))
        .order_by(org.c.id)
    )
    return [
        Place(org_id=row.id, org_name=row.name, plan=row.plan, role=row.role)
        for row in await conn.execute(statement)
    ]


async def lock_person(conn: AsyncConnection, user_id: str) -> bool:
    """Keep other sign-ins of a person waiting; tell whether their e-mail is vouched for."""
    statement = select(app_user.c.email_verified).where(app_user.c.id == user_id)
    return bool(
        (await conn.execute(statement.with_for_update(key_share=True))).scalar_one_or_none()
    )
