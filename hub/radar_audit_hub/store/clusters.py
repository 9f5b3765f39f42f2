"""SQL of clusters as people see and change them: lists, names, tokens, requested upgrades.

Owns what the cluster handlers read and write; inserting a cluster is in `control.py`, what
collectors say of themselves in `collectors.py`. Called inside a change for every write. Never
writes an audit event itself, and never sees a token's text.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from .control import Cluster
from .database import insert_into
from .schema import cluster, cluster_token
from .schema_clusters import agent_upgrade

# The row under which ServiceAccounts log in (kubernetes_login.py). It is no hash of a token:
# those have another form. So a new token in a cluster's place leaves it alone.
LOGIN_HASH = hashlib.sha256(b"kubernetes login").digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Upgrade:
    """The last upgrade of a cluster's agents that was asked for; times are Unix ms.

    `seen_at_ms` is when a collector said that it knows of it; `failure` is what was reported.
    """

    version: str
    requested_at_ms: int
    seen_at_ms: int | None = None
    done_at_ms: int | None = None
    failed_at_ms: int | None = None
    failure: str | None = None


async def list_clusters(
    conn: AsyncConnection, org_id: str, *, after: str | None, limit: int
) -> list[Cluster]:
    """Return an org's living clusters with an id above `after`, by id, at most `limit`."""
    statement = (
        select(cluster)
        .where(cluster.c.org_id == org_id, cluster.c.deleted_at.is_(None))
        .order_by(cluster.c.id)
        .limit(limit)
    )
    if after is not None:
        statement = statement.where(cluster.c.id > after)
    return [_cluster(row) for row in await conn.execute(statement)]


async def get_cluster(conn: AsyncConnection, org_id: str, cluster_id: str) -> Cluster | None:
    """Return a living cluster of an org, None if there is none."""
    row = (
        await conn.execute(
            select(cluster).where(
                cluster.c.org_id == org_id,
                cluster.c.id == cluster_id,
                cluster.c.deleted_at.is_(None),
            )
        )
    ).first()
    return None if row is None else _cluster(row)


async def count_clusters(conn: AsyncConnection, org_id: str) -> int:
    """Return how many living clusters an org has."""
    statement = (
        select(func.count())
        .select_from(cluster)
        .where(cluster.c.org_id == org_id, cluster.c.deleted_at.is_(None))
    )
    return await conn.scalar(statement) or 0


async def cluster_id_of_name(conn: AsyncConnection, org_id: str, name: str) -> str | None:
    """Return the id of the org's living cluster that has a name, None if it is free."""
    statement = select(cluster.c.id).where(
        cluster.c.org_id == org_id, cluster.c.name == name, cluster.c.deleted_at.is_(None)
    )
    found: str | None = await conn.scalar(statement.limit(1))
    return found


async def update_cluster(conn: AsyncConnection, changed: Cluster) -> None:
    """Store name, environment and labels."""
    await _update(
        conn,
        changed,
        name=changed.name,
        environment=changed.environment,
        labels=json.dumps(dict(changed.labels), sort_keys=True),
    )


async def delete_cluster(conn: AsyncConnection, gone: Cluster, now_ms: int) -> None:
    """Mark a cluster as deleted and revoke its tokens: both are refused from now on."""
    await _update(conn, gone, deleted_at=now_ms)
    await _revoke(conn, gone.org_id, gone.id, now_ms, but=None)


async def scopes_of_cluster(conn: AsyncConnection, org_id: str, cluster_id: str) -> set[str]:
    """Return all scopes that a cluster's good tokens have."""
    statement = select(cluster_token.c.scopes).where(
        cluster_token.c.org_id == org_id,
        cluster_token.c.cluster_id == cluster_id,
        cluster_token.c.revoked_at.is_(None),
    )
    return {scope for (text,) in await conn.execute(statement) for scope in json.loads(text)}


async def revoke_cluster_tokens(
    conn: AsyncConnection, org_id: str, cluster_id: str, now_ms: int
) -> int | None:
    """Revoke all tokens of a cluster; return when one was last used (Unix ms), None if never.

    ServiceAccounts go on logging in: they have no token that could have leaked.
    """
    return await _revoke(conn, org_id, cluster_id, now_ms, but=LOGIN_HASH)


async def _revoke(
    conn: AsyncConnection, org_id: str, cluster_id: str, now_ms: int, *, but: bytes | None
) -> int | None:
    statement = update(cluster_token).where(
        cluster_token.c.org_id == org_id,
        cluster_token.c.cluster_id == cluster_id,
        cluster_token.c.revoked_at.is_(None),
    )
    if but is not None:
        statement = statement.where(cluster_token.c.token_hash != but)
    result = await conn.execute(
        statement.values(revoked_at=now_ms).returning(cluster_token.c.last_used_at)
    )
    return max((used for (used,) in result if used is not None), default=None)


async def get_upgrades(
    conn: AsyncConnection, org_id: str, cluster_ids: Sequence[str]
) -> Mapping[str, Upgrade]:
    """Return the last requested upgrade of each of these clusters that has one."""
    statement = select(agent_upgrade).where(
        agent_upgrade.c.org_id == org_id, agent_upgrade.c.cluster_id.in_(cluster_ids)
    )
    return {
        row.cluster_id: Upgrade(
            version=row.version,
            requested_at_ms=row.requested_at,
            seen_at_ms=row.seen_at,
            done_at_ms=row.done_at,
            failed_at_ms=row.failed_at,
            failure=row.failure,
        )
        for row in await conn.execute(statement)
    }


async def save_upgrade(
    conn: AsyncConnection, org_id: str, cluster_id: str, upgrade: Upgrade
) -> None:
    """Store an upgrade over the cluster's former one."""
    values = {
        "version": upgrade.version,
        "requested_at": upgrade.requested_at_ms,
        "seen_at": upgrade.seen_at_ms,
        "done_at": upgrade.done_at_ms,
        "failed_at": upgrade.failed_at_ms,
        "failure": upgrade.failure,
    }
    await conn.execute(
        insert_into(conn, agent_upgrade)
        .values(org_id=org_id, cluster_id=cluster_id, **values)
        .on_conflict_do_update(index_elements=["org_id", "cluster_id"], set_=values)
    )


async def _update(conn: AsyncConnection, which: Cluster, **values: Any) -> None:
    await conn.execute(
        update(cluster)
        .where(cluster.c.org_id == which.org_id, cluster.c.id == which.id)
        .values(**values)
    )


def _cluster(row: Any) -> Cluster:
    return Cluster(
        org_id=row.org_id,
        id=row.id,
        name=row.name,
        environment=row.environment,
        labels=json.loads(row.labels),
        created_at_ms=row.created_at,
        deleted_at_ms=row.deleted_at,
    )
