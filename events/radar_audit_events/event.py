"""One audit event, as every part speaks of it.

Owns the event's shape, its public JSON form and the checks that hold for every
event whatever its action. Called by the hub, the CLI and the pages. Never
reads a clock; ids and times come in as arguments.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from .actions import ACTIONS
from .codec import encode_plain
from .errors import CanonicalError, EventInvalidError, FieldError
from .ids import carries_time, format_ms
from .schema import validate_metadata

MAX_METADATA_BYTES = 16 * 1024  # contract: metadata in canonical form
MAX_TARGET_CHARS = 600  # cluster id, namespace and pod name with two slashes fit
MAX_EMAIL_CHARS = 320
MAX_USER_CHARS = 256
# These stand in CSV cells, logs and terminals: no control characters, no line ends, no halves
# of surrogate pairs. Targets and e-mails have no white space either.
_UNSAFE = r"\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff"
_WORD = re.compile(rf"^[^\s{_UNSAFE}]+\Z")
# A user's name is whatever an identity provider gives ("Alice Doe"): spaces inside are right.
_NAME = re.compile(rf"^[^\s{_UNSAFE}](?:[^{_UNSAFE}]*[^\s{_UNSAFE}])?\Z")


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """An event before or after it is stored; times are Unix milliseconds in UTC.

    `cluster_id` is set for events about one cluster (it is a key of the store,
    not of the public form); `seq` is the org's commit order, None until stored.
    """

    id: str
    org_id: str
    action: str
    target_type: str
    target_id: str
    created_at_ms: int
    metadata: dict[str, Any] = {}
    actor_user_id: str | None = None
    actor_email: str | None = None
    cluster_id: str | None = None
    seq: int | None = None

    def public(self) -> dict[str, Any]:
        """Return the contract's JSON object of this event (`seq` only once it is stored)."""
        form: dict[str, Any] = {
            "id": self.id,
            "org_id": self.org_id,
            "actor_user_id": self.actor_user_id,
            "actor_email": self.actor_email,
            "action": self.action,
            "target_type": self.target_type,
            "target_id": self.target_id,
            "metadata": self.metadata,
            "created_at": format_ms(self.created_at_ms),
        }
        if self.seq is not None:
            form["seq"] = self.seq
        return form


def validate_event(event: Event) -> bytes:
    """Check an event and return its metadata in canonical form (UTF-8 JSON).

    Raises EventInvalidError naming each wrong field. The id's time must equal
    created_at_ms, because the store uses the id as its time index.
    """
    row = ACTIONS.get(event.action)
    if row is None:
        raise EventInvalidError([FieldError("action", "is not an action of the table")])
    errors: list[FieldError] = []
    if event.target_type != row.target_type:
        errors.append(FieldError("target_type", f"must be {row.target_type} for {event.action}"))
    if not carries_time(event.id, event.created_at_ms):
        errors.append(FieldError("id", "must be an ae_ id that carries the time of created_at"))
    # Three calls with fixed arguments: a loop over the table of them costs as much as the checks.
    target, user, email = event.target_id, event.actor_user_id, event.actor_email
    if len(target) > MAX_TARGET_CHARS or not _is_word(target):
        errors.append(_not_printable("target_id", MAX_TARGET_CHARS, "spaces"))
    if user is not None and (len(user) > MAX_USER_CHARS or not _is_name(user)):
        errors.append(_not_printable("actor_user_id", MAX_USER_CHARS, "spaces at an end"))
    if email is not None and (len(email) > MAX_EMAIL_CHARS or not _is_word(email)):
        errors.append(_not_printable("actor_email", MAX_EMAIL_CHARS, "spaces"))
    if errors:
        raise EventInvalidError(errors)
    validate_metadata(event.action, event.metadata)  # leaves only text to be checked
    try:
        text = encode_plain(event.metadata)
    except CanonicalError as exc:
        raise EventInvalidError([FieldError("metadata", str(exc))]) from None
    if len(text) > MAX_METADATA_BYTES:
        raise EventInvalidError(
            [
                FieldError(
                    "metadata", f"must be at most {MAX_METADATA_BYTES} bytes in canonical form"
                )
            ]
        )
    return text


def _is_word(text: str) -> bool:
    if text.isascii():  # nearly always, and three looks at ASCII cost half of a pattern
        return text.isprintable() and " " not in text and text != ""
    return _WORD.match(text) is not None


def _is_name(text: str) -> bool:
    if text.isascii():
        return text.isprintable() and text != "" and text[0] != " " and text[-1] != " "
    return _NAME.match(text) is not None


def _not_printable(name: str, limit: int, spaces: str) -> FieldError:
    return FieldError(name, f"must be 1 to {limit} printable characters without {spaces}")
