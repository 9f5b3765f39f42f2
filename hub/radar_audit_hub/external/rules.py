"""What another control plane may record of itself: one event between body and log, pure.

Owns which actions those are, what their targets look like, and everything that the hub sets:
org, target type, id and `via_pat`. Called by `handlers.py`. Never reads a clock, never touches
the store. No message repeats a value that was sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import msgspec
from radar_audit_events import ids
from radar_audit_events.actions import ACTIONS
from radar_audit_events.errors import EventInvalidError, FieldError, TimeError
from radar_audit_events.event import MAX_EMAIL_CHARS, MAX_USER_CHARS, Event, validate_event
from radar_audit_events.query_text import is_storable
from radar_audit_events.wire import MAX_SKEW_MS

from radar_audit_hub.names import nearest
from radar_audit_hub.retention.policy import Floors

ALLOWED = tuple(name for name, row in ACTIONS.items() if "api" in row.producers)
MAX_KEY_CHARS = 128
_KEY = re.compile(rf"^[\x21-\x7e]{{1,{MAX_KEY_CHARS}}}\Z")
_FORMS = {
    "org_invitation": re.compile(r"^inv_[A-Za-z0-9_]{1,60}\Z"),
    "pat": re.compile(r"^pat_[A-Za-z0-9_]{1,60}\Z"),
}
_OPAQUE = {"cluster": "cl", "org_member": "user", "auth": "user"}
_MAX_TEXT = 300

Person = tuple[str | None, str | None]  # user id, e-mail


class ExternalEvent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One action as it is sent; `key` names it for ever, so that a repeat makes no double.

    `actor` is the id or e-mail of a member of the org, null for nobody.
    """

    key: str
    action: str
    target_id: str
    created_at: str
    actor: str | None = None
    metadata: dict[str, Any] = {}


class FieldProblem(msgspec.Struct, frozen=True):
    """One wrong field of an event, and what would be right."""

    field: str
    message: str


class Result(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The fate of one event, in the order of the request.

    `accepted` and `duplicate` are final and name the event; `expired` is older than the
    retention; `rejected` says why by code and message, with the wrong fields.
    """

    result: Literal["accepted", "duplicate", "expired", "rejected"]
    id: str | None = None
    code: str | None = None
    message: str | None = None
    errors: list[FieldProblem] = []


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorder:
    """Who records: an org's PAT by its name; the hub's clock (Unix ms) and the org's floors."""

    org_id: str
    pat_name: str
    now_ms: int
    floors: Floors


class Taken(NamedTuple):
    """An event that may be stored, with the 10 bytes that its key becomes."""

    event: Event
    source_key: bytes


def source_key(key: str) -> bytes:
    """Return the 10 bytes under which the store keeps a key; no captured event has the same."""
    return ids.source_key("", key, "recorded")


def actor_name(sent: ExternalEvent) -> str | None:
    """Return the name by which the actor is to be looked up: an id, or a lower-case e-mail."""
    name = sent.actor
    if name is None or len(name) > max(MAX_EMAIL_CHARS, MAX_USER_CHARS) or not is_storable(name):
        return None
    return name.lower() if "@" in name else name


def judge(sent: ExternalEvent, recorder: Recorder, people: Mapping[str, Person]) -> Taken | Result:
    """Decide about one event; `people` maps the names of members to (user id, e-mail)."""
    errors: list[FieldError] = []
    if not _KEY.match(sent.key):
        form = f"must be 1 to {MAX_KEY_CHARS} printable ASCII characters without spaces"
        errors.append(FieldError("key", form))
    if sent.action not in ALLOWED:
        return rejected([*errors, FieldError("action", _not_allowed(sent.action))])
    errors += _target_errors(sent, recorder.org_id)
    if "via_pat" in sent.metadata:
        errors.append(FieldError("metadata.via_pat", "must be left out: the hub sets it"))
    person: Person | None = (None, None)
    if sent.actor is not None:
        person = people.get(actor_name(sent) or "")
    if person is None:
        errors.append(FieldError("actor", "must be the id or e-mail of a member, or null"))
        person = (None, None)
    try:
        created_at_ms = ids.parse_ms(sent.created_at)
    except TimeError as error:
        return rejected([*errors, FieldError("created_at", str(error))])
    event = _event(sent, recorder, person, created_at_ms)
    try:
        validate_event(event)
    except EventInvalidError as error:
        errors += error.errors
    if errors:
        return rejected(errors)
    return _in_time(event, sent.key, recorder)


def _in_time(event: Event, key: str, recorder: Recorder) -> Taken | Result:
    if event.created_at_ms > recorder.now_ms + MAX_SKEW_MS:
        minutes = MAX_SKEW_MS // 60_000
        message = f"created_at is more than {minutes} minutes ahead of the hub's clock"
        return Result(result="rejected", code="clock_skew", message=message)
    if not recorder.floors.visible(event.action, event.created_at_ms, event.cluster_id):
        return Result(result="expired")
    return Taken(event, source_key(key))


def rejected(errors: list[FieldError]) -> Result:
    """Return the answer to an event with wrong fields."""
    return Result(
        result="rejected",
        code="invalid_event",
        message="; ".join(f"{e.field}: {e.message}" for e in errors)[:_MAX_TEXT],
        errors=[FieldProblem(e.field[:_MAX_TEXT], e.message[:_MAX_TEXT]) for e in errors],
    )


def _event(sent: ExternalEvent, recorder: Recorder, person: Person, created_at_ms: int) -> Event:
    user_id, email = person
    is_about_cluster = ACTIONS[sent.action].target_type == "cluster"
    return Event(
        id=ids.event_id(created_at_ms, source_key(sent.key)),
        org_id=recorder.org_id,
        action=sent.action,
        target_type=ACTIONS[sent.action].target_type,
        target_id=sent.target_id,
        created_at_ms=created_at_ms,
        # Who vouches for it: the log shows with which token an action was recorded.
        metadata={**sent.metadata, "via_pat": recorder.pat_name},
        actor_user_id=user_id,
        actor_email=email,
        cluster_id=sent.target_id if is_about_cluster else None,
    )


def _target_errors(sent: ExternalEvent, org_id: str) -> list[FieldError]:
    kind, target = ACTIONS[sent.action].target_type, sent.target_id
    if kind == "org":
        right, form = target == org_id, "the organization's own id"
    elif kind in _OPAQUE:
        prefix = _OPAQUE[kind]
        right = ids.is_opaque_id(prefix, target)
        form = f"{prefix}_ and 1 to 60 letters, digits or underscores"
    elif kind in _FORMS:
        right = _FORMS[kind].match(target) is not None
        form = "inv_ or pat_ and 1 to 60 letters, digits or underscores"
    else:
        return []
    return [] if right else [FieldError("target_id", f"must be {form}")]


def _not_allowed(action: str) -> str:
    if action in ACTIONS:
        return "is an action that only the hub or a collector writes"
    return f"is not an action of the table; {nearest(action, ALLOWED)}"
