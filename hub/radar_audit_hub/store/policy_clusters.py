"""SQL of what a cluster says of itself to the audit policy: its operator, collectors and tokens.

Owns the tables `policy_cluster` and `policy_release`, and a view of the cluster's collectors and
tokens. Called by `policy/`, always on a connection that the caller opened. Never decides who is
released.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from .control import insert_new
from .owners import put_row
from .schema import cluster, cluster_token, collector
from .schema_policy import policy_cluster, policy_release


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterRow:
    """What a cluster's operator said last; times are Unix ms."""

    cluster_id: str
    heard_at_ms: int
    operator_version: str
    blocked_since_ms: int | None = None
    release_agreed_until_ms: int | None = None
    radar_pods: int | None = None
    radar_pods_without_gateway: int | None = None


async def get_cluster_row(conn: AsyncConnection, org_id: str, cluster_id: str) -> ClusterRow | None:
    """Return what a cluster's operator said last, None if it never did."""
    statement = select(policy_cluster).where(
        policy_cluster.c.org_id == org_id, policy_cluster.c.cluster_id == cluster_id
    )
    row = (await conn.execute(statement)).first()
    if row is None:
        return None
    return ClusterRow(
        cluster_id=row.cluster_id,
        heard_at_ms=row.heard_at,
        operator_version=row.operator_version,
        blocked_since_ms=row.blocked_since,
        release_agreed_until_ms=row.release_agreed_until,
        radar_pods=row.radar_pods,
        radar_pods_without_gateway=row.radar_pods_without_gateway,
    )


async def put_cluster_row(conn: AsyncConnection, org_id: str, heard: ClusterRow) -> None:
    """Store what a cluster's operator said."""
    row = {
        "org_id": org_id,
        "cluster_id": heard.cluster_id,
        "heard_at": heard.heard_at_ms,
        "operator_version": heard.operator_version,
        "blocked_since": heard.blocked_since_ms,
        "release_agreed_until": heard.release_agreed_until_ms,
        "radar_pods": heard.radar_pods,
        "radar_pods_without_gateway": heard.radar_pods_without_gateway,
    }
    await put_row(conn, policy_cluster, row, ("org_id", "cluster_id"))


async def note_released(
    conn: AsyncConnection, org_id: str, cluster_id: str, owner_id: str, now_ms: int
) -> None:
    """Keep the release of an owner until its operator has been told."""
    row = {
        "org_id": org_id,
        "cluster_id": cluster_id,
        "owner_id": owner_id,
        "released_at": now_ms,
    }
    await insert_new(conn, policy_release, row)


async def take_released(conn: AsyncConnection, org_id: str, cluster_id: str) -> list[str]:
    """Return the releases that the cluster's operator has not been told, and forget them."""
    mine = (policy_release.c.org_id == org_id) & (policy_release.c.cluster_id == cluster_id)
    statement = select(policy_release.c.owner_id).where(mine).order_by(policy_release.c.owner_id)
    found = [row.owner_id for row in await conn.execute(statement)]
    if found:
        await conn.execute(delete(policy_release).where(mine))
    return found


async def cluster_names(conn: AsyncConnection, org_id: str) -> dict[str, str]:
    """Return the names of an org's clusters by id, deleted ones too."""
    statement = select(cluster.c.id, cluster.c.name).where(cluster.c.org_id == org_id)
    return {row.id: row.name for row in await conn.execute(statement)}


async def tokens_of(conn: AsyncConnection, org_id: str, cluster_id: str) -> dict[bytes, str]:
    """Return the scopes (JSON) of a cluster's tokens that are not revoked, by the token's hash."""
    statement = select(cluster_token.c.token_hash, cluster_token.c.scopes).where(
        cluster_token.c.org_id == org_id,
        cluster_token.c.cluster_id == cluster_id,
        cluster_token.c.revoked_at.is_(None),
    )
    return {bytes(row.token_hash): row.scopes for row in await conn.execute(statement)}


async def set_token_scopes(conn: AsyncConnection, token_hash: bytes, scopes: str) -> None:
    """Give a cluster token other scopes (JSON), from the next request on."""
    await conn.execute(
        update(cluster_token).where(cluster_token.c.token_hash == token_hash).values(scopes=scopes)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A collector as the policy sees it: alive when, with which capture settings."""

    collector_id: str
    version: str
    last_seen_at_ms: int
    capture_hash: str | None


async def collectors_of(conn: AsyncConnection, org_id: str, cluster_id: str) -> list[Running]:
    """Return a cluster's collectors by id; without their open sessions, which are megabytes."""
    statement = (
        select(
            collector.c.collector_id,
            collector.c.version,
            collector.c.last_seen_at,
            collector.c.capture_hash,
        )
        .where(collector.c.org_id == org_id, collector.c.cluster_id == cluster_id)
        .order_by(collector.c.collector_id)
    )
    return [
        Running(
            collector_id=row.collector_id,
            version=row.version,
            last_seen_at_ms=row.last_seen_at,
            capture_hash=row.capture_hash,
        )
        for row in await conn.execute(statement)
    ]
