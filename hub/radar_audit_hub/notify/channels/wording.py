"""What people are told, apart from a channel's form: headline, facts, lines, link. Pure.

Owns the words that Slack, Teams, e-mail and PagerDuty share, and the cleaning of what others
wrote: no text of an event can break a line, turn the direction of writing, or hide characters.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from radar_audit_hub.notify.content import Content

MAX_LINES = 10  # events that are listed for people; the page shows the rest
MAX_PATH_CHARS = 2000
_LABELS = {"info": "Info", "warning": "Warning", "critical": "Critical"}
# Controls, what turns or isolates the direction of writing, what has no width or is blank, tags.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u180e\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\ufe00-\ufe0f\ufeff\u2800\u3164\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff\ud800-\udfff]"
)


def clean(text: object, limit: int) -> str:
    """Return a text on one line of at most `limit` characters, without what could deceive."""
    found = _UNSAFE.sub(" ", str(text)[: limit * 2])
    return found if len(found) <= limit else found[: limit - 1] + "…"


def headline(content: Content, limit: int) -> str:
    """Return the message in one sentence."""
    marked = f"[Test] {content.title}" if content.kind == "test" else content.title
    return clean(marked, limit)


def facts(content: Content) -> list[tuple[str, str]]:
    """Return what is known about the message: pairs of a name and a value, clean."""
    found: list[tuple[str, object]] = [("Severity", _LABELS[content.severity])]
    if len(content.events) == 1:
        found += _facts_of_event(content.events[0])
    elif content.total > 1:
        found.append(("Events", content.total))
    if content.since is not None and content.until is not None:
        found.append(("From", content.since))
        found.append(("To", content.until))
    if content.suppressed:
        found.append(("Held back", content.suppressed))
    found += [
        (name.replace("_", " ").capitalize(), value)
        for name, value in content.facts.items()
        if value is not None
    ]
    found.append(("Organization", content.org_name))
    if content.rule:
        found.append(("Rule", content.rule))
    return [(clean(name, 60), clean(value, 200)) for name, value in found]


def _facts_of_event(event: dict[str, Any]) -> list[tuple[str, object]]:
    metadata = event.get("metadata") or {}
    pairs = [
        ("Action", event.get("action")),
        ("Actor", event.get("actor_email") or event.get("actor_user_id") or "system"),
        ("Cluster", metadata.get("cluster_name")),
        ("Namespace", metadata.get("namespace")),
        ("Pod", metadata.get("pod")),
        ("Container", metadata.get("container")),
        ("Token", metadata.get("via_pat")),
        ("Time", event.get("created_at")),
    ]
    return [(name, value) for name, value in pairs if value is not None]


def lines(content: Content) -> list[str]:
    """Return a line for each event, of those that are listed where there are several."""
    if len(content.events) < 2:
        return []
    found = [_line(event) for event in content.events[:MAX_LINES]]
    left = content.total - len(found)
    return [*found, f"… and {left} more"] if left > 0 else found


def _line(event: dict[str, Any]) -> str:
    actor = event.get("actor_email") or event.get("actor_user_id") or "system"
    time = str(event.get("created_at", ""))[:19].replace("T", " ")
    return clean(f"{time}  {actor}  {event.get('action')}  {event.get('target_id')}", 300)


def link(content: Content, public_url: str) -> str:
    """Return the page of the hub that shows more; nothing in it can end or leave the URL."""
    path = quote("/" + content.path.lstrip("/"), safe="/?&=:~,.*-_%", errors="replace")
    if len(path) > MAX_PATH_CHARS:  # the page without its filter
        path = path.partition("?")[0][:MAX_PATH_CHARS]
    return public_url.rstrip("/") + path
