"""Whether two captured events with one source key state the same fact, and what if they do not.

Owns that judgement. Called by the store for a repeat only. Pure. A client may choose the Audit-ID
that names its session; a collector tells two sessions of one id apart as long as it remembers the
first. Later, or after it has lost its memory, the second must not pass for a repeat of the first:
whoever uses an id again would open a terminal that the log never shows.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
from radar_audit_events import ids
from radar_audit_events.errors import TimeError
from radar_audit_events.event import Event

from .prepare import PreparedEvent, prepare

# Two sources of one session stamp it by clocks of their own, and their delays differ by minutes.
SAME_FACT_MS = 60 * 60 * 1000


class Known(NamedTuple):
    """What is stored under a source key, as far as it tells a fact; `metadata` is JSON."""

    id: str
    seq: int
    target_id: str
    created_at_ms: int
    metadata: str


def is_same_fact(known: Known | PreparedEvent, event: PreparedEvent) -> bool:
    """Tell whether an event repeats the known one: the same pod, begun at about the same time."""
    if known.id == event.id and known.metadata == event.metadata:
        return True
    one, other = msgspec.json.decode(known.metadata), msgspec.json.decode(event.metadata)
    if _place(known.target_id, one) != _place(event.target_id, other):
        return False
    first_ms = _begun_ms(event.action, known.created_at_ms, one)
    second_ms = _begun_ms(event.action, event.created_at_ms, other)
    if first_ms is None or second_ms is None:
        return True
    return abs(first_ms - second_ms) <= SAME_FACT_MS


def own_key(event: PreparedEvent) -> bytes:
    """Return a source key for an event whose own key another fact has: the same for its repeats."""
    assert event.source_key is not None  # only captured facts have rivals
    metadata = msgspec.json.decode(event.metadata)
    begun_ms = _begun_ms(event.action, event.created_at_ms, metadata)
    about = (event.created_at_ms if begun_ms is None else begun_ms) // SAME_FACT_MS
    place = "/".join(map(str, _place(event.target_id, metadata)))
    return ids.source_key(event.source_key.hex(), place, str(about))


def kept_apart(org_id: str, event: PreparedEvent) -> PreparedEvent:
    """Return the event under a key and an id of its own."""
    key = own_key(event)
    return prepare(
        Event(
            id=ids.event_id(event.created_at_ms, key),
            org_id=org_id,
            action=event.action,
            target_type=event.target_type,
            target_id=event.target_id,
            created_at_ms=event.created_at_ms,
            metadata=msgspec.json.decode(event.metadata),
            actor_user_id=event.actor_user_id,
            actor_email=event.actor_email,
            cluster_id=event.cluster_id,
        ),
        event.pii_salt,
        key,
    )


def _place(target_id: str, metadata: dict[str, Any]) -> tuple[Any, ...]:
    # A refusal's target is the cluster; its pod stands in the metadata.
    return target_id, metadata.get("namespace"), metadata.get("pod")


def _begun_ms(action: str, created_at_ms: int, metadata: dict[str, Any]) -> int | None:
    """Return when a session began, None where its end does not say.

    The end itself may be dated hours apart: by the one source when it saw it, by the other, which
    was down, when it came back.
    """
    if action != "pod.exec_ended":
        return created_at_ms
    try:
        return ids.parse_ms(str(metadata.get("started_at")))
    except TimeError:
        return None
