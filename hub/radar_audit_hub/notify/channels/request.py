"""What a channel makes of a message, and what of it may be shown in the delivery log. Pure.

Owns the types between the renderers of this folder and `sending/`, and the cleaning of secrets
from what is kept. Never sends anything.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

MAX_SHOWN_CHARS = 20_000
HIDDEN = "***"
_MIN_SECRET_CHARS = 6  # what is shorter is no secret, and would blank out half of a text


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a renderer knows besides the content: ids, times (Unix ms), and where the hub is."""

    message_id: str
    destination_id: str
    created_at_ms: int
    now_ms: int
    public_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """A POST; `shown_url` is as much of the URL as is no secret, `secrets` are cleaned away."""

    url: str = field(repr=False)
    shown_url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class MailRequest:
    """A mail to several addresses; `headers` are beside the usual ones."""

    to: tuple[str, ...]
    subject: str
    text: str
    html: str
    headers: Mapping[str, str]
    secrets: tuple[str, ...] = ()


Request = HttpRequest | MailRequest
_SIGNATURES = frozenset({"webhook-signature", "authorization"})


def shown(request: Request) -> str:
    """Return a request for the delivery log, as JSON: no secret, no signature."""
    told: dict[str, object]
    if isinstance(request, HttpRequest):
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.lower() not in _SIGNATURES
        }
        body = request.body.decode("utf-8", "replace")
        told = {
            "method": "POST",
            "url": request.shown_url,
            "headers": headers,
            "body": body[:MAX_SHOWN_CHARS],
        }
    else:
        told = {
            "to": list(request.to),
            "subject": request.subject,
            "headers": dict(request.headers),
            "body": request.text[:MAX_SHOWN_CHARS],
        }
    return without(json.dumps(told, ensure_ascii=False), request.secrets)


def without(text: str, secrets: Iterable[str]) -> str:
    """Return a text in which no secret stands, neither plain nor as JSON writes it."""
    for secret in secrets:
        if len(secret) >= _MIN_SECRET_CHARS:
            for form in (secret, json.dumps(secret)[1:-1]):
                text = text.replace(form, HIDDEN)
    return text


def secrets_of_url(url: str) -> tuple[str, ...]:
    """Return what is secret of a URL that is one: all of it, its path, and the path's last part."""
    parts = urlsplit(url)
    path = parts.path.strip("/")
    return tuple(text for text in (url, path, path.rpartition("/")[2], parts.query) if text)


def host_of(url: str) -> str:
    """Return a URL without what is secret in it: `https://hooks.slack.com/***`."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}/{HIDDEN}"
