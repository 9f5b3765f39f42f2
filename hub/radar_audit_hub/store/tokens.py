"""SQL of credentials: personal access tokens and cluster tokens, found by their SHA-256.

Owns insertion, look-up and the last-used stamps. Called by authentication (at every request,
so the look-ups run on the driver), the admin command and the token handlers. Never sees a
token's text, and judges nothing: whether a found one is still good is the caller's rule.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import or_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from .control import insert_new
from .database import fetch
from .named_columns import ORG, PLACE, Columns, named, selected
from .schema import cluster_token, pat
from .sql import arguments_for

TOUCH_EVERY_MS = 60_000  # a stamp of last use costs a write: once a minute is fine enough


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundPat:
    """A personal access token with all that a request needs to know; times are Unix ms.

    `role` is None when its user is no longer a member; `scopes` None means all of the role's.
    """

    token_hash: bytes
    id: str
    name: str
    org_id: str
    org_name: str
    plan: str
    user_id: str
    email: str
    role: str | None
    scopes: tuple[str, ...] | None
    expires_at_ms: int | None
    last_used_at_ms: int | None
    revoked_at_ms: int | None
    org_deleted_at_ms: int | None
    retention: str | None
    records_log_access: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundClusterToken:
    """A cluster token with its cluster and its org's plan; times are Unix ms."""

    token_hash: bytes
    org_id: str
    plan: str
    cluster_id: str
    cluster_name: str
    scopes: tuple[str, ...]
    last_used_at_ms: int | None
    revoked_at_ms: int | None
    cluster_deleted_at_ms: int | None
    org_deleted_at_ms: int | None
    retention: str | None
    assumed_at_ms: int | None


@dataclass(frozen=True, slots=True)
class RevokedPat:
    """A PAT that was good until it was revoked just now: its id, and its name for the log."""

    id: str
    name: str


_PAT_COLUMNS = {
    "token_hash": "p.token_hash",
    "id": "p.id",
    "name": "p.name",
    "user_id": "p.user_id",
    "email": "u.email",
    "scopes": "p.scopes",
    "expires_at_ms": "p.expires_at",
    "last_used_at_ms": "p.last_used_at",
    "revoked_at_ms": "p.revoked_at",
    **PLACE,
}
_CLUSTER_COLUMNS = {
    "token_hash": "t.token_hash",
    "cluster_id": "t.cluster_id",
    "cluster_name": "c.name",
    "scopes": "t.scopes",
    "last_used_at_ms": "t.last_used_at",
    "revoked_at_ms": "t.revoked_at",
    "cluster_deleted_at_ms": "c.deleted_at",
    "assumed_at_ms": "c.assumed_at",
    **ORG,
}
# The PAT's key is its hash alone: which org it belongs to is what the look-up answers.
_FIND_PAT = """
SELECT {columns}
FROM pat p
JOIN org o ON o.id = p.org_id
JOIN app_user u ON u.id = p.user_id
LEFT JOIN org_member m ON m.org_id = p.org_id AND m.user_id = p.user_id
WHERE p.token_hash = {hash}
"""
_FIND_CLUSTER = """
SELECT {columns}
FROM cluster_token t
JOIN org o ON o.id = t.org_id
JOIN cluster c ON c.org_id = t.org_id AND c.id = t.cluster_id
WHERE t.token_hash = {hash}
"""


async def find_pat(conn: AsyncConnection, token_hash: bytes) -> FoundPat | None:
    """Return the PAT with this hash, revoked and expired ones too; None if there is none."""
    found = await _find(conn, _FIND_PAT, _PAT_COLUMNS, token_hash)
    if found is None:
        return None
    found["scopes"] = None if found["scopes"] is None else tuple(json.loads(found["scopes"]))
    found["records_log_access"] = bool(found["records_log_access"])
    return FoundPat(**found)


async def find_cluster_token(conn: AsyncConnection, token_hash: bytes) -> FoundClusterToken | None:
    """Return the cluster token with this hash, revoked ones too; None if there is none."""
    found = await _find(conn, _FIND_CLUSTER, _CLUSTER_COLUMNS, token_hash)
    if found is None:
        return None
    found["scopes"] = tuple(json.loads(found["scopes"]))
    return FoundClusterToken(**found)


async def _find(
    conn: AsyncConnection, statement: str, columns: Columns, token_hash: bytes
) -> dict[str, Any] | None:
    args = arguments_for(conn)
    sql = statement.format(columns=selected(columns), hash=args.add(token_hash))
    rows = await fetch(conn, sql, args.values)
    return named(columns, rows[0]) if rows else None


def touch_due(last_used_at_ms: int | None, now_ms: int) -> bool:
    """Tell whether a stamp of last use is old enough to be written anew."""
    return last_used_at_ms is None or now_ms - last_used_at_ms >= TOUCH_EVERY_MS


async def touch_pat(conn: AsyncConnection, org_id: str, pat_id: str, now_ms: int) -> None:
    """Stamp a PAT's last use, unless another replica did so within the last minute."""
    await conn.execute(
        update(pat)
        .where(
            pat.c.org_id == org_id,
            pat.c.id == pat_id,
            or_(pat.c.last_used_at.is_(None), pat.c.last_used_at <= now_ms - TOUCH_EVERY_MS),
        )
        .values(last_used_at=now_ms)
    )


async def touch_cluster_token(conn: AsyncConnection, token_hash: bytes, now_ms: int) -> None:
    """Stamp a cluster token's last use, unless another replica did so within the last minute."""
    stamp = cluster_token.c.last_used_at
    await conn.execute(
        update(cluster_token)
        .where(
            cluster_token.c.token_hash == token_hash,
            or_(stamp.is_(None), stamp <= now_ms - TOUCH_EVERY_MS),
        )
        .values(last_used_at=now_ms)
    )


async def insert_pat(
    conn: AsyncConnection,
    *,
    org_id: str,
    pat_id: str,
    user_id: str,
    name: str,
    token_hash: bytes,
    scopes: Sequence[str] | None,
    created_at_ms: int,
    expires_at_ms: int | None,
) -> bool:
    """Insert a PAT by the hash of its text; False if its id or hash is taken."""
    row = {
        "org_id": org_id,
        "id": pat_id,
        "user_id": user_id,
        "name": name,
        "token_hash": token_hash,
        "scopes": None if scopes is None else json.dumps(list(scopes)),
        "created_at": created_at_ms,
        "expires_at": expires_at_ms,
    }
    return await insert_new(conn, pat, row)


async def revoke_pats_of(
    conn: AsyncConnection, org_id: str, user_id: str, now_ms: int
) -> list[RevokedPat]:
    """Revoke all PATs that a user has in an org; return those that were still good, by id.

    Expired ones are revoked with them, but were no good already: nothing happened to them that
    the log should tell. To be called inside a change that has locked the org.
    """
    result = await conn.execute(
        update(pat)
        .where(pat.c.org_id == org_id, pat.c.user_id == user_id, pat.c.revoked_at.is_(None))
        .values(revoked_at=now_ms)
        .returning(pat.c.id, pat.c.name, pat.c.expires_at)
    )
    return sorted(
        (
            RevokedPat(row.id, row.name)
            for row in result
            if row.expires_at is None or row.expires_at > now_ms
        ),
        key=lambda revoked: revoked.id,
    )


async def insert_cluster_token(
    conn: AsyncConnection,
    *,
    org_id: str,
    cluster_id: str,
    token_hash: bytes,
    scopes: Sequence[str],
    created_at_ms: int,
) -> bool:
    """Insert a cluster token by the hash of its text; False if the hash is taken."""
    row = {
        "token_hash": token_hash,
        "org_id": org_id,
        "cluster_id": cluster_id,
        "scopes": json.dumps(list(scopes)),
        "created_at": created_at_ms,
    }
    return await insert_new(conn, cluster_token, row)
