"""SQL of saved views: what a person keeps of an org's log under a name, for themselves.

Owns the table `saved_view`. Called by the Activity page, always on a connection that the caller
opened. Bounded: a person keeps MAX_VIEWS views of an org. Never shows one person another's.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from .schema_web import saved_view

MAX_VIEWS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedView:
    """A filter with a name; `range_name` is a relative range's word, empty for none."""

    id: str
    name: str
    query: str
    range_name: str


async def list_views(conn: AsyncConnection, org_id: str, user_id: str) -> list[SavedView]:
    """Return a person's views of an org's log, by name."""
    statement = (
        select(saved_view)
        .where(saved_view.c.org_id == org_id, saved_view.c.user_id == user_id)
        .order_by(saved_view.c.name, saved_view.c.id)
        .limit(MAX_VIEWS)
    )
    return [
        SavedView(id=row.id, name=row.name, query=row.query, range_name=row.range)
        for row in await conn.execute(statement)
    ]


async def count_views(conn: AsyncConnection, org_id: str, user_id: str) -> int:
    """Return how many views a person keeps of an org's log."""
    statement = (
        select(func.count())
        .select_from(saved_view)
        .where(saved_view.c.org_id == org_id, saved_view.c.user_id == user_id)
    )
    return (await conn.execute(statement)).scalar_one()


async def insert_view(
    conn: AsyncConnection, org_id: str, user_id: str, new: SavedView, now_ms: int
) -> None:
    """Keep a view."""
    await conn.execute(
        saved_view.insert().values(
            org_id=org_id,
            user_id=user_id,
            id=new.id,
            name=new.name,
            query=new.query,
            range=new.range_name,
            created_at=now_ms,
        )
    )


async def delete_view(conn: AsyncConnection, org_id: str, user_id: str, view_id: str) -> bool:
    """Forget a view of this person; False if there is none."""
    result = await conn.execute(
        delete(saved_view).where(
            saved_view.c.org_id == org_id,
            saved_view.c.user_id == user_id,
            saved_view.c.id == view_id,
        )
    )
    return bool(result.rowcount)
