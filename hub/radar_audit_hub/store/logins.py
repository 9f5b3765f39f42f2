"""SQL of sign-ins under way: states of a browser on its way to a provider, and one-time links.

Owns the tables `login` and `signin_link`; both hold hashes, live for minutes and are consumed by
deletion, so that nothing works twice on any replica. Called by the sign-in and SSO features.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Column, Table, delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from .schema_signin import login, signin_link

_PURGE_AT_ONCE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A sign-in under way. `kind` is oidc or sso; `expires_at_ms` is Unix ms."""

    state_hash: bytes
    browser_hash: bytes
    kind: str
    issuer: str
    nonce: str
    verifier: str
    return_to: str
    org_id: str | None
    expires_at_ms: int


async def insert_login(conn: AsyncConnection, new: Login, *, now_ms: int, limit: int) -> bool:
    """Insert a sign-in under way, and forget the expired; False if `limit` are under way."""
    await _forget_expired(conn, login, login.c.state_hash, now_ms)
    count = (await conn.execute(select(func.count()).select_from(login))).scalar_one()
    if count >= limit:
        return False
    await conn.execute(
        login.insert().values(
            state_hash=new.state_hash,
            browser_hash=new.browser_hash,
            kind=new.kind,
            issuer=new.issuer,
            nonce=new.nonce,
            verifier=new.verifier,
            return_to=new.return_to,
            org_id=new.org_id,
            expires_at=new.expires_at_ms,
        )
    )
    return True


async def take_login(conn: AsyncConnection, state_hash: bytes) -> Login | None:
    """Take a sign-in under way, which nobody can take again; None if there is none."""
    statement = delete(login).where(login.c.state_hash == state_hash).returning(login)
    row = (await conn.execute(statement)).first()
    if row is None:
        return None
    return Login(
        state_hash=bytes(row.state_hash),
        browser_hash=bytes(row.browser_hash),
        kind=row.kind,
        issuer=row.issuer,
        nonce=row.nonce,
        verifier=row.verifier,
        return_to=row.return_to,
        org_id=row.org_id,
        expires_at_ms=row.expires_at,
    )


async def insert_link(
    conn: AsyncConnection, token_hash: bytes, user_id: str, *, now_ms: int, expires_at_ms: int
) -> None:
    """Insert a one-time link, and forget the expired."""
    await _forget_expired(conn, signin_link, signin_link.c.token_hash, now_ms)
    row = {"token_hash": token_hash, "user_id": user_id, "expires_at": expires_at_ms}
    await conn.execute(signin_link.insert().values(**row))


async def take_link(conn: AsyncConnection, token_hash: bytes, now_ms: int) -> str | None:
    """Take a one-time link and return its user's id; None if it is used, expired or unknown."""
    statement = (
        delete(signin_link)
        .where(signin_link.c.token_hash == token_hash)
        .returning(signin_link.c.user_id, signin_link.c.expires_at)
    )
    row = (await conn.execute(statement)).first()
    return None if row is None or row.expires_at <= now_ms else str(row.user_id)


async def _forget_expired(
    conn: AsyncConnection, table: Table, key: Column[bytes], now_ms: int
) -> None:
    """Delete what has expired, but for what another transaction is just deleting."""
    expired = (
        select(key)
        .where(table.c.expires_at <= now_ms)
        .limit(_PURGE_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    await conn.execute(delete(table).where(key.in_(expired)))
