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

from sqlalchemy import Table, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from .control import insert_new
from .schema import org
from .schema_notify import notify_destination
from .schema_policy import (
    policy_holder,
    policy_override,
    policy_owner,
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


async def list_owners(conn: AsyncConnection, org_id: str) -> list[Owner]:
    """Return all owners of an org by id, detached ones too."""
    statement = (
        select(policy_owner)
        .where(policy_owner.c.org_id == org_id)
        .order_by(policy_owner.c.owner_id)
    )
    return [_owner(row) for row in await conn.execute(statement)]


async def hub_documents(conn: AsyncConnection, org_id: str, cluster_id: str) -> list[Owner]:
    """Return the owners that are AuditHubs of a cluster, the oldest first: usually one."""
    prefix = f"k8s:{cluster_id}:-:"
    statement = (
        select(policy_owner)
        .where(
            policy_owner.c.org_id == org_id,
            policy_owner.c.cluster_id == cluster_id,
            policy_owner.c.owner_id.startswith(prefix, autoescape=True),
        )
        .order_by(policy_owner.c.created_at, policy_owner.c.owner_id)
    )
    return [_owner(row) for row in await conn.execute(statement)]


async def count_owners(conn: AsyncConnection, org_id: str, cluster_id: str) -> int:
    """Return how many owners a cluster has, detached ones too."""
    statement = select(func.count()).where(
        policy_owner.c.org_id == org_id, policy_owner.c.cluster_id == cluster_id
    )
    return int((await conn.execute(statement)).scalar_one())


async def document_chars(conn: AsyncConnection, org_id: str) -> int:
    """Return how many characters all documents of an org have together."""
    statement = select(func.coalesce(func.sum(func.length(policy_owner.c.document)), 0)).where(
        policy_owner.c.org_id == org_id
    )
    return int((await conn.execute(statement)).scalar_one())


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
    await put_row(conn, policy_owner, row, ("org_id", "owner_id"))


async def delete_owner(conn: AsyncConnection, org_id: str, owner_id: str) -> None:
    """Forget an owner; harmless if there is none."""
    await conn.execute(
        delete(policy_owner).where(
            policy_owner.c.org_id == org_id, policy_owner.c.owner_id == owner_id
        )
    )


async def owners_without_rows(conn: AsyncConnection) -> list[tuple[str, str]]:
    """Return org and id of owners whose documents have destinations, of which there is no row."""
    has_rows = (
        select(notify_destination.c.id)
        .where(
            notify_destination.c.org_id == policy_owner.c.org_id,
            notify_destination.c.owner_id == policy_owner.c.owner_id,
        )
        .exists()
    )
    # Rules name destinations as texts, the list of destinations itself has objects.
    statement = select(policy_owner.c.org_id, policy_owner.c.owner_id).where(
        policy_owner.c.document.contains('"destinations":[{', autoescape=True), ~has_rows
    )
    return [(row.org_id, row.owner_id) for row in await conn.execute(statement)]


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
    await put_row(conn, policy_holder, row, ("org_id", "key"))


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
    await put_row(conn, policy_override, row, ("org_id",))


async def orgs_with_ended_override(conn: AsyncConnection, now_ms: int) -> list[str]:
    """Return orgs whose override has ended at `now_ms` (Unix ms) and is still noted."""
    statement = select(policy_override.c.org_id).where(policy_override.c.until_at <= now_ms)
    return [row.org_id for row in await conn.execute(statement)]


async def delete_ended_override(conn: AsyncConnection, org_id: str, now_ms: int) -> bool:
    """Delete an override that has ended at `now_ms` (Unix ms); False if there is none."""
    done = await conn.execute(
        delete(policy_override).where(
            policy_override.c.org_id == org_id, policy_override.c.until_at <= now_ms
        )
    )
    return bool(done.rowcount)


async def delete_override(conn: AsyncConnection, org_id: str) -> None:
    """End an override; harmless if there is none."""
    await conn.execute(delete(policy_override).where(policy_override.c.org_id == org_id))


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


async def put_row(
    conn: AsyncConnection, table: Table, row: Mapping[str, Any], keys: tuple[str, ...]
) -> None:
    """Insert a row, or update the one with the same `keys`."""
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
