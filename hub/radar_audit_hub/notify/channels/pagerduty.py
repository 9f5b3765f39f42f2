"""A message as PagerDuty's Events API v2 takes it. Pure.

Owns the event: a message triggers an incident under its own id, so that a repeat opens no second
one; a cluster that is back resolves the incident of its going.
"""

from __future__ import annotations

import json
from typing import Any

from radar_audit_hub.notify.content import Content

from .request import HttpRequest, Told
from .wording import clean, facts, headline, lines, link

_SUMMARY_CHARS = 1000
_RESOLVES = {"cluster.reconnected": "cluster.disconnected"}
_SHARED = frozenset({*_RESOLVES, *_RESOLVES.values()})


def render(content: Content, told: Told, routing_key: str, api_url: str) -> HttpRequest:
    """Return the request to `api_url`; `routing_key` is a secret, which the body has to hold."""
    return HttpRequest(
        url=api_url,
        shown_url=api_url,
        headers={"Content-Type": "application/json"},
        body=json.dumps(_event(content, told, routing_key), ensure_ascii=False).encode(),
        secrets=(routing_key,),
    )


def _event(content: Content, told: Told, routing_key: str) -> dict[str, Any]:
    url = link(content, told.public_url)
    event: dict[str, Any] = {
        "routing_key": routing_key,
        "event_action": "resolve" if content.notice_kind in _RESOLVES else "trigger",
        "dedup_key": _dedup_key(content, told),
        "client": "Radar Audit",
        "client_url": url,
        "links": [{"href": url, "text": "Open in Radar Audit"}],
        "payload": {
            "summary": headline(content, _SUMMARY_CHARS),
            "source": clean(_source(content), 200),
            "severity": content.severity,
            "component": "radar-audit",
            "group": clean(content.org_name, 200),
            "class": clean(_class(content), 200),
            "custom_details": {
                **dict(facts(content)),
                **({"Listed": lines(content)} if lines(content) else {}),
            },
        },
    }
    return event


def _dedup_key(content: Content, told: Told) -> str:
    kind = content.notice_kind
    if kind in _SHARED and "cluster_id" in content.facts:
        started = _RESOLVES.get(kind or "", kind)
        return f"{content.org_id}:{started}:{content.facts['cluster_id']}"[:255]
    return told.message_id


def _source(content: Content) -> str:
    if content.events:
        found = (content.events[0].get("metadata") or {}).get("cluster_name")
        return str(found or content.events[0].get("target_id") or content.org_name)
    return str(content.facts.get("cluster_name") or content.org_name)


def _class(content: Content) -> str:
    if content.notice_kind is not None:
        return content.notice_kind
    return str(content.events[0].get("action")) if content.events else content.kind
