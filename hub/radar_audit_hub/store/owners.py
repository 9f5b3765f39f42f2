"""SQL of the audit policy: owners' documents, holders of keys, overrides, what was heard.

Owns the tables `policy_*` and the two columns of `org` that say what is in force. Called by
`policy/`, always on a connection that the caller opened, so that a change and its audit event
share one transaction. Never decides who holds a key, and never reads a secret: they come and go
encrypted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Table, delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from .control import insert_new
from .schema import cluster, cluster_token, org
from .schema_policy import (
    policy_cluster,
    policy_holder,
    policy_override,
    policy_owner,
    policy_release,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """One owner's document (JSON without secrets) and what is known of it; times are Unix ms.

    `cluster_id` None: the org itself. `detached`: its object is gone, its settings stay.
    """

    org_id: str
    owner_id: str
    cluster_id: str | None
    uid: str
    generation: int
    spec_hash: str
    scope: str
    document: str
    secrets: bytes | None
    created_at_ms: int
    stored_at_ms: int
    seen_at_ms: int
    missing_since_ms: int | None = None
    detached: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HolderRow:
    """Who holds a key, since when (Unix ms)."""

    key: str
    owner_id: str
    since_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OverrideRow:
    """An org owner's own retention (JSON) instead of all documents, until a time (Unix ms)."""

    retention: str
    set_by: str
    until_ms: int


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


async def list_owners(conn: AsyncConnection, org_id: str) -> list[Owner]:
    """Return all owners of an org by id, detached ones too."""
    statement = (
        select(policy_owner)
        .where(policy_owner.c.org_id == org_id)
        .order_by(policy_owner.c.owner_id)
    )
    return [_owner(row) for row in await conn.execute(statement)]


async def get_owner(conn: AsyncConnection, org_id: str, owner_id: str) -> Owner | None:
    """Return one owner, None if the hub has no document of it."""
    statement = select(policy_owner).where(
        policy_owner.c.org_id == org_id, policy_owner.c.owner_id == owner_id
    )
    row = (await conn.execute(statement)).first()
    return None if row is None else _owner(row)


async def put_owner(conn: AsyncConnection, owner: Owner) -> None:
    """Store an owner instead of what was stored under its id."""
    row = {
        "org_id": owner.org_id,
        "owner_id": owner.owner_id,
        "cluster_id": owner.cluster_id,
        "uid": owner.uid,
        "generation": owner.generation,
        "spec_hash": owner.spec_hash,
        "scope": owner.scope,
        "document": owner.document,
        "secrets": owner.secrets,
        "created_at": owner.created_at_ms,
        "stored_at": owner.stored_at_ms,
        "seen_at": owner.seen_at_ms,
        "missing_since": owner.missing_since_ms,
        "detached": owner.detached,
    }
    await _put(conn, policy_owner, row, ("org_id", "owner_id"))


async def delete_owner(conn: AsyncConnection, org_id: str, owner_id: str) -> None:
    """Forget an owner; harmless if there is none."""
    await conn.execute(
        delete(policy_owner).where(
            policy_owner.c.org_id == org_id, policy_owner.c.owner_id == owner_id
        )
    )


async def mark_seen(
    conn: AsyncConnection, org_id: str, owner_ids: Iterable[str], now_ms: int
) -> None:
    """Note that owners were named alive at `now_ms` (Unix ms): they are missing no more."""
    await _mark(conn, org_id, owner_ids, {"seen_at": now_ms, "missing_since": None})


async def mark_missing(
    conn: AsyncConnection, org_id: str, owner_ids: Iterable[str], now_ms: int
) -> None:
    """Note the first complete list, at `now_ms` (Unix ms), that does not have these owners."""
    await _mark(conn, org_id, owner_ids, {"missing_since": now_ms})


async def _mark(
    conn: AsyncConnection, org_id: str, owner_ids: Iterable[str], values: Mapping[str, Any]
) -> None:
    names = sorted(set(owner_ids))
    for first in range(0, len(names), 500):  # below SQLite's limit of arguments
        await conn.execute(
            update(policy_owner)
            .where(
                policy_owner.c.org_id == org_id,
                policy_owner.c.owner_id.in_(names[first : first + 500]),
            )
            .values(**values)
        )


async def holders_of(conn: AsyncConnection, org_id: str) -> dict[str, HolderRow]:
    """Return who holds which key of an org, by key."""
    statement = select(policy_holder).where(policy_holder.c.org_id == org_id)
    return {
        row.key: HolderRow(key=row.key, owner_id=row.owner_id, since_ms=row.since_at)
        for row in await conn.execute(statement)
    }


async def set_holder(
    conn: AsyncConnection, org_id: str, key: str, owner_id: str | None, now_ms: int
) -> None:
    """Let an owner hold a key from `now_ms` (Unix ms) on, or nobody."""
    if owner_id is None:
        await conn.execute(
            delete(policy_holder).where(
                policy_holder.c.org_id == org_id, policy_holder.c.key == key
            )
        )
        return
    row = {"org_id": org_id, "key": key, "owner_id": owner_id, "since_at": now_ms}
    await _put(conn, policy_holder, row, ("org_id", "key"))


async def get_override(conn: AsyncConnection, org_id: str, now_ms: int) -> OverrideRow | None:
    """Return the override that lasts at `now_ms` (Unix ms)."""
    statement = select(policy_override).where(
        policy_override.c.org_id == org_id, policy_override.c.until_at > now_ms
    )
    row = (await conn.execute(statement)).first()
    if row is None:
        return None
    return OverrideRow(retention=row.retention, set_by=row.set_by, until_ms=row.until_at)


async def put_override(conn: AsyncConnection, org_id: str, override: OverrideRow) -> None:
    """Let an override count from now on instead of an earlier one."""
    row = {
        "org_id": org_id,
        "retention": override.retention,
        "set_by": override.set_by,
        "until_at": override.until_ms,
    }
    await _put(conn, policy_override, row, ("org_id",))


async def orgs_with_ended_override(conn: AsyncConnection, now_ms: int) -> list[str]:
    """Return orgs whose override has ended at `now_ms` (Unix ms) and is still noted."""
    statement = select(policy_override.c.org_id).where(policy_override.c.until_at <= now_ms)
    return [row.org_id for row in await conn.execute(statement)]


async def delete_override(conn: AsyncConnection, org_id: str) -> None:
    """End an override; harmless if there is none."""
    await conn.execute(delete(policy_override).where(policy_override.c.org_id == org_id))


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
    await _put(conn, policy_cluster, row, ("org_id", "cluster_id"))


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


async def set_in_force(conn: AsyncConnection, org_id: str, retention: str | None) -> int:
    """Store what is in force of an org's retention and return the new revision."""
    await conn.execute(
        update(org)
        .where(org.c.id == org_id)
        .values(retention=retention, settings_revision=org.c.settings_revision + 1)
    )
    statement = select(org.c.settings_revision).where(org.c.id == org_id)
    return int((await conn.execute(statement)).scalar_one())


async def in_force(conn: AsyncConnection, org_id: str) -> tuple[str | None, int]:
    """Return what is in force of an org's retention, and the revision."""
    statement = select(org.c.retention, org.c.settings_revision).where(org.c.id == org_id)
    row = (await conn.execute(statement)).one()
    return row.retention, row.settings_revision


async def cluster_names(conn: AsyncConnection, org_id: str) -> dict[str, str]:
    """Return the names of an org's clusters by id, deleted ones too."""
    statement = select(cluster.c.id, cluster.c.name).where(cluster.c.org_id == org_id)
    return {row.id: row.name for row in await conn.execute(statement)}


async def tokens_of(conn: AsyncConnection, org_id: str, cluster_id: str) -> dict[bytes, str]:
    """Return the scopes (JSON) of a cluster's tokens that are not revoked, by the token's hash."""
    statement = select(cluster_token.c.token_hash, cluster_token.c.scopes).where(
        cluster_token.c.org_id == org_id,
        cluster_token.c.cluster_id == cluster_id,
        or_(cluster_token.c.revoked_at.is_(None)),
    )
    return {bytes(row.token_hash): row.scopes for row in await conn.execute(statement)}


async def set_token_scopes(conn: AsyncConnection, token_hash: bytes, scopes: str) -> None:
    """Give a cluster token other scopes (JSON), from the next request on."""
    await conn.execute(
        update(cluster_token).where(cluster_token.c.token_hash == token_hash).values(scopes=scopes)
    )


async def _put(
    conn: AsyncConnection, table: Table, row: Mapping[str, Any], keys: tuple[str, ...]
) -> None:
    if not await insert_new(conn, table, dict(row)):
        same = [table.c[key] == row[key] for key in keys]
        values = {name: value for name, value in row.items() if name not in keys}
        await conn.execute(update(table).where(*same).values(**values))


def _owner(row: Any) -> Owner:
    return Owner(
        org_id=row.org_id,
        owner_id=row.owner_id,
        cluster_id=row.cluster_id,
        uid=row.uid,
        generation=row.generation,
        spec_hash=row.spec_hash,
        scope=row.scope,
        document=row.document,
        secrets=None if row.secrets is None else bytes(row.secrets),
        created_at_ms=row.created_at,
        stored_at_ms=row.stored_at,
        seen_at_ms=row.seen_at,
        missing_since_ms=row.missing_since,
        detached=row.detached,
    )
