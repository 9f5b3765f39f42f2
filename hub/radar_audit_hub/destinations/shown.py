"""Destinations and deliveries as the API shows them.

Owns the form of the answers. Called by `handlers.py`. Pure; never shows a secret: what is stored
in the clear has none, and requests and answers were cleaned before they were kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from radar_audit_events.ids import format_ms
from radar_audit_events.policy_wire import Destination

from radar_audit_hub.notify import content
from radar_audit_hub.notify.destinations import state_of
from radar_audit_hub.policy.settling import ORG_OWNER
from radar_audit_hub.store.notify_attempts import Attempt
from radar_audit_hub.store.notify_destinations import DestinationRow
from radar_audit_hub.store.notify_messages import Message


def destination(row: DestinationRow, target: Destination, pending: int) -> dict[str, Any]:
    """Return one destination; `target` is as its document says it, without secrets."""
    state = state_of(row, pending)
    return {
        "id": row.id,
        "owner_id": row.owner_id,
        "name": row.name,
        "kind": row.kind,
        "is_editable": row.owner_id == ORG_OWNER,
        "settings": target,
        "has_secret": row.has_secret,
        "state": state.state,
        "pending": pending,
        "suppressed": row.suppressed,
        "created_at": format_ms(row.created_at),
        "disabled_at": time(row.disabled_at),
        "disabled_reason": row.disabled_reason,
        "failing_since": time(row.failing_since),
        "last_attempt_at": time(row.last_attempt_at),
        "last_delivery_at": time(row.last_delivery_at),
        "last_error_at": time(row.last_error_at),
        "last_error": row.last_error,
    }


def delivery(message: Message, attempts: Sequence[Attempt]) -> dict[str, Any]:
    """Return one message with its attempts, without what was sent and answered."""
    said = content.decode(message.payload)
    return {
        "id": message.id,
        "webhook_id": message.wire_id,
        "destination_id": message.destination_id,
        "owner_id": message.owner_id,
        "rule": message.rule,
        "kind": message.kind,
        "severity": message.severity,
        "title": said.title,
        "total": said.total,
        "state": message.state,
        "created_at": format_ms(message.created_at),
        "recorded_at": time(message.recorded_at),
        "due_at": format_ms(message.due_at),
        "settled_at": time(message.settled_at),
        "replay_of": message.replay_of,
        "attempts": [_attempt(one) for one in attempts],
    }


def _json(text: str | None) -> Any:
    return None if text is None else msgspec.json.decode(text)


def whole_delivery(message: Message, attempts: Sequence[Attempt]) -> dict[str, Any]:
    """Return the same with what it is about, and what was sent and answered at each attempt."""
    said = content.decode(message.payload)
    return {
        **delivery(message, attempts),
        "content": said,
        "attempts": [
            {
                **_attempt(one),
                "request": _json(one.request),
                "response": _json(one.response),
            }
            for one in attempts
        ],
    }


def _attempt(one: Attempt) -> dict[str, Any]:
    return {
        "number": one.number,
        "started_at": format_ms(one.started_at),
        "duration_ms": one.duration_ms,
        "receiver_status": one.receiver_status,
        "outcome": one.outcome or "unknown",
        "error": one.error,
    }


def time(at_ms: int | None) -> str | None:
    """Return a time (Unix ms) as the API writes it."""
    return None if at_ms is None else format_ms(at_ms)
