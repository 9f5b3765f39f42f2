"""SQL of invitations and of the tokens in their links.

Owns both tables. Called by the invitation handlers inside a change, and by the job that mails
them. Never sees a token's text, and never judges whether an invitation is still good.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from .schema_members import org_invitation, org_invitation_token


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """An invitation; times are Unix ms, `times_sent` counts from 1."""

    org_id: str
    id: str
    email: str
    role: str
    inviter_user_id: str | None
    inviter_email: str | None
    created_at_ms: int
    sent_at_ms: int
    times_sent: int
    expires_at_ms: int
    accepted_at_ms: int | None = None
    revoked_at_ms: int | None = None


def _invitation(row: Any) -> Invitation:
    return Invitation(
        org_id=row.org_id,
        id=row.id,
        email=row.email,
        role=row.role,
        inviter_user_id=row.inviter_user_id,
        inviter_email=row.inviter_email,
        created_at_ms=row.created_at,
        sent_at_ms=row.sent_at,
        times_sent=row.times_sent,
        expires_at_ms=row.expires_at,
        accepted_at_ms=row.accepted_at,
        revoked_at_ms=row.revoked_at,
    )


def _open(now_ms: int) -> ColumnElement[bool]:
    return and_(
        org_invitation.c.accepted_at.is_(None),
        org_invitation.c.revoked_at.is_(None),
        org_invitation.c.expires_at > now_ms,
    )


async def insert_invitation(conn: AsyncConnection, new: Invitation) -> None:
    """Insert an invitation."""
    await conn.execute(
        insert(org_invitation).values(
            org_id=new.org_id,
            id=new.id,
            email=new.email,
            role=new.role,
            inviter_user_id=new.inviter_user_id,
            inviter_email=new.inviter_email,
            created_at=new.created_at_ms,
            sent_at=new.sent_at_ms,
            times_sent=new.times_sent,
            expires_at=new.expires_at_ms,
        )
    )


async def update_invitation(conn: AsyncConnection, changed: Invitation) -> None:
    """Write what may change of an invitation: its sending and its end."""
    await conn.execute(
        update(org_invitation)
        .where(org_invitation.c.org_id == changed.org_id, org_invitation.c.id == changed.id)
        .values(
            sent_at=changed.sent_at_ms,
            times_sent=changed.times_sent,
            expires_at=changed.expires_at_ms,
            accepted_at=changed.accepted_at_ms,
            revoked_at=changed.revoked_at_ms,
        )
    )


async def get_invitation(
    conn: AsyncConnection, org_id: str, invitation_id: str
) -> Invitation | None:
    """Return an invitation, also one that is over; None if the org never had it."""
    statement = select(org_invitation).where(
        org_invitation.c.org_id == org_id, org_invitation.c.id == invitation_id
    )
    row = (await conn.execute(statement)).first()
    return None if row is None else _invitation(row)


async def page_invitations(
    conn: AsyncConnection, org_id: str, *, before: str | None, limit: int
) -> list[Invitation]:
    """Return at most `limit` invitations, newest first, those with ids below `before`."""
    statement = (
        select(org_invitation)
        .where(org_invitation.c.org_id == org_id)
        .order_by(org_invitation.c.id.desc())
        .limit(limit)
    )
    if before is not None:
        statement = statement.where(org_invitation.c.id < before)
    return [_invitation(row) for row in await conn.execute(statement)]


async def count_open(conn: AsyncConnection, org_id: str, now_ms: int) -> int:
    """Return how many invitations of an org can still be accepted."""
    statement = (
        select(func.count())
        .select_from(org_invitation)
        .where(org_invitation.c.org_id == org_id, _open(now_ms))
    )
    return int((await conn.execute(statement)).scalar_one())


async def count_sent(
    conn: AsyncConnection, org_id: str, since_ms: int, email: str | None = None
) -> int:
    """Return how often invitations were sent (to `email`) that were so after `since_ms` last."""
    statement = select(func.coalesce(func.sum(org_invitation.c.times_sent), 0)).where(
        org_invitation.c.org_id == org_id, org_invitation.c.sent_at > since_ms
    )
    if email is not None:
        statement = statement.where(org_invitation.c.email == email)
    return int((await conn.execute(statement)).scalar_one())


async def open_invitation_of(
    conn: AsyncConnection, org_id: str, email: str, now_ms: int
) -> Invitation | None:
    """Return the invitation of an e-mail that can still be accepted, if there is one."""
    statement = select(org_invitation).where(
        org_invitation.c.org_id == org_id, org_invitation.c.email == email, _open(now_ms)
    )
    row = (await conn.execute(statement)).first()
    return None if row is None else _invitation(row)


async def is_invited(conn: AsyncConnection, email: str, now_ms: int) -> bool:
    """Tell whether any org has an invitation of this e-mail that can still be accepted."""
    statement = (
        select(org_invitation.c.id).where(org_invitation.c.email == email, _open(now_ms)).limit(1)
    )
    return (await conn.execute(statement)).first() is not None


async def add_token(
    conn: AsyncConnection, org_id: str, invitation_id: str, token_hash: bytes
) -> None:
    """Let one more token stand for an invitation."""
    await conn.execute(
        insert(org_invitation_token).values(
            token_hash=token_hash, org_id=org_id, invitation_id=invitation_id
        )
    )


async def drop_tokens(conn: AsyncConnection, org_id: str, invitation_id: str) -> None:
    """Make all tokens of an invitation unknown."""
    await conn.execute(
        delete(org_invitation_token).where(
            org_invitation_token.c.org_id == org_id,
            org_invitation_token.c.invitation_id == invitation_id,
        )
    )


async def find_token(conn: AsyncConnection, token_hash: bytes) -> Invitation | None:
    """Return the invitation that a token stands for; None if there is no such token."""
    statement = (
        select(org_invitation)
        .join(
            org_invitation_token,
            and_(
                org_invitation_token.c.org_id == org_invitation.c.org_id,
                org_invitation_token.c.invitation_id == org_invitation.c.id,
            ),
        )
        .where(org_invitation_token.c.token_hash == token_hash)
    )
    row = (await conn.execute(statement)).first()
    return None if row is None else _invitation(row)
