"""Typed builders of events and prepared rows: a whole row with changes, instead of fixtures."""

from __future__ import annotations

import hashlib
from typing import Any

from radar_audit_events.actions import ACTIONS
from radar_audit_events.event import Event
from radar_audit_events.ids import event_id
from radar_audit_hub.ingest.prepare import PreparedEvent, prepare
from radar_audit_hub.retention.policy import Expiry, Floors
from radar_audit_hub.store.database import Connection
from radar_audit_hub.store.purge import ExpiryNow

NOW_MS = 1_795_000_000_000  # 2026-11-18
DAY_MS = 86_400_000

_EXEC = {
    "cluster_id": "cl_1",
    "cluster_name": "prod",
    "namespace": "payments",
    "pod": "web-1",
    "session_id": "s-1",
}
METADATA: dict[str, dict[str, Any]] = {
    "pod.exec_started": dict(_EXEC),
    "pod.exec_ended": {**_EXEC, "duration_ms": 1554, "end_reason": "error", "observed": True},
    "cluster.action_denied": {
        "attempted_action": "pod.exec",
        "role": None,
        "required_role": "member",
    },
    "cluster.created": {"name": "prod", "environment": "production"},
    "cluster.deleted": {"name": "prod"},
    "cluster.token_rotated": {"name": "prod"},
    "pat.created": {"name": "ci-bot"},
    "pat.revoked": {"name": "ci-bot"},
    "org.created": {"name": "Acme"},
    "org_invitation.created": {
        "email": "bob@acme.com",
        "role": "member",
        "expires_at": "2026-12-01T00:00:00.000Z",
    },
    "org.updated": {"changes": {"name": ["Acme", "Acme Inc"]}},
    "auth.signin": {"method": "oidc", "ip": "192.0.2.7"},
}


def random10(*parts: object) -> bytes:
    """Ten bytes that depend only on `parts`."""
    return hashlib.sha256(repr(parts).encode()).digest()[:10]


def make_event(
    number: int = 0,
    *,
    action: str = "pod.exec_started",
    created_at_ms: int | None = None,
    org_id: str = "org_x",
    metadata: dict[str, Any] | None = None,
    **changes: Any,
) -> Event:
    """An event of `action`, one second younger than event `number - 1`."""
    created = NOW_MS + number * 1000 if created_at_ms is None else created_at_ms
    row = ACTIONS[action]
    target = {"pod": "cl_1/payments/web-1", "cluster": "cl_1"}.get(row.target_type, org_id)
    fields: dict[str, Any] = {
        "id": event_id(created, random10(number, action)),
        "org_id": org_id,
        "action": action,
        "target_type": row.target_type,
        "target_id": target,
        "created_at_ms": created,
        "metadata": {**METADATA[action], **(metadata or {})},
        "actor_user_id": "user_alice",
        "actor_email": "alice@acme.com",
        "cluster_id": "cl_1" if row.target_type in ("pod", "cluster") else None,
    }
    return Event(**{**fields, **changes})


def make_row(number: int = 0, *, source_key: bytes | None = None, **changes: Any) -> PreparedEvent:
    """A prepared row of `make_event(number, **changes)` with a salt that depends on the number."""
    salt = hashlib.sha256(b"salt%d" % number).digest()
    return prepare(make_event(number, **changes), salt, source_key)


def always(floors: Floors) -> ExpiryNow:
    """Return a rule of what has expired that does not look at the org."""

    async def expiry_now(_: Connection) -> Expiry:
        return Expiry(floors, "plan:test")

    return expiry_now
