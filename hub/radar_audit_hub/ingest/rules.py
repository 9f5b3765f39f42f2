"""What becomes of a captured event: the hub's rules between the wire and the log, pure.

Owns the decision per event (an `Event`, too old, or rejected and why) and everything that the
hub, not the collector, sets: org, cluster, target, e-mail, id, `supersedes`. Called by
`ingest/batch.py`. Never reads a clock, never touches the store.

A rejection's message names fields and limits, never a value that was sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from radar_audit_events import ids
from radar_audit_events.errors import TimeError
from radar_audit_events.event import MAX_EMAIL_CHARS, Event
from radar_audit_events.wire import (
    COLLECTOR_ACTIONS,
    MAX_SESSION_CHARS,
    MAX_SKEW_MS,
    WireEvent,
    kind_of,
)

from radar_audit_hub.retention.policy import Floors

from .facts import SAME_FACT_MS

# Keys that a collector may not send: the hub knows them better.
HUB_KEYS = frozenset({"cluster_id", "cluster_name", "session_id", "supersedes", "via_pat"})
_SESSION = re.compile(rf"^[\x21-\x7e]{{1,{MAX_SESSION_CHARS}}}\Z")
# A Kubernetes name has no slash, so the parts of a pod's target stay apart.
_NAME = re.compile(r"^[A-Za-z0-9._-]{1,253}\Z")


Actor = tuple[str | None, str | None]  # user id, e-mail


class AssumedEnd(NamedTuple):
    """A stored end that the hub assumed of a session: id, pod, and when the session began."""

    id: str
    target_id: str
    started_at: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a batch comes from: org and cluster of its token, the hub's clock, the floors.

    `assumed` has, by session, the ends that the hub assumed when the collector was silent.
    """

    org_id: str
    cluster_id: str
    cluster_name: str
    now_ms: int
    floors: Floors
    assumed: Mapping[str, AssumedEnd] = field(default_factory=dict)


class Captured(NamedTuple):
    """An event that may be stored, with the 10 bytes that name its fact."""

    event: Event
    source_key: bytes


class Expired(NamedTuple):
    """An event already out of its retention when it arrived (creation time in Unix ms)."""

    created_at_ms: int
    source_key: bytes


class Rejected(NamedTuple):
    """An event that will never be taken as it is: a code for machines, a sentence for people."""

    code: str
    message: str


def judge(
    sent: WireEvent, source: Source, people: Mapping[str, Actor]
) -> Captured | Expired | Rejected:
    """Decide about one event; `people` maps the names of known users to (user id, e-mail)."""
    if sent.action not in COLLECTOR_ACTIONS:
        allowed = ", ".join(sorted(COLLECTOR_ACTIONS))
        return Rejected("action_not_allowed", f"action must be one of {allowed}")
    if not _SESSION.match(sent.session_id):
        limit = f"1 to {MAX_SESSION_CHARS} printable ASCII characters without spaces"
        return Rejected("invalid_event", f"session_id must be {limit}")
    try:
        created_at_ms = ids.parse_ms(sent.created_at)
    except TimeError as error:
        return Rejected("invalid_event", f"created_at: {error}")
    if created_at_ms > source.now_ms + MAX_SKEW_MS:
        return Rejected(
            "clock_skew",
            f"created_at is more than {MAX_SKEW_MS // 60_000} minutes ahead of the hub's clock",
        )
    key = ids.source_key(source.cluster_id, sent.session_id, kind_of(sent.action, sent.metadata))
    if not source.floors.visible(sent.action, created_at_ms, source.cluster_id):
        return Expired(created_at_ms, key)
    return _capture(sent, source, people, created_at_ms, key)


def _capture(
    sent: WireEvent,
    source: Source,
    people: Mapping[str, Actor],
    created_at_ms: int,
    key: bytes,
) -> Captured | Rejected:
    if not HUB_KEYS.isdisjoint(sent.metadata):
        named = ", ".join(sorted(HUB_KEYS.intersection(sent.metadata)))
        return Rejected("invalid_event", f"metadata must not have {named}: the hub sets it")
    if sent.action == "cluster.action_denied":
        metadata = sent.metadata.copy()
        target_type, target_id = "cluster", source.cluster_id
    else:
        namespace, pod = sent.metadata.get("namespace"), sent.metadata.get("pod")
        for name, part in (("namespace", namespace), ("pod", pod)):
            if type(part) is not str or not _NAME.match(part):
                return Rejected("invalid_event", f"metadata.{name} must be a Kubernetes name")
        metadata = {
            **sent.metadata,
            "cluster_id": source.cluster_id,
            "cluster_name": source.cluster_name,
            "session_id": sent.session_id,
        }
        target_type, target_id = "pod", f"{source.cluster_id}/{namespace}/{pod}"
    if sent.assumed_created_at is not None:
        superseded = _superseded(sent, source)
        if isinstance(superseded, Rejected):
            return superseded
        metadata["supersedes"] = superseded
    elif is_real_end(sent):
        assumed = source.assumed.get(sent.session_id)
        if assumed is not None and _is_end_of(assumed, target_id, sent):
            metadata["supersedes"] = assumed.id
    actor_user_id, actor_email = _actor(sent, people)
    event = Event(
        id=ids.event_id(created_at_ms, key),
        org_id=source.org_id,
        action=sent.action,
        target_type=target_type,
        target_id=target_id,
        created_at_ms=created_at_ms,
        metadata=metadata,
        actor_user_id=actor_user_id,
        actor_email=actor_email,
        cluster_id=source.cluster_id,
    )
    return Captured(event, key)


def is_real_end(sent: WireEvent) -> bool:
    """Tell whether an event is a session's end, not an assumed one, that names none it corrects."""
    is_end = sent.action == "pod.exec_ended" and sent.metadata.get("end_reason") != "assumed"
    return is_end and sent.assumed_created_at is None


def _is_end_of(assumed: AssumedEnd, target_id: str, sent: WireEvent) -> bool:
    """Tell whether a real end and an assumed one are of one session, not of two with one id."""
    if assumed.target_id != target_id:
        return False
    try:
        began = [
            ids.parse_ms(str(text)) for text in (assumed.started_at, sent.metadata["started_at"])
        ]
    except (KeyError, TimeError):
        return True
    return abs(began[0] - began[1]) <= SAME_FACT_MS


def _superseded(sent: WireEvent, source: Source) -> str | Rejected:
    """Return the id of the assumed end that this real end replaces: it follows from its time."""
    if sent.action != "pod.exec_ended" or sent.metadata.get("end_reason") == "assumed":
        return Rejected(
            "invalid_event", "assumed_created_at goes only with the real end of a session"
        )
    try:
        assumed_ms = ids.parse_ms(sent.assumed_created_at or "")
    except TimeError as error:
        return Rejected("invalid_event", f"assumed_created_at: {error}")
    return ids.event_id(assumed_ms, ids.source_key(source.cluster_id, sent.session_id, "assumed"))


def actor_name(sent: WireEvent) -> str | None:
    """Return the name by which the actor is to be looked up: an id, or a lower-case e-mail."""
    name = sent.actor_user_id
    return name.lower() if name is not None and _is_email(name) else name


def _is_email(name: str) -> bool:
    """Tell whether a name is kept as an e-mail: `Alice <alice@acme.com>` has an @ and is none."""
    lower = name.lower()  # may be longer than the name
    return "@" in name and len(lower) <= MAX_EMAIL_CHARS and not any(map(str.isspace, lower))


def _actor(sent: WireEvent, people: Mapping[str, Actor]) -> Actor:
    """Return (user id, e-mail): an id stays as received, known to the hub or not.

    Outside the Cloud, Radar's impersonated user name is often the e-mail itself: that is
    personal data, so it goes where e-mails go, and where a search by e-mail finds it.
    """
    name = actor_name(sent)
    if name is None:
        return None, None
    return people.get(name) or ((None, name) if _is_email(name) else (name, None))
