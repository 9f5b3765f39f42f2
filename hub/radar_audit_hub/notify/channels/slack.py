"""A message as an incoming webhook of Slack takes it. Pure.

Owns the blocks and Slack's limits. Whatever others wrote stands in `plain_text`, which Slack does
not interpret; the fallback text is escaped by Slack's rules, so that no name calls a channel.
"""

from __future__ import annotations

import json
from typing import Any

from radar_audit_hub.notify.content import Content

from .request import HttpRequest, Told, host_of, secrets_of_url
from .wording import facts, headline, lines, link

_HEADER_CHARS, _FIELDS, _SECTION_CHARS, _FALLBACK_CHARS = 150, 10, 3000, 3000
_MARKS = {"info": "🔵", "warning": "🟠", "critical": "🔴"}


def render(content: Content, told: Told, url: str) -> HttpRequest:
    """Return the request; `url` is the webhook's, a secret."""
    return HttpRequest(
        url=url,
        shown_url=host_of(url),
        headers={"Content-Type": "application/json"},
        body=json.dumps(_body(content, told), ensure_ascii=False).encode(),
        secrets=secrets_of_url(url),
    )


def _body(content: Content, told: Told) -> dict[str, Any]:
    title = f"{_MARKS[content.severity]} {headline(content, _HEADER_CHARS - 4)}"
    blocks: list[dict[str, Any]] = [{"type": "header", "text": _plain(_cut(title, _HEADER_CHARS))}]
    pairs = [_plain(f"{name}\n{value}") for name, value in facts(content)]
    blocks += [
        {"type": "section", "fields": pairs[first : first + _FIELDS]}
        for first in range(0, len(pairs), _FIELDS)
    ]
    listed = "\n".join(lines(content))
    if listed:
        blocks.append({"type": "section", "text": _plain(_cut(listed, _SECTION_CHARS))})
    button = {
        "type": "button",
        "text": _plain("Open in Radar Audit"),
        "url": link(content, told.public_url),
    }
    blocks.append({"type": "actions", "elements": [button]})
    return {
        "text": escaped(headline(content, _FALLBACK_CHARS // 5)),
        "mrkdwn": False,
        "unfurl_links": False,
        "unfurl_media": False,
        "blocks": blocks,
    }


def _plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text, "emoji": False}


def _cut(text: str, units: int) -> str:
    """Return what of a text fits in UTF-16 units, which is how Slack may count: never more.

    A message over a limit is refused whole, so that a name of pictures alone would hide an event.
    """
    return text.encode("utf-16-le")[: 2 * units].decode("utf-16-le", "ignore")


def escaped(text: str) -> str:
    """Return a text in which Slack sees no link, no mention and no channel."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
