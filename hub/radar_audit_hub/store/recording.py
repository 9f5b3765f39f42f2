"""Writes the audit events of a mutation, inside that mutation's own transaction.

Owns the step from "what happened" to the org's log for everything that the hub does itself.
Called by the admin command and by every mutating handler; captured events go through `ingest/`.
Never opens a transaction: without the mutation's there is no event, without events no mutation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from radar_audit_events.actions import ACTIONS
from radar_audit_events.codec import SALT_BYTES
from radar_audit_events.event import Event
from radar_audit_events.ids import event_id
from sqlalchemy.ext.asyncio import AsyncConnection

from radar_audit_hub.ingest.prepare import prepare

from .log import append

_ULID_RANDOM_BYTES = 10
_ULID_RANDOM = 1 << (8 * _ULID_RANDOM_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """One thing that happened; target type and schema follow from `action` in the table.

    `cluster_id` is given for what is about one cluster. Nobody did it (the server's own
    command, a job): leave the actor out.
    """

    action: str
    target_id: str
    metadata: dict[str, Any] = field(default_factory=dict)
    actor_user_id: str | None = None
    actor_email: str | None = None
    cluster_id: str | None = None


async def record(
    conn: AsyncConnection,
    org_id: str,
    happened: Sequence[Happened],
    *,
    now_ms: int,
    random_bytes: Callable[[int], bytes],
) -> list[int]:
    """Append the events at `now_ms` (Unix ms) in their order and return their seqs.

    Events of one call share the millisecond; their ids count up, so that pages show them in
    this order too. Raises EventInvalidError naming the wrong field: a mistake of the caller.
    """
    first = int.from_bytes(random_bytes(_ULID_RANDOM_BYTES), "big")
    prepared = []
    for index, what in enumerate(happened):
        tail = ((first + index) % _ULID_RANDOM).to_bytes(_ULID_RANDOM_BYTES, "big")
        event = Event(
            id=event_id(now_ms, tail),
            org_id=org_id,
            action=what.action,
            target_type=ACTIONS[what.action].target_type,
            target_id=what.target_id,
            created_at_ms=now_ms,
            metadata=what.metadata,
            actor_user_id=what.actor_user_id,
            actor_email=what.actor_email,
            cluster_id=what.cluster_id,
        )
        prepared.append(prepare(event, random_bytes(SALT_BYTES)))
    return await append(conn, org_id, prepared, now_ms)
