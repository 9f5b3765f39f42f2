"""What travels between collector and hub.

Owns the request and answer structures of `POST /api/ingest/events` and
`POST /api/agent/heartbeat`. Called by the collector (encodes requests) and the
hub (encodes answers); both decode with msgspec, which refuses unknown fields.
Never holds terminal content, argv or a request's query string.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

MAX_BATCH_EVENTS = 1000  # contract: POST /api/ingest/events takes 1 to 1000 events
MAX_BATCH_BYTES = 8 * 1024 * 1024  # contract: after decompression
MAX_SESSION_CHARS = 64  # capture design: a client may choose the Audit-ID, so it is capped
MAX_SKEW_MS = 5 * 60 * 1000  # contract: an event further ahead is rejected as clock_skew

Kind = Literal["started", "ended", "assumed", "denied"]
EndReason = Literal[
    "client_closed", "server_closed", "error", "collector_shutdown", "collector_restart", "assumed"
]


class WireEvent(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """One captured event as a collector ships it.

    `metadata` holds the action's own keys except those that the hub sets:
    cluster_id, cluster_name, session_id and supersedes. `created_at` is RFC 3339
    in UTC. `assumed_created_at` is given with a late real end: the time of the
    assumed end that it supersedes (the hub derives that event's id from it).
    """

    action: str
    session_id: str
    created_at: str
    actor_user_id: str | None = None
    metadata: dict[str, Any] = {}
    assumed_created_at: str | None = None


class Gap(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`count` events were lost between two RFC 3339 times; `gap_id` makes it idempotent."""

    gap_id: str
    from_time: str
    to_time: str
    count: int
    reason: str


class IngestRequest(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """A batch of up to MAX_BATCH_EVENTS events, gaps beside them; not both are empty."""

    collector_id: str
    batch_id: str
    events: list[WireEvent] = []
    gaps: list[Gap] = []


class IngestResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The fate of one event, in the order of the request.

    `accepted` and `duplicate` are final; `expired` is older than the retention
    when it arrived and is not stored; `rejected` says why by code and message.
    """

    result: Literal["accepted", "duplicate", "expired", "rejected"]
    id: str | None = None
    code: str | None = None
    message: str | None = None


class IngestAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One result per event of the request; its gaps are stored when this answer comes."""

    results: list[IngestResult]


class SpoolState(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Depth of a collector's spool; `oldest_at` is RFC 3339, null when it is empty."""

    events: int
    bytes: int
    oldest_at: str | None
    dead_letters: int


class UpgradeReport(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """What a collector knows of an upgrade to `version`: it was told, or (`failure`) it failed."""

    version: str
    failure: str | None = None


class HeartbeatRequest(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """What a collector says of itself.

    `instance_id` changes with each start; `sent_at` is the collector's own clock. `upgrade` is
    sent only once an answer has asked for one, so that a hub that never does is not surprised.
    """

    collector_id: str
    instance_id: str
    version: str
    sources: list[str]
    sent_at: str
    spool: SpoolState
    losses: dict[str, int] = {}
    open_sessions: list[str] = []
    capture_hash: str | None = None
    upgrade: UpgradeReport | None = None


class HeartbeatAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The hub's time and who this collector is.

    `capture` are the cluster's capture settings (null: live on your own), with
    their `capture_etag`; `upgrade` is a requested agent version or null.
    """

    now: str
    org_id: str
    cluster_id: str
    cluster_name: str
    capture: dict[str, Any] | None = None
    capture_etag: str | None = None
    upgrade: str | None = None


def kind_of(action: str, metadata: dict[str, Any]) -> Kind:
    """Return which fact of a session an event states; it is part of the source key.

    An assumed end has a kind of its own, so that the real end can still be stored.
    Raises KeyError for an action that no collector sends.
    """
    if action == "pod.exec_ended" and metadata.get("end_reason") == "assumed":
        return "assumed"
    return _KINDS[action]


_KINDS: dict[str, Kind] = {
    "pod.exec_started": "started",
    "pod.exec_ended": "ended",
    "cluster.action_denied": "denied",
}
COLLECTOR_ACTIONS = frozenset(_KINDS)
