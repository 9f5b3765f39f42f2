"""What went wrong with a request, in one sentence.

Owns the reading of problem documents (RFC 9457) and of Retry-After, and the
words for failed connections. Called by `transport`. Pure; trusts nothing in an
answer, which a stranger may have sent.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    IncompleteRead,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)

from .errors import RefusedError

_HINTS = {
    401: "make a new token, then: radar-audit context add NAME --url URL --token-stdin",
    429: "try again later",
    503: "try again later",
}
_MAX_SENTENCE_CHARS = 2000


def refusal(
    status: int, headers: Mapping[str, str], body: bytes, url: str, *, now_seconds: float
) -> RefusedError:
    """Return the error that an answer other than 200 means; `now_seconds` is Unix time."""
    wait_seconds = retry_after_seconds(headers.get("Retry-After"), now_seconds)
    document = _document(body)
    request_id = _text(document, "request_id") or headers.get("X-Request-Id")
    if not document:
        return RefusedError(
            _stranger_sentence(status, headers, url),
            status=status,
            hint=_HINTS.get(status),
            request_id=request_id,
            retry_after_seconds=wait_seconds,
        )
    return RefusedError(
        _sentence(document, status),
        status=status,
        code=_text(document, "code") or "",
        hint=_hint(document, status),
        request_id=request_id,
        retry_after_seconds=wait_seconds,
    )


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _text(document: Mapping[str, Any], key: str) -> str | None:
    value = document.get(key)
    return value[:_MAX_SENTENCE_CHARS] if isinstance(value, str) and value else None


def _sentence(document: Mapping[str, Any], status: int) -> str:
    said = _text(document, "detail") or _text(document, "title") or f"status {status}"
    fields = []
    errors = document.get("errors")
    for error in errors if isinstance(errors, list) else []:
        if isinstance(error, dict):
            field, message = _text(error, "field"), _text(error, "message")
            if message and message not in said:
                fields.append(f"{field}: {message}" if field else message)
    return "; ".join([said.rstrip("."), *fields])[:_MAX_SENTENCE_CHARS]


def _hint(document: Mapping[str, Any], status: int) -> str | None:
    if status == 403 and _text(document, "required_scope"):
        return "radar-audit whoami shows the scopes of your token"
    role = _text(document, "required_role")
    if status == 403 and role:
        return (
            f"the role that may do this is {_roles(document, role)}; radar-audit whoami shows yours"
        )
    return _HINTS.get(status)


def _roles(document: Mapping[str, Any], one: str) -> str:
    """Return all roles that may do it; an older hub names `one` only."""
    listed = document.get("required_roles")
    named = [role for role in listed if isinstance(role, str)] if isinstance(listed, list) else []
    return " or ".join(named)[:_MAX_SENTENCE_CHARS] or one


def _stranger_sentence(status: int, headers: Mapping[str, str], url: str) -> str:
    if 300 <= status < 400:
        place = headers.get("Location", "another address")
        return f"{url} redirects to {place[:200]}, and a token does not follow: name that address"
    return f"{url} answered with status {status} and no reason; is it the address of a hub?"


def retry_after_seconds(value: str | None, now_seconds: float) -> float | None:
    """Read a Retry-After header, as seconds or as a date. None if absent or unreadable."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value.strip()[:9])
    try:
        return max(parsedate_to_datetime(value).timestamp() - now_seconds, 0.0)
    except (ValueError, OverflowError):
        return None


def failure_sentence(error: Exception, url: str) -> str:
    """Return one sentence for a request to `url` that got no (whole) answer."""
    if isinstance(error, NameResolutionError):
        return f"the name in {url} is not known"
    if isinstance(error, NewConnectionError):
        return f"cannot connect to {url}: {_cause(error)}"
    if isinstance(error, ConnectTimeoutError):
        return f"{url} did not answer in time"
    if isinstance(error, SSLError):
        return _tls_sentence(error, url)
    if isinstance(error, ReadTimeoutError):
        return f"{url} stopped sending"
    if isinstance(error, IncompleteRead) or _is_early_end(error):
        return f"{url} closed the connection before the end"
    return f"the connection to {url} failed: {_cause(error)}"


def _is_early_end(error: Exception) -> bool:
    text = str(error)
    return isinstance(error, ProtocolError) and ("prematurely" in text or "Incomplete" in text)


def _cause(error: Exception) -> str:
    """Return the operating system's word for the failure, without objects' addresses."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and not isinstance(cause, HTTPError) and cause.strerror:
            return cause.strerror.lower()
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__


def is_untrusted(error: BaseException | None) -> bool:
    """Tell whether the other side speaks TLS, but its certificate is none that we trust."""
    cause = error.args[0] if isinstance(error, SSLError) and error.args else error
    return isinstance(cause, ssl.SSLCertVerificationError)


def _tls_sentence(error: SSLError, url: str) -> str:
    cause: object = error.args[0] if error.args else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"{url} is not trusted: {cause.verify_message}"
    if isinstance(cause, ssl.SSLError) and cause.reason in _NO_TLS:
        return f"{url} does not speak TLS: is it an http:// address?"
    reason = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause)
    return f"no TLS connection to {url}: {reason}"


# What OpenSSL says of an answer in plain text, by version.
_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL"})
