"""SQL of clusters that fall silent and come back, as notices tell it.

Owns the table `cluster_gone`. Called by the job of `notices/`. Times are Unix milliseconds. Never
judges how long a silence must be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from .control import insert_new
from .schema import cluster, collector, org
from .schema_inbox import cluster_gone

_LIVES = and_(cluster.c.deleted_at.is_(None), org.c.deleted_at.is_(None))
_IS_IT = and_(cluster_gone.c.org_id == cluster.c.org_id, cluster_gone.c.cluster_id == cluster.c.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenCluster:
    """A cluster and when any of its collectors was last heard of.

    `gone_at` is that time when it was told to be gone, None while it is not.
    """

    org_id: str
    cluster_id: str
    name: str
    last_seen_at: int
    gone_at: int | None


async def silent_clusters(
    conn: AsyncConnection, before_ms: int, limit: int
) -> Sequence[SeenCluster]:
    """Return clusters not heard of since `before_ms`, and not told to be gone."""
    statement = (
        _seen()
        .where(cluster_gone.c.cluster_id.is_(None))
        .having(func.max(collector.c.last_seen_at) < before_ms)
        .limit(limit)
    )
    return [_cluster(row) for row in await conn.execute(statement)]


async def returned_clusters(
    conn: AsyncConnection, since_ms: int, limit: int
) -> Sequence[SeenCluster]:
    """Return clusters that were told to be gone and were heard of at `since_ms` or later."""
    statement = (
        _seen()
        .where(cluster_gone.c.cluster_id.is_not(None))
        .having(func.max(collector.c.last_seen_at) >= since_ms)
        .limit(limit)
    )
    return [_cluster(row) for row in await conn.execute(statement)]


async def seen_cluster(conn: AsyncConnection, org_id: str, cluster_id: str) -> SeenCluster | None:
    """Return how one cluster is now; None for one that is deleted, or was never heard of."""
    statement = _seen().where(cluster.c.org_id == org_id, cluster.c.id == cluster_id)
    row = (await conn.execute(statement)).first()
    return None if row is None else _cluster(row)


async def note_gone(conn: AsyncConnection, found: SeenCluster, now_ms: int) -> bool:
    """Note that a cluster is told to be gone; False if that was so."""
    row = {
        "org_id": found.org_id,
        "cluster_id": found.cluster_id,
        "last_seen_at": found.last_seen_at,
        "told_at": now_ms,
    }
    return await insert_new(conn, cluster_gone, row)


async def note_back(conn: AsyncConnection, org_id: str, cluster_id: str) -> bool:
    """Note that a cluster is back; False if it was not told to be gone."""
    done = await conn.execute(
        delete(cluster_gone).where(
            cluster_gone.c.org_id == org_id, cluster_gone.c.cluster_id == cluster_id
        )
    )
    return bool(done.rowcount)


def _seen() -> Any:
    return (
        select(
            cluster.c.org_id,
            cluster.c.id.label("cluster_id"),
            cluster.c.name,
            func.max(collector.c.last_seen_at).label("last_seen_at"),
            cluster_gone.c.last_seen_at.label("gone_at"),
        )
        .join(org, org.c.id == cluster.c.org_id)
        .join(
            collector,
            and_(collector.c.org_id == cluster.c.org_id, collector.c.cluster_id == cluster.c.id),
        )
        .join(cluster_gone, _IS_IT, isouter=True)
        .where(_LIVES)
        .group_by(cluster.c.org_id, cluster.c.id, cluster.c.name, cluster_gone.c.last_seen_at)
    )


def _cluster(row: Any) -> SeenCluster:
    return SeenCluster(**row._mapping)  # noqa: SLF001 - a row's only map
