"""SQL of who has read the log in an hour, where an org records that.

Owns the table `log_view`: one row a reader and hour, until its event is written. Called by the
read routes and by the job of `audit/access_log.py`. Never writes an event itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Index, PrimaryKeyConstraint, Table, delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from .database import insert_into
from .schema import metadata, text_column, whole_column

# `pat_name` is empty for a session; `hour_at` is the hour's begin in Unix milliseconds.
log_view = Table(
    "log_view",
    metadata,
    text_column("org_id"),
    text_column("user_id"),
    text_column("pat_name"),
    whole_column("hour_at"),
    text_column("email"),
    whole_column("requests"),
    PrimaryKeyConstraint("org_id", "user_id", "pat_name", "hour_at"),
    Index(None, "hour_at"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogView:
    """How often a reader has asked for the log in the hour that began at `hour_ms` (Unix ms)."""

    org_id: str
    user_id: str
    email: str
    pat_name: str
    hour_ms: int
    requests: int = 1


async def count_view(conn: AsyncConnection, view: LogView) -> None:
    """Add a request to the reader's count of the hour."""
    statement = insert_into(conn, log_view).values(
        org_id=view.org_id,
        user_id=view.user_id,
        pat_name=view.pat_name,
        hour_at=view.hour_ms,
        email=view.email,
        requests=view.requests,
    )
    await conn.execute(
        statement.on_conflict_do_update(
            index_elements=["org_id", "user_id", "pat_name", "hour_at"],
            set_={"requests": log_view.c.requests + statement.excluded.requests},
        )
    )


async def orgs_with_views(conn: AsyncConnection, before_ms: int, limit: int) -> list[str]:
    """Return up to `limit` orgs with counts of hours that began before `before_ms` (Unix ms)."""
    statement = (
        select(log_view.c.org_id)
        .where(log_view.c.hour_at < before_ms)
        .distinct()
        .order_by(log_view.c.org_id)
        .limit(limit)
    )
    return [row.org_id for row in await conn.execute(statement)]


async def take_views(
    conn: AsyncConnection, org_id: str, before_ms: int, limit: int
) -> list[LogView]:
    """Return up to `limit` counts of an org's hours before `before_ms`, and forget them."""
    statement = (
        select(log_view)
        .where(log_view.c.org_id == org_id, log_view.c.hour_at < before_ms)
        .order_by(log_view.c.hour_at, log_view.c.user_id, log_view.c.pat_name)
        .limit(limit)
    )
    found = [
        LogView(
            org_id=row.org_id,
            user_id=row.user_id,
            email=row.email,
            pat_name=row.pat_name,
            hour_ms=row.hour_at,
            requests=row.requests,
        )
        for row in await conn.execute(statement)
    ]
    for view in found:
        await conn.execute(
            delete(log_view).where(
                log_view.c.org_id == org_id,
                log_view.c.user_id == view.user_id,
                log_view.c.pat_name == view.pat_name,
                log_view.c.hour_at == view.hour_ms,
            )
        )
    return found
