"""SQL of personal access tokens as people see and revoke them.

Owns lists and single revocation; look-ups at each request, insertion and the revocation of all
of a member's tokens are in `tokens.py`. Called by the token handlers, inside a change for every
write. Never sees a token's text.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from .schema import app_user, org, pat


@dataclass(frozen=True, slots=True, kw_only=True)
class Pat:
    """A personal access token without its secret; `scopes` None: all of the role's; Unix ms."""

    id: str
    name: str
    user_id: str
    email: str
    scopes: tuple[str, ...] | None
    created_at_ms: int
    expires_at_ms: int | None
    last_used_at_ms: int | None
    revoked_at_ms: int | None


async def list_pats(
    conn: AsyncConnection,
    org_id: str,
    *,
    user_id: str | None,
    after: str | None,
    limit: int,
) -> list[Pat]:
    """Return an org's PATs that are not revoked, by id from above `after`; of one user if given."""
    statement = _pats(org_id).where(pat.c.revoked_at.is_(None)).order_by(pat.c.id).limit(limit)
    if user_id is not None:
        statement = statement.where(pat.c.user_id == user_id)
    if after is not None:
        statement = statement.where(pat.c.id > after)
    return [_pat(row) for row in await conn.execute(statement)]


async def get_pat(conn: AsyncConnection, org_id: str, pat_id: str) -> Pat | None:
    """Return a PAT of an org, a revoked one too; None if there is none."""
    row = (await conn.execute(_pats(org_id).where(pat.c.id == pat_id))).first()
    return None if row is None else _pat(row)


async def names_in_use(conn: AsyncConnection, org_id: str, user_id: str, now_ms: int) -> list[str]:
    """Return the names of a person's PATs that are good at `now_ms`: one for each token."""
    statement = select(pat.c.name).where(
        pat.c.org_id == org_id,
        pat.c.user_id == user_id,
        pat.c.revoked_at.is_(None),
        or_(pat.c.expires_at.is_(None), pat.c.expires_at > now_ms),
    )
    return list((await conn.scalars(statement)).all())


async def revoke_pat(conn: AsyncConnection, org_id: str, pat_id: str, now_ms: int) -> None:
    """Revoke a PAT; one that is revoked already keeps its time."""
    await conn.execute(
        update(pat)
        .where(pat.c.org_id == org_id, pat.c.id == pat_id, pat.c.revoked_at.is_(None))
        .values(revoked_at=now_ms)
    )


async def default_days(conn: AsyncConnection, org_id: str) -> int | None:
    """Return for how many days a new PAT of the org is good by default, None for without end."""
    days: int | None = await conn.scalar(select(org.c.pat_default_days).where(org.c.id == org_id))
    return days


def _pats(org_id: str) -> Select[Any]:
    return (
        select(pat, app_user.c.email)
        .join(app_user, app_user.c.id == pat.c.user_id)
        .where(pat.c.org_id == org_id)
    )


def _pat(row: Any) -> Pat:
    return Pat(
        id=row.id,
        name=row.name,
        user_id=row.user_id,
        email=row.email,
        scopes=None if row.scopes is None else tuple(json.loads(row.scopes)),
        created_at_ms=row.created_at,
        expires_at_ms=row.expires_at,
        last_used_at_ms=row.last_used_at,
        revoked_at_ms=row.revoked_at,
    )
