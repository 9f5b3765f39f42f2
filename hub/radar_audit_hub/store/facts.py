"""Stored events found by their source keys: whether a fact is in the log, and as what.

Called by whoever must know before it writes (the job that ends silent collectors' terminals,
recording from elsewhere) and by ingest for late ends. Under the lock of the org's head the answer
stays true until the commit. Never judges whether two facts are the same.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from .schema import audit_event

_KEYS_AT_ONCE = 1000  # arguments of one statement


class StoredFact(NamedTuple):
    """An event as it is stored, found by its source key; `metadata` is JSON."""

    id: str
    action: str
    target_id: str
    created_at_ms: int
    metadata: str
    actor_user_id: str | None
    actor_email: str | None

    @property
    def started_at(self) -> str | None:
        """Return when the session of an end began, as its metadata has it (RFC 3339)."""
        text = json.loads(self.metadata).get("started_at")
        return text if isinstance(text, str) else None


async def stored_facts(
    conn: AsyncConnection, org_id: str, keys: Collection[bytes]
) -> dict[bytes, StoredFact]:
    """Return the stored events that have one of these source keys, by their key."""
    wanted = sorted(keys)
    found: dict[bytes, StoredFact] = {}
    for first in range(0, len(wanted), _KEYS_AT_ONCE):
        statement = select(
            audit_event.c.source_key,
            audit_event.c.id,
            audit_event.c.action,
            audit_event.c.target_id,
            audit_event.c.created_at,
            audit_event.c.metadata,
            audit_event.c.actor_user_id,
            audit_event.c.actor_email,
        ).where(
            audit_event.c.org_id == org_id,
            audit_event.c.source_key.in_(wanted[first : first + _KEYS_AT_ONCE]),
        )
        for key, *fact in await conn.execute(statement):
            found[bytes(key)] = StoredFact(*fact)
    return found
