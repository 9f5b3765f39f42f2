"""Which Secrets a policy names, and what is made of each.

Owns the uses of Secrets by destinations and the rules for their values. Called by the reconciler,
which reads them, and by `plan/document.py`. Pure; a value is in `Found` alone, whose repr hides it.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from radar_audit_events.receiver_keys import (
    routing_key_mistake,
    signing_key_mistake,
    signing_secret_mistake,
)

from radar_audit_operator.specs import DestinationSpec, PolicySpec, SecretRef

MAX_SECRET_CHARS = 4096
_CLUSTER_TOKEN = re.compile(r"^rhc_[A-Za-z0-9_-]{1,100}\Z")
Role = Literal[
    "token",
    "url",
    "routing_key",
    "signing_secret",
    "previous_signing_secret",
    "signing_key",
    "previous_signing_key",
]
Problem = Literal["SecretMissing", "SecretKeyMissing", "SecretInvalid", "SecretForbidden"]


@dataclass(frozen=True, slots=True)
class Use:
    """A destination's use of a Secret, or an AuditHub's of its token."""

    destination: str
    role: Role
    ref: SecretRef


@dataclass(frozen=True, slots=True)
class Found:
    """A Secret's key as it was read: a value, or a problem with its sentence.

    `version` names the state of the Secret (its uid and resourceVersion), never its value.
    """

    version: str
    value: str | None = field(default=None, repr=False)
    problem: Problem | None = None
    message: str = ""


def uses(spec: PolicySpec) -> Iterator[Use]:
    """Yield every use of a Secret."""
    for each in spec.notifications.destinations if spec.notifications else ():
        yield from _uses(each)


def names(spec: PolicySpec) -> frozenset[str]:
    """Return the names of the Secrets that a policy needs."""
    return frozenset(use.ref.name for use in uses(spec))


def judge(use: Use, secret: Mapping[str, Any] | None, refusal: int = 404) -> Found:
    """Return what a use finds in a decoded Secret; null: the API server refused with `refusal`."""
    name, key = use.ref.name, use.ref.key
    if secret is None:
        if refusal == 403:
            message = f"the operator may not read Secret {name}; its Role must name it"
            return Found("forbidden", problem="SecretForbidden", message=message)
        message = f"there is no Secret {name} in this namespace"
        return Found("missing", problem="SecretMissing", message=message)
    meta = secret.get("metadata") or {}
    version = f"{meta.get('uid', '')}:{meta.get('resourceVersion', '')}"
    coded = (secret.get("data") or {}).get(key)
    if coded is None:
        message = f"Secret {name} has no key {key}"
        return Found(version, problem="SecretKeyMissing", message=message)
    value = read_value(coded)
    mistake = "must be one line of printable text" if value is None else _FORMS[use.role](value)
    if mistake is not None:
        message = f"key {key} of Secret {name} {mistake}"
        return Found(version, problem="SecretInvalid", message=message)
    return Found(version, value)


def read_value(coded: object) -> str | None:
    """Return the text of a Secret's base64 value, null if it is no single printable line."""
    try:
        return read_text(base64.b64decode(str(coded), validate=True))
    except (binascii.Error, ValueError):
        return None


def read_text(raw: bytes) -> str | None:
    """Return a secret's text, null if it is no single printable line."""
    try:
        text = raw.decode("ascii").strip()
    except ValueError:
        return None
    usable = 0 < len(text) <= MAX_SECRET_CHARS and text.isprintable() and " " not in text
    return text if usable else None


def _uses(each: DestinationSpec) -> Iterator[Use]:
    if each.slack is not None:
        yield Use(each.name, "url", each.slack.url_secret_ref)
    if each.teams is not None:
        yield Use(each.name, "url", each.teams.url_secret_ref)
    if each.pagerduty is not None:
        yield Use(each.name, "routing_key", each.pagerduty.routing_key_secret_ref)
    hook = each.webhook
    if hook is None:
        return
    refs: tuple[tuple[Role, SecretRef | None], ...] = (
        ("signing_secret", hook.signing_secret_ref),
        ("previous_signing_secret", hook.previous_signing_secret_ref),
        ("signing_key", hook.signing_key_secret_ref),
        ("previous_signing_key", hook.previous_signing_key_secret_ref),
    )
    for role, ref in refs:
        if ref is not None:
            yield Use(each.name, role, ref)


def _token_mistake(value: str) -> str | None:
    """Return what a token must be: it is sent to the AuditHub's URL.

    Else who may write an AuditHub, but read no Secret, could have any of the operator's namespace
    sent to an address of theirs.
    """
    return None if _CLUSTER_TOKEN.match(value) else "must be a cluster's token (rhc_...)"


def _url_mistake(value: str) -> str | None:
    try:
        parts = urlsplit(value)
        is_https = parts.scheme == "https" and bool(parts.hostname)
    except ValueError:
        is_https = False
    return None if is_https else "must be an https address"


_FORMS: Mapping[Role, Callable[[str], str | None]] = {
    "token": _token_mistake,
    "url": _url_mistake,
    "routing_key": routing_key_mistake,
    "signing_secret": signing_secret_mistake,
    "previous_signing_secret": signing_secret_mistake,
    "signing_key": signing_key_mistake,
    "previous_signing_key": signing_key_mistake,
}
