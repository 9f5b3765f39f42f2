"""The events that a session gives, in the form that travels to the hub.

Owns which metadata each event carries and where its time comes from. Called by
`sessions` only. Pure. Never sets what the hub sets: cluster, session id in the
metadata, and which event a later one supersedes.
"""

from __future__ import annotations

from typing import Any

from radar_audit_events.ids import format_ms
from radar_audit_events.wire import EndReason, WireEvent

from .classify import REQUIRED_ROLE
from .session_entries import Entry

# Where the refusal was decided; the same from every capture source, so that the rows are too.
DENIED_BY = "kubernetes"
_UNSEEN: tuple[EndReason, ...] = ("assumed", "collector_restart")


def start_event(session_id: str, entry: Entry, *, observed: bool) -> WireEvent:
    """State that a terminal was opened; without its ResponseStarted it is dated to the request."""
    metadata = _target(entry)
    if not observed:
        metadata["observed"] = False
    return WireEvent(
        action="pod.exec_started",
        session_id=session_id,
        created_at=_time(entry.started_us),
        actor_user_id=entry.actor,
        metadata=metadata,
    )


def end_event(
    session_id: str, entry: Entry, *, panicked: bool, assumed_us: int | None = None
) -> WireEvent:
    """State that a terminal was closed, as the audit saw it.

    `assumed_us` is the time of the assumed end that this one corrects. The
    audit does not tell which side closed first; what it does tell is that the
    API server's handler has returned, hence server_closed, or error on Panic.
    """
    reason: EndReason = "error" if panicked else "server_closed"
    return _end(session_id, entry, entry.ended_us, reason, assumed_us)


def assumed_end_event(session_id: str, entry: Entry, assumed_us: int) -> WireEvent:
    """State that a terminal is taken as closed: its end was not seen in the time allowed."""
    return _end(session_id, entry, assumed_us, "assumed", None)


def closed_event(session_id: str, entry: Entry, reason: EndReason) -> WireEvent:
    """State that a terminal was closed, for a reason that the gateway knows.

    `collector_restart` was not seen: the collector was not there to see it.
    """
    return _end(session_id, entry, entry.ended_us, reason, None)


def denied_event(session_id: str, entry: Entry) -> WireEvent:
    """State that a terminal was refused; dated to the request, which both stages share."""
    return WireEvent(
        action="cluster.action_denied",
        session_id=session_id,
        created_at=_time(entry.received_us),
        actor_user_id=entry.actor,
        metadata={
            "attempted_action": "pod.exec",
            "role": entry.role,
            "required_role": REQUIRED_ROLE,
            "status": 403,
            "source": DENIED_BY,
            **_target(entry),
        },
    )


def _end(
    session_id: str, entry: Entry, ended_us: int, reason: EndReason, assumed_us: int | None
) -> WireEvent:
    return WireEvent(
        action="pod.exec_ended",
        session_id=session_id,
        created_at=_time(ended_us),
        actor_user_id=entry.actor,
        metadata={
            **_target(entry),
            # Two stamps of one API server; its clock may have been set back between them.
            "duration_ms": max(0, ended_us - entry.started_us) // 1000,
            "end_reason": reason,
            "observed": reason not in _UNSEEN,
            "started_at": _time(entry.started_us),
        },
        assumed_created_at=None if assumed_us is None else _time(assumed_us),
    )


def _target(entry: Entry) -> dict[str, Any]:
    target: dict[str, Any] = {"namespace": entry.namespace, "pod": entry.pod}
    if entry.container is not None:
        target["container"] = entry.container
    return target


def _time(unix_us: int) -> str:
    return format_ms(unix_us // 1000)
