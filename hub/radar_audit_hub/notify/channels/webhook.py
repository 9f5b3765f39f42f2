"""A message as a signed webhook: our JSON, or the same in a CloudEvents 1.0 envelope. Pure.

Owns the body and its limit. What does not fit is left out, the newest events last, and
`truncated` says so: the log has it all. The signing is in `notify/signing.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec
from radar_audit_events.ids import format_ms

from radar_audit_hub.notify.content import Content
from radar_audit_hub.notify.signing import signatures
from radar_audit_hub.policy.secret_parts import Secret

from .request import HttpRequest, Told
from .wording import link

MAX_BODY_BYTES = 20_000  # what Standard Webhooks advises
TYPE_PREFIX = "com.radarhq.audit."  # of a CloudEvents type
_TEXT_CHARS = 500
_encode = msgspec.json.encode
Body = dict[str, Any]


def render(
    content: Content,
    told: Told,
    url: str,
    secret: Secret,
    *,
    envelope: Literal["radar", "cloudevents"],
) -> HttpRequest:
    """Return the signed request. Raises SigningKeyError for a secret that cannot sign."""
    body = _fitting(content, told, _cloudevent if envelope == "cloudevents" else _radar)
    kind = "application/cloudevents+json" if envelope == "cloudevents" else "application/json"
    timestamp_seconds = told.now_ms // 1000
    hmac_secrets = [s for s in (secret.signing_secret, secret.previous_signing_secret) if s]
    keys = [k for k in (secret.signing_key, secret.previous_signing_key) if k]
    return HttpRequest(
        url=url,
        shown_url=url,
        headers={
            "Content-Type": f"{kind}; charset=utf-8",
            "User-Agent": "radar-audit",
            "webhook-id": told.message_id,
            "webhook-timestamp": str(timestamp_seconds),
            "webhook-signature": signatures(
                told.message_id, timestamp_seconds, body, secrets=hmac_secrets, keys=keys
            ),
        },
        body=body,
        secrets=(*hmac_secrets, *keys),
    )


def type_of(content: Content) -> str:
    """Return what happened: an action, one of Radar's own kinds, or `alert.…` for several."""
    if content.kind == "notice":
        return content.notice_kind or "notice"
    if content.kind == "event" and len(content.events) == 1:
        return str(content.events[0].get("action"))
    return f"alert.{'group' if content.kind == 'event' else content.kind}"


def _fitting(content: Content, told: Told, wrap: Callable[[Content, Told, Body], Body]) -> bytes:
    """Return the body with as many events as fit into MAX_BODY_BYTES."""
    events = list(content.events)
    while True:
        data = _data(content, told, events, truncated=len(events) < len(content.events))
        body = _encode(wrap(content, told, data))
        if len(body) <= MAX_BODY_BYTES:
            return body
        if not events:  # what is left are texts that somebody made absurdly long
            return _encode(wrap(content, told, _short(data)))
        events = events[: len(events) // 2] if len(events) > 1 else _without_metadata(events)


def _without_metadata(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the last event that is left without its metadata, then none."""
    if events and "metadata" in events[0]:
        return [{name: value for name, value in events[0].items() if name != "metadata"}]
    return []


def _data(content: Content, told: Told, events: list[dict[str, Any]], *, truncated: bool) -> Body:
    cut = truncated or any("metadata" not in event for event in events)
    return {
        "org_id": content.org_id,
        "org_name": content.org_name,
        "rule": content.rule,
        "severity": content.severity,
        "title": content.title,
        "url": link(content, told.public_url),
        "total": content.total,
        "suppressed": content.suppressed,
        "since": content.since,
        "until": content.until,
        "facts": content.facts,
        "events": events,
        "truncated": cut or content.total > len(events) > 0,
    }


def _short(data: Body) -> Body:
    told = {
        name: value[:_TEXT_CHARS] if isinstance(value, str) else value
        for name, value in data.items()
    }
    return {**told, "facts": {}, "truncated": True}


def _radar(content: Content, told: Told, data: Body) -> Body:
    return {
        "type": "test" if content.kind == "test" else type_of(content),
        "timestamp": format_ms(told.created_at_ms),
        "data": data,
    }


def _cloudevent(content: Content, told: Told, data: Body) -> Body:
    found: Body = {
        "specversion": "1.0",
        "id": told.message_id,
        "source": f"/orgs/{content.org_id}",
        "type": TYPE_PREFIX + ("test" if content.kind == "test" else type_of(content)),
        "time": format_ms(told.created_at_ms),
        "datacontenttype": "application/json",
    }
    if content.kind == "event" and len(content.events) == 1:
        event = content.events[0]
        found |= {"subject": event.get("target_id"), "time": event.get("created_at")}
        found |= _auth_context(event)
    return {**found, "data": data}


def _auth_context(event: Mapping[str, Any]) -> Body:
    """Return who did it by CloudEvents' auth-context extension."""
    actor = event.get("actor_user_id")
    if not actor:
        return {"authtype": "system"}
    if (event.get("metadata") or {}).get("via_pat"):
        kind = "api_key"
    elif str(actor).startswith("system:serviceaccount:"):
        kind = "service_account"
    else:
        kind = "app_user"
    return {"authtype": kind, "authid": actor}
