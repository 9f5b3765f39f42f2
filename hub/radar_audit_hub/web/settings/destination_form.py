"""The form of a destination: what it shows of one, and what it asks for when it is sent: pure.

Owns the names of its fields. Called by `destinations.py`. What a destination may be is decided by
`destinations/` and `policy/`. Never shows a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

from radar_audit_events.errors import FieldError
from radar_audit_events.policy_wire import Destination

from radar_audit_hub.web.forms import Form

from .entries import time_of, time_text

SEVERITIES = ("info", "warning", "critical")
ENVELOPES = ("radar", "cloudevents")
_SECRETS = ("signing_secret", "signing_key", "routing_key")
_SEVERITY = {"min_severity": "Lowest severity that is sent", "muted_until": "Muted until"}
_URL = {"url": "Webhook address", **_SEVERITY}
_BY_KIND: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "slack": _URL,
        "teams": _URL,
        "webhook": {
            "url": "Address",
            "signing_secret": "Secret (whsec_…)",
            "signing_key": "Key (whsk_…)",
            "envelope": "Body",
            **_SEVERITY,
        },
        "email": {"to": "Addresses", **_SEVERITY},
        "pagerduty": {"routing_key": "Integration key", **_SEVERITY},
    }
)
_FIELDS = tuple(dict.fromkeys(name for fields in _BY_KIND.values() for name in fields))


def labels(kind: str, *, is_new: bool) -> Mapping[str, str]:
    """Return what the fields of a kind's form are called on the page, by their names."""
    return {"name": "Name", **_BY_KIND[kind]} if is_new else _BY_KIND[kind]


def on_page(mistake: FieldError, kind: str) -> FieldError:
    """Return a mistake as of the page's field: without the channel's name, and a list's place."""
    if mistake.field == "webhook":  # one whose keys would both be given up
        return FieldError("a webhook", "must keep its secret or its key, or get a new one")
    field = mistake.field.removeprefix(f"{kind}.").partition("[")[0]
    return FieldError(field, mistake.message)


def typed(form: Form | None, found: Destination | None, zone: ZoneInfo) -> dict[str, str]:
    """Return what the fields hold: what was typed, else what there is; never a secret."""
    texts = dict.fromkeys(("name", *_FIELDS), "")
    if form is not None:
        return {name: "" if name in _SECRETS else form.text(name) for name in texts}
    if found is None:
        return texts
    texts |= {
        "name": found.name,
        "min_severity": found.min_severity,
        "muted_until": time_text(found.muted_until, zone),
    }
    if found.webhook is not None:
        texts |= {"url": found.webhook.url, "envelope": found.webhook.envelope}
    if found.email is not None:
        texts["to"] = "\n".join(found.email.to)
    return texts


def asked(
    form: Form,
    kind: str,
    zone: ZoneInfo,
    *,
    before: Destination | None = None,
    secret: str | None = None,
) -> dict[str, Any]:
    """Return what a form says of a destination, as the API's document says it.

    `secret` signs a new webhook that comes without one. Raises InvalidBodyError.
    """
    target: dict[str, Any]
    if kind == "email":
        target = {"to": [line.strip() for line in form.text("to").splitlines() if line.strip()]}
    elif kind == "pagerduty":
        target = {"routing_key": form.text("routing_key") or None}
    elif kind == "webhook":
        target = {
            "url": form.text("url"),
            "envelope": form.text("envelope") or ENVELOPES[0],
            **_keys(form, secret),
        }
    else:
        target = {"url": form.text("url") or None}
    muted = time_of(form, "muted_until", zone, None if before is None else before.muted_until)
    return {
        kind: target,
        "min_severity": form.text("min_severity") or SEVERITIES[0],
        "muted_until": muted,
    }


def without_old_keys(before: Destination) -> dict[str, Any]:
    """Return a change that has a webhook no longer signed with the keys before the present ones."""
    assert before.webhook is not None
    return {
        "webhook": {
            "url": before.webhook.url,
            "envelope": before.webhook.envelope,
            "previous_signing_secret": "",
            "previous_signing_key": "",
        }
    }


def _keys(form: Form, secret: str | None) -> dict[str, str | None]:
    """Return a webhook's keys: None stays, empty is given up."""
    found: dict[str, str | None] = {
        "signing_secret": form.text("signing_secret") or secret,
        "signing_key": form.text("signing_key") or None,
    }
    for name in form.many("give_up"):
        if name in found and found[name] is None:
            found[name] = ""
    if form.has("end_old"):
        found |= {"previous_signing_secret": "", "previous_signing_key": ""}
    return found
