"""A message as a mail: plain text and HTML. Pure.

Owns both forms and the headers that let a mail program offer to end the subscription: they lead
to the destination's page, since an address is part of what an owner has set up.
"""

from __future__ import annotations

import html
from collections.abc import Sequence

from radar_audit_hub.notify.content import Content

from .request import MailRequest, Told
from .wording import clean, facts, headline, lines, link

_SUBJECT_CHARS = 180  # with the severity below what mail/messages.py takes


def render(content: Content, told: Told, to: Sequence[str]) -> MailRequest:
    """Return the mail to all addresses of the destination."""
    title = headline(content, 500)
    severity = "" if content.severity == "info" else f"[{content.severity}] "
    settings = f"{told.public_url.rstrip('/')}/orgs/{content.org_id}/notifications"
    return MailRequest(
        to=tuple(to),
        subject=severity + headline(content, _SUBJECT_CHARS),
        text=_text(content, told, title, settings),
        html=_html(content, told, title, settings),
        headers={"List-Unsubscribe": f"<{settings}>", "List-Id": f"<{told.destination_id}.audit>"},
    )


def _why(content: Content) -> str:
    rule = f" by the rule {clean(content.rule, 100)}" if content.rule else ""
    return f"You get this mail as a destination of the organization's alerts{rule}."


def _text(content: Content, told: Told, title: str, settings: str) -> str:
    pairs = facts(content)
    width = max(len(name) for name, _ in pairs) + 2
    parts = [title, "\n".join(f"{name + ':':<{width}}{value}" for name, value in pairs)]
    listed = lines(content)
    if listed:
        parts.append("\n".join(listed))
    parts.append(link(content, told.public_url))
    parts.append(f"{_why(content)} An owner of the organization can change or end it: {settings}")
    return "\n\n".join(parts) + "\n"


def _html(content: Content, told: Told, title: str, settings: str) -> str:
    rows = "".join(
        f"<tr><th align=left>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>"
        for name, value in facts(content)
    )
    listed = "".join(f"<li>{html.escape(line)}</li>" for line in lines(content))
    url = html.escape(link(content, told.public_url), quote=True)
    page = html.escape(settings, quote=True)
    return "\n".join(
        [
            "<!doctype html>",
            f"<p><strong>{html.escape(title)}</strong></p>",
            f"<table cellpadding=4>{rows}</table>",
            *([f"<ul>{listed}</ul>"] if listed else []),
            f'<p><a href="{url}">Open in Radar Audit</a></p>',
            f"<p><small>{html.escape(_why(content))}",
            f'An owner of the organization can <a href="{page}">change or end it</a>.</small></p>',
            "",
        ]
    )
