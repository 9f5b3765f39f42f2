"""SQL of who is who: the identities that issuers give to users.

Owns the table `identity` and the mark `email_verified` of users. Called by signing in, inside a
change. Never decides whether an e-mail counts.
"""

from __future__ import annotations

from sqlalchemy import exists, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from .control import Person, insert_new
from .schema import app_user
from .schema_signin import identity


async def find_by_identity(conn: AsyncConnection, issuer: str, subject: str) -> Person | None:
    """Return whom an issuer's subject stands for, None for nobody yet."""
    statement = (
        select(app_user.c.id, app_user.c.email)
        .join(identity, identity.c.user_id == app_user.c.id)
        .where(identity.c.issuer == issuer, identity.c.subject == subject)
    )
    row = (await conn.execute(statement)).first()
    return None if row is None else Person(row.id, row.email)


async def find_by_email(conn: AsyncConnection, email: str) -> Person | None:
    """Return who has this lower-case e-mail, None for nobody."""
    statement = select(app_user.c.id, app_user.c.email).where(app_user.c.email == email)
    row = (await conn.execute(statement)).first()
    return None if row is None else Person(row.id, row.email)


async def find_person(conn: AsyncConnection, user_id: str) -> Person | None:
    """Return the person with this id, None for nobody."""
    statement = select(app_user.c.id, app_user.c.email).where(app_user.c.id == user_id)
    row = (await conn.execute(statement)).first()
    return None if row is None else Person(row.id, row.email)


async def insert_identity(
    conn: AsyncConnection, issuer: str, subject: str, user_id: str, now_ms: int
) -> bool:
    """Let an issuer's subject stand for a user; False if either has another already."""
    row = {"issuer": issuer, "subject": subject, "user_id": user_id, "created_at": now_ms}
    return await insert_new(conn, identity, row)


async def mark_email(conn: AsyncConnection, user_id: str, *, verified: bool) -> None:
    """Note whether somebody whom the hub trusts vouches for a user's e-mail."""
    statement = update(app_user).where(app_user.c.id == user_id)
    await conn.execute(statement.values(email_verified=verified))


async def is_email_good(conn: AsyncConnection, user_id: str) -> bool:
    """Tell whether somebody vouches for a user's e-mail: an issuer, at the last sign-in.

    For a user whom no issuer knows the server's operator does, who wrote it down.
    """
    known = exists().where(identity.c.user_id == app_user.c.id)
    statement = select(app_user.c.id).where(
        app_user.c.id == user_id, or_(app_user.c.email_verified, ~known)
    )
    return (await conn.execute(statement)).first() is not None
