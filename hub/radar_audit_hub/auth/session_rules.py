"""Sessions of browsers: whether one is still good, and whether its page sent the request.

Owns the verdicts on a session's row, the CSRF token and the check of a request's origin. Pure.
Called by `sessions.py`. Never reads a clock, a request or the store.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection

from radar_audit_hub.store.sessions import FoundSession

from .principal import Refused

MAX_USER_AGENT_CHARS = 200
_CSRF_PURPOSE = b"radar-audit csrf token 1"
_UNKNOWN = Refused("unknown", "the session is not known here; sign in again")
_REVOKED = Refused("revoked", "the session has ended; sign in again")
_EXPIRED = Refused("expired", "the session has expired; sign in again")


def judge_session(found: FoundSession | None, now_ms: int, idle_ms: int) -> Refused | None:
    """Return why a session is no good at `now_ms` (Unix ms), None if it is good."""
    if found is None:
        return _UNKNOWN
    if found.revoked_at_ms is not None:
        return _REVOKED
    if found.expires_at_ms <= now_ms or found.last_seen_at_ms + idle_ms <= now_ms:
        return _EXPIRED
    return None


def csrf_token(secret: str) -> str:
    """Return the token that pages of this session send with what they change.

    Derived from the session's secret, which no page can read and no table holds: a token says
    nothing about the secret, and dies with the session.
    """
    return hmac.new(secret.encode(), _CSRF_PURPOSE, hashlib.sha256).hexdigest()


def is_own_token(secret: str, sent: str | None) -> bool:
    """Tell whether `sent` is the CSRF token of the session with this secret."""
    if sent is None:
        return False
    return hmac.compare_digest(csrf_token(secret).encode(), sent.encode("utf-8", "replace"))


def is_own_page(origin: str | None, fetch_site: str | None, own_origins: Collection[str]) -> bool:
    """Tell whether a browser says that one of the hub's own pages sent the request.

    `origin` and `fetch_site` are the headers Origin and Sec-Fetch-Site. A client that sends
    neither is no browser of the last years; the CSRF token alone decides there.
    """
    if fetch_site is not None and fetch_site not in ("same-origin", "none"):
        return False
    return origin is None or origin.lower() in own_origins


def plain_user_agent(text: str | None) -> str | None:
    """Return a browser's name for the log: printable characters only, cut to a bound."""
    if text is None:
        return None
    shown = "".join(char if char.isprintable() else " " for char in text)
    shown = shown.encode("utf-8", "replace").decode()
    return " ".join(shown.split())[:MAX_USER_AGENT_CHARS] or None
