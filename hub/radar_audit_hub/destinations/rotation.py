"""What becomes of a webhook's keys when some of them are changed: pure.

Owns the difference between a key that is left out (it stays), one that is empty (it is given up)
and a new one (the one before goes on signing, too). Called by `rules.py` for the changes of one
destination; a document that is sent as a whole says all its keys itself. Never logs a key.
"""

from __future__ import annotations

import hmac

import msgspec
from radar_audit_events.errors import FieldError
from radar_audit_events.policy_wire import WebhookTarget

from radar_audit_hub.errors import InvalidBodyError
from radar_audit_hub.policy.secret_parts import Secret

_KINDS = (
    ("signing_secret", "previous_signing_secret"),
    ("signing_key", "previous_signing_key"),
)
PARTS = tuple(name for pair in _KINDS for name in pair)


def with_kept_keys(asked: WebhookTarget, before: Secret) -> WebhookTarget:
    """Return the webhook with all keys that it is to have, of those asked and those stored.

    None: as it is stored. Empty: given up. A new `signing_secret` or `signing_key` makes the one
    before it the previous one, unless that is said as well. Raises InvalidBodyError for a webhook
    that would be left without any.
    """
    if all(getattr(asked, name) is None for name in PARTS):
        return asked
    found: dict[str, str | None] = {}
    for current, previous in _KINDS:
        new, had = getattr(asked, current), getattr(before, current)
        found[current] = had if new is None else new or None
        old = getattr(asked, previous)
        if old is None:
            old = _previous(new, had, getattr(before, previous))
        found[previous] = old or None
    gives_up = "" in (asked.signing_secret, asked.signing_key)
    if gives_up and found["signing_secret"] is None and found["signing_key"] is None:
        message = "must keep a signing_secret or a signing_key, or get a new one"
        raise InvalidBodyError([FieldError("webhook", message)])
    return msgspec.structs.replace(asked, **found)


def _previous(new: str | None, had: str | None, previous: str | None) -> str | None:
    """Return what signs beside the current key, where nothing was said of it."""
    if new == "":  # nothing of this kind signs any more
        return None
    is_new = new is not None and (
        had is None or not hmac.compare_digest(new.encode(), had.encode())
    )
    return had if is_new else previous
