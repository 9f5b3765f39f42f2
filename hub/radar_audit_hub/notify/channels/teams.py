"""A message as a workflow of Microsoft Teams takes it: an Adaptive Card. Pure.

Owns the card. Whatever others wrote stands in text runs, in which Teams does not look for
Markdown, and without the braces that a template would fill.
"""

from __future__ import annotations

import json
import re
from typing import Any

from radar_audit_hub.notify.content import Content

from .request import HttpRequest, Told, host_of, secrets_of_url
from .wording import facts, headline, lines, link

_COLORS = {"info": "Accent", "warning": "Warning", "critical": "Attention"}
_OPENED = re.compile(r"([{$])(?=\{)")  # each of them, also in {{{


def render(content: Content, told: Told, url: str) -> HttpRequest:
    """Return the request; `url` is the workflow's, a secret."""
    return HttpRequest(
        url=url,
        shown_url=host_of(url),
        headers={"Content-Type": "application/json"},
        body=json.dumps(_message(content, told), ensure_ascii=False).encode(),
        secrets=secrets_of_url(url),
    )


def _message(content: Content, told: Told) -> dict[str, Any]:
    title = {"weight": "Bolder", "size": "Medium", "color": _COLORS[content.severity]}
    rows = [
        _text(_run(f"{name}: ", weight="Bolder"), _run(value)) for name, value in facts(content)
    ]
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [
            _text(_run(headline(content, 500), **title)),
            *rows,
            *(_text(_run(line)) for line in lines(content)),
        ],
        "actions": [
            {
                "type": "Action.OpenUrl",
                "title": "Open in Radar Audit",
                "url": link(content, told.public_url),
            }
        ],
        "fallbackText": _filled(headline(content, 500)),
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "content": card}
    return {"type": "message", "attachments": [attachment]}


def _text(*runs: dict[str, Any]) -> dict[str, Any]:
    return {"type": "RichTextBlock", "inlines": list(runs)}


def _run(text: str, **look: str) -> dict[str, Any]:
    return {"type": "TextRun", "text": _filled(text), **look}


def _filled(text: str) -> str:
    return _OPENED.sub(r"\1 ", text)
