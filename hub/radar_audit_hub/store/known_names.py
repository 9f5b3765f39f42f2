"""What clusters and people of an org are called, found by their ids: one statement for a page.

Owns that look-up. Called by the pages that show an event whose own row has no name beside an id.
A cluster that was deleted still has its name; of people only those are named who belong to the
org, so that an id somebody wrote into the log tells nothing about anybody else. Never writes.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import select, union_all

from .database import Database
from .schema import app_user, cluster, org_member

MAX_IDS = 200  # more than the rows of a page have; further ones stay without a name


async def names_by_id(database: Database, org_id: str, ids: Iterable[str]) -> dict[str, str]:
    """Return the names of those of `ids` that are clusters (by name) or members (by e-mail)."""
    asked = sorted(set(ids))[:MAX_IDS]
    if not asked:
        return {}
    clusters = select(cluster.c.id, cluster.c.name).where(
        cluster.c.org_id == org_id, cluster.c.id.in_(asked)
    )
    people = (
        select(org_member.c.user_id, app_user.c.email)
        .join(app_user, app_user.c.id == org_member.c.user_id)
        .where(org_member.c.org_id == org_id, org_member.c.user_id.in_(asked))
    )
    async with database.read() as conn:
        return {row[0]: row[1] for row in await conn.execute(union_all(clusters, people))}
