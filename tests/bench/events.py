"""Events of the size and mix that a busy cluster gives, made from a number alone.

Owns what every benchmark that brings its own events ingests: sessions of people in pods, a
start and an end each, some refusals, about 250 bytes of metadata and 600 bytes of leaf. Called
by the benchmarks. Never draws randomness, so that two runs measure the same bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

from radar_audit_events.actions import ACTIONS, Field
from radar_audit_events.codec import canonical
from radar_audit_events.event import Event
from radar_audit_events.ids import event_id, format_ms, source_key
from radar_audit_events.wire import WireEvent, kind_of
from radar_audit_hub.ingest.prepare import PreparedEvent, prepare

ORG = "org_01JB8Z6Q4T3V9W2X5Y7Z8A1B2C"
CLUSTER = "cl_01JB8Z7D5E6F7G8H9J0K1M2N3P"
CLUSTER_NAME = "prod-eu-central-1"
USERS = 1000
BATCH_EVENTS = 500
_STEP_MS = 20  # between two events
_NAMESPACES = ("payments", "checkout", "identity", "search", "observability", "ingress")
_VALUES: dict[str, Any] = {
    "integer": 403,
    "boolean": True,
    "string_list": ["org_audit:read", "clusters:read"],
    "labels": {"region": "eu-central-1", "tier": "production"},
    "changes": {"name": ["prod-eu-1", CLUSTER_NAME]},
}


def user_id(number: int) -> str:
    """Return one of USERS people; low numbers come far more often."""
    return f"user_01JB8ZUSER{USERS - 1 - int(USERS * _fraction(number) ** 0.33):04d}"


def wire_events(count: int, end_ms: int, *, first: int = 0) -> Iterator[WireEvent]:
    """Yield what a collector ships: of 25 events 12 starts, 12 ends and a refusal, to `end_ms`."""
    for number in range(first, first + count):
        session, kind = divmod(number, 2)
        created_ms = end_ms - (first + count - number) * _STEP_MS
        denied = number % 25 == 24
        digest = hashlib.sha256(b"%d" % session).hexdigest()
        metadata: dict[str, Any] = {
            "namespace": _NAMESPACES[session % len(_NAMESPACES)],
            "pod": f"web-frontend-{digest[:10]}-{digest[10:15]}",
            "container": "app",
        }
        action = "pod.exec_started"
        if denied:
            action = "cluster.action_denied"
            metadata |= {
                "attempted_action": "pod.exec",
                "role": "viewer",
                "required_role": "member",
                "status": 403,
                "source": "kubernetes",
            }
        elif kind:
            action = "pod.exec_ended"
            metadata |= {
                "duration_ms": 41_554 + number % 1000,
                "end_reason": "server_closed",
                "observed": True,
                "started_at": format_ms(created_ms - 41_554),
            }
        yield WireEvent(
            action=action,
            session_id=f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:32]}",
            created_at=format_ms(created_ms),
            actor_user_id=user_id(session),
            metadata=metadata,
        )


def captured_events(
    count: int, end_ms: int, *, org_id: str = ORG, first: int = 0
) -> Iterator[tuple[Event, bytes]]:
    """Yield the same as events of an org with their source keys, as the hub's rules make them."""
    for number, sent in enumerate(wire_events(count, end_ms, first=first), first):
        created_ms = end_ms - (first + count - number) * _STEP_MS
        key = source_key(CLUSTER, sent.session_id, kind_of(sent.action, sent.metadata))
        metadata = dict(sent.metadata)
        target_type, target_id = "cluster", CLUSTER
        if sent.action != "cluster.action_denied":
            target_type = "pod"
            target_id = f"{CLUSTER}/{metadata['namespace']}/{metadata['pod']}"
            metadata["cluster_id"] = CLUSTER
            metadata["cluster_name"] = CLUSTER_NAME
            metadata["session_id"] = sent.session_id
        event = Event(
            id=event_id(created_ms, key),
            org_id=org_id,
            action=sent.action,
            target_type=target_type,
            target_id=target_id,
            created_at_ms=created_ms,
            metadata=metadata,
            actor_user_id=sent.actor_user_id,
            actor_email=f"{sent.actor_user_id}@example.com".lower(),
            cluster_id=CLUSTER,
        )
        yield event, key


def prepared_events(
    count: int, end_ms: int, *, org_id: str = ORG, first: int = 0
) -> list[PreparedEvent]:
    """Return such events as the rows that the store appends."""
    return [
        prepare(event, salt(number), key)
        for number, (event, key) in enumerate(
            captured_events(count, end_ms, org_id=org_id, first=first), first
        )
    ]


def store_rows(
    events: Sequence[PreparedEvent], recorded_ms: int, *, first: int = 0
) -> list[tuple[Any, ...]]:
    """Return such rows of ORG in the order of the table's columns, with seqs from `first`."""
    return [
        (
            ORG,
            seq,
            e.id,
            e.actor_user_id,
            e.actor_email,
            e.action,
            e.target_type,
            e.target_id,
            e.cluster_id,
            e.source_key,
            e.metadata,
            e.created_at_ms,
            recorded_ms,
            e.pii_commitment,
            e.pii_salt,
            e.leaf_hash,
        )
        for seq, e in enumerate(events, first)
    ]


def salt(number: int) -> bytes:
    """Return 32 bytes in place of fresh random ones."""
    return hashlib.sha256(b"salt%d" % number).digest()


def sample_metadata(action: str) -> str:
    """Return metadata of an action, all its keys filled, in canonical form."""
    return canonical({field.name: _value(field) for field in ACTIONS[action].fields}).decode()


def _value(field: Field) -> Any:
    if field.choices:
        return field.choices[0]
    return _VALUES.get(field.type, f"{field.name}-of-a-usual-length")


def _fraction(number: int) -> float:
    return int.from_bytes(hashlib.sha256(b"user%d" % number).digest()[:4], "big") / 2**32
