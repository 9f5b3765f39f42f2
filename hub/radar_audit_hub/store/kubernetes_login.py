"""SQL of the one place where ServiceAccounts log in: a row among the cluster tokens.

Owns that row: which cluster it is, and its scopes. Its hash is that of no token that anybody
could send, so what is granted to, taken from or deleted with a cluster's tokens holds for it
too, and nothing of a ServiceAccount's token is stored. Called at the server's start and by
authentication. Never decides who may log in.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from .clusters import LOGIN_HASH
from .schema import cluster, cluster_token, org
from .tokens import FoundClusterToken, find_cluster_token, insert_cluster_token


async def find_login(conn: AsyncConnection) -> FoundClusterToken | None:
    """Return where ServiceAccounts log in, revoked too; None where no cluster was chosen."""
    return await find_cluster_token(conn, LOGIN_HASH)


async def living_clusters(
    conn: AsyncConnection, cluster_id: str | None, limit: int
) -> list[tuple[str, str]]:
    """Return (org id, cluster id) of clusters that live, of all orgs; of one id if it is given."""
    statement = (
        select(cluster.c.org_id, cluster.c.id)
        .join(org, org.c.id == cluster.c.org_id)
        .where(cluster.c.deleted_at.is_(None), org.c.deleted_at.is_(None))
        .order_by(cluster.c.id)
        .limit(limit)
    )
    if cluster_id is not None:
        statement = statement.where(cluster.c.id == cluster_id)
    return [(row.org_id, row.id) for row in await conn.execute(statement)]


async def put_login(
    conn: AsyncConnection, org_id: str, cluster_id: str, scopes: Sequence[str], now_ms: int
) -> None:
    """Make this cluster the one that ServiceAccounts log in to, in place of any other."""
    await conn.execute(delete(cluster_token).where(cluster_token.c.token_hash == LOGIN_HASH))
    await insert_cluster_token(
        conn,
        org_id=org_id,
        cluster_id=cluster_id,
        token_hash=LOGIN_HASH,
        scopes=scopes,
        created_at_ms=now_ms,
    )
