"""Whether a request is an exec (or attach), and the facts about it that may be kept.

Owns what leaves a head: names, the allow-listed streams, who asks. Called by
`rules`. Pure, standard library only. Never hands on a token, a query string, argv
or any other field, neither in a value nor in an exception: of the token only its
subject is read, unverified; the API server's 101 is what proves it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote_to_bytes

from radar_audit_collector.capture.streams import is_label, is_subdomain, read_streams

from .heads import RequestHead

Verb = Literal["get", "create"]
MAX_USER_CHARS = 256  # as for audit records

_VERBS: dict[bytes, Verb] = {b"GET": "get", b"POST": "create"}  # WebSocket, SPDY
_SUBRESOURCES = (b"exec", b"attach")
_CONTROLS = re.compile(rb"[\x00-\x1f\x7f]")
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_SCHEME = re.compile(rb"[A-Za-z][A-Za-z0-9+.\-]*:")
_WEBSOCKET_TOKEN = b"base64url.bearer.authorization.k8s.io."


@dataclass(frozen=True, slots=True)
class Target:
    """A request target: its path, decoded once, and its raw query."""

    path: bytes
    query: bytes

    def __repr__(self) -> str:
        return "<target>"


@dataclass(frozen=True, slots=True)
class ExecRequest:
    """What is known of an exec from its head; who asks is proven only by a 101.

    `audit_id` is empty where the client chose none. `user` is the subject of the
    token. `user_agent_hash` is 8 bytes in hex.
    """

    audit_id: str
    verb: Verb
    namespace: str
    pod: str
    subresource: str
    user: str
    impersonated_user: str | None
    impersonated_groups: tuple[str, ...]
    container: str | None
    stdin: bool
    tty: bool
    user_agent_hash: str


def read_target(method: bytes, target: bytes) -> Target | None:
    """Read a request target as Go's server does; null if it would refuse it.

    The origin form, the absolute form (whose authority counts for nothing), the
    asterisk and CONNECT's authority are all taken.
    """
    if not target or _CONTROLS.search(target) is not None:
        return None
    if target == b"*":
        return Target(b"*", b"")
    if method == b"CONNECT" and not target.startswith(b"/"):
        target = b"http://" + target
    scheme = _SCHEME.match(target)
    if scheme is None and target.startswith(b":"):
        return None
    rest = target[scheme.end() :] if scheme is not None else target
    path, _, query = rest.partition(b"?")
    if not path.startswith(b"/"):
        return Target(b"", query) if scheme is not None else None
    if scheme is not None and path.startswith(b"//"):
        _, slash, path = path[2:].partition(b"/")
        path = slash + path
    if _BAD_ESCAPE.search(path) is not None:
        return None
    return Target(unquote_to_bytes(path), query)


def exec_names(path: bytes) -> tuple[bytes, bytes, bytes] | None:
    """Return namespace, pod and subresource of a decoded exec path; null for any other path."""
    parts = path.strip(b"/").split(b"/")
    if len(parts) != 7 or parts[:3] != [b"api", b"v1", b"namespaces"] or parts[4] != b"pods":
        return None
    if parts[6] not in _SUBRESOURCES:
        return None
    return parts[3], parts[5], parts[6]


def read_exec(head: RequestHead, target: Target) -> ExecRequest | None:
    """Return the facts of an exec or attach; null if its names can be no pod's, or its verb none.

    Such a request the API server answers with an error, whoever asks.
    """
    names = exec_names(target.path)
    verb = _VERBS.get(head.line.method)
    if names is None or verb is None:
        return None
    namespace, pod, subresource = (_text(name) for name in names)
    user = _text(head.first(b"impersonate-user")) or None
    if not is_label(namespace) or not is_subdomain(pod):
        return None
    if user is not None and len(user) > MAX_USER_CHARS:
        return None
    streams = read_streams(_text(target.query))
    return ExecRequest(
        audit_id=_text(head.first(b"audit-id")),
        verb=verb,
        namespace=namespace,
        pod=pod,
        subresource=subresource,
        user=_subject(_token(head)),
        impersonated_user=user,
        impersonated_groups=tuple(_text(g) for g in head.values(b"impersonate-group")),
        container=streams.container,
        stdin=streams.stdin,
        tty=streams.tty,
        user_agent_hash=hashlib.blake2b(head.first(b"user-agent"), digest_size=8).hexdigest(),
    )


def new_audit_id(random_bytes: bytes) -> str:
    """Return a UUID (version 4, RFC 9562) made of 16 random bytes."""
    number = int.from_bytes(random_bytes, "big")
    number = number & ~(0xF << 76) | 4 << 76  # version
    number = number & ~(0x3 << 62) | 2 << 62  # variant
    text = f"{number:032x}"
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def _token(head: RequestHead) -> bytes:
    """Return the bearer token that the API server would look at, empty if there is none."""
    parts = head.first(b"authorization").strip().split(b" ", 2)
    if len(parts) >= 2 and parts[0].lower() == b"bearer" and parts[1]:
        return parts[1]
    for value in head.values(b"sec-websocket-protocol"):
        for protocol in value.split(b","):
            if protocol.strip().startswith(_WEBSOCKET_TOKEN):
                return _decoded(protocol.strip()[len(_WEBSOCKET_TOKEN) :])
    return b""


def _subject(token: bytes) -> str:
    """Return the subject of a JWT without verifying it, empty where it has none."""
    parts = token.split(b".")
    if len(parts) != 3:
        return ""
    try:
        claims = json.loads(_decoded(parts[1]))
    except (ValueError, RecursionError):
        return ""
    subject = claims.get("sub") if isinstance(claims, dict) else None
    return subject if isinstance(subject, str) else ""


def _decoded(text: bytes) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return b""


def _text(raw: bytes) -> str:
    # As the API server's JSON would show it: what is no UTF-8 becomes U+FFFD.
    return raw.decode("utf-8", "replace")
