"""Builds audit events as the API server writes them, with changes.

Owns the one template that the collector's tests share. Called by tests only.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

RADAR = "system:serviceaccount:radar:radar"
ARGV_SECRET = "hunter2-argv"  # stands in every command=, so it must appear nowhere else
START = datetime(2026, 11, 24, 3, 11, 7, 931542, tzinfo=UTC)


def stamp(seconds: float = 0.0) -> str:
    """Return a time `seconds` after START, as the API server writes it."""
    return (START + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def audit_event(
    audit_id: str = "9ab2aa80-03ee-4a19-adef-e01fdd0f4183",
    stage: str = "ResponseStarted",
    code: int | None = 101,
    *,
    received: float = 0.0,
    after: float = 0.004,
    verb: str = "get",
    namespace: str = "demo",
    pod: str = "web",
    subresource: str = "exec",
    query: str = "container=app&stdin=true&stdout=true&tty=true",
    principal: str = RADAR,
    person: str | None = "user_x",
    groups: tuple[str, ...] = ("cloud:owner", "cloud:org:org_x", "cloud:user:user_x"),
    user_agent: str = "radar/v0.6.11",
    **changes: Any,
) -> dict[str, Any]:
    """Return one stage of one request; times are seconds after START.

    `changes` set top-level keys; a null leaves the key out.
    """
    event: dict[str, Any] = {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "Metadata",
        "auditID": audit_id,
        "stage": stage,
        "requestURI": f"/api/v1/namespaces/{namespace}/pods/{pod}/{subresource}"
        f"?command={ARGV_SECRET}&{query}",
        "verb": verb,
        "user": {"username": principal, "groups": ["system:authenticated"]},
        "sourceIPs": ["127.0.0.1"],
        "userAgent": user_agent,
        "objectRef": {
            "resource": "pods",
            "namespace": namespace,
            "name": pod,
            "apiVersion": "v1",
            "subresource": subresource,
        },
        "requestReceivedTimestamp": stamp(received),
        "stageTimestamp": stamp(received + after),
        "annotations": {"authorization.k8s.io/decision": "allow"},
    }
    if person is not None:
        event["impersonatedUser"] = {
            "username": person,
            "groups": [*groups, "system:authenticated"],
        }
    if code is not None:
        event["responseStatus"] = {"metadata": {}, "code": code}
    event.update(changes)
    return {key: value for key, value in event.items() if value is not None}


def audit_line(*args: Any, **changes: Any) -> bytes:
    """Return the same as one line of the log, without newline, escaped as Go escapes it."""
    text = json.dumps(audit_event(*args, **changes), separators=(",", ":"))
    return text.replace("&", "\\u0026").encode()


def event_list(lines: list[bytes]) -> bytes:
    """Return the body of a webhook's POST that carries these lines."""
    items = b",".join(lines)
    return b'{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[%b]}' % items
