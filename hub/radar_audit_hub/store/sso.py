"""SQL of SSO: which WorkOS organization stands for an org, its connections, portal visits.

Owns the tables `sso_org`, `sso_connection` and `sso_portal`. Called by the SSO feature, always on
a connection that the caller opened. Never asks WorkOS anything.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from .control import insert_new
from .schema import org
from .schema_signin import sso_connection, sso_org, sso_portal


@dataclass(frozen=True, slots=True, kw_only=True)
class PortalVisit:
    """An owner's wish to open the Admin Portal; `done_at_ms` once it was opened or refused."""

    org_id: str
    id: str
    user_id: str
    email: str
    pat_name: str | None
    intent: str
    created_at_ms: int
    done_at_ms: int | None = None


async def workos_id_of(conn: AsyncConnection, org_id: str) -> str | None:
    """Return the id of the WorkOS organization that stands for an org."""
    statement = select(sso_org.c.workos_id).where(sso_org.c.org_id == org_id)
    found: str | None = (await conn.execute(statement)).scalar_one_or_none()
    return found


async def keep_workos_id(conn: AsyncConnection, org_id: str, workos_id: str, now_ms: int) -> None:
    """Let a WorkOS organization stand for an org, unless one does already."""
    row = {"org_id": org_id, "workos_id": workos_id, "created_at": now_ms}
    await insert_new(conn, sso_org, row)


async def keep_connection(
    conn: AsyncConnection,
    org_id: str,
    connection_id: str,
    *,
    idp: str,
    domains: Sequence[str],
    now_ms: int,
) -> bool:
    """Note what a connection of an org is like now; False if it is another org's."""
    values = {"idp": idp, "domains": json.dumps(sorted(domains)), "seen_at": now_ms}
    mine = (sso_connection.c.org_id == org_id, sso_connection.c.id == connection_id)
    if (await conn.execute(update(sso_connection).where(*mine).values(**values))).rowcount:
        return True
    row = {"org_id": org_id, "id": connection_id, **values}
    return await insert_new(conn, sso_connection, row)


async def insert_visit(conn: AsyncConnection, new: PortalVisit) -> None:
    """Insert a wish to open the portal."""
    await conn.execute(
        sso_portal.insert().values(
            org_id=new.org_id,
            id=new.id,
            user_id=new.user_id,
            email=new.email,
            pat_name=new.pat_name,
            intent=new.intent,
            created_at=new.created_at_ms,
        )
    )


async def get_visit(conn: AsyncConnection, org_id: str, visit_id: str) -> PortalVisit | None:
    """Return a wish to open the portal, None if there is none."""
    statement = select(sso_portal).where(sso_portal.c.org_id == org_id, sso_portal.c.id == visit_id)
    row = (await conn.execute(statement)).first()
    if row is None:
        return None
    return PortalVisit(
        org_id=row.org_id,
        id=row.id,
        user_id=row.user_id,
        email=row.email,
        pat_name=row.pat_name,
        intent=row.intent,
        created_at_ms=row.created_at,
        done_at_ms=row.done_at,
    )


async def end_visit(conn: AsyncConnection, org_id: str, visit_id: str, now_ms: int) -> bool:
    """Note that a wish is over; False if it was already."""
    result = await conn.execute(
        update(sso_portal)
        .where(
            sso_portal.c.org_id == org_id,
            sso_portal.c.id == visit_id,
            sso_portal.c.done_at.is_(None),
        )
        .values(done_at=now_ms)
    )
    return bool(result.rowcount)


async def org_of_domain(conn: AsyncConnection, domain: str) -> str | None:
    """Return the org whose identity provider signs in e-mails of a domain, the last seen first."""
    quoted = json.dumps(domain)
    statement = (
        select(sso_connection.c.org_id, sso_connection.c.domains)
        .join(org, org.c.id == sso_connection.c.org_id)
        .where(
            org.c.deleted_at.is_(None), sso_connection.c.domains.contains(quoted, autoescape=True)
        )
        .order_by(sso_connection.c.seen_at.desc())
    )
    for row in await conn.execute(statement):
        if domain in json.loads(row.domains):
            return str(row.org_id)
    return None
