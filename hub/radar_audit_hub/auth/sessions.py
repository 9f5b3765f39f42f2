"""From the cookie to who is calling: one look-up by the secret's SHA-256, nothing cached.

Owns `authenticate_session`, which also refuses what another site's page had the browser send.
Called by `access.py`. A session that was ended is refused from the next request on, by every
replica. Never logs a secret or its hash.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from aiohttp import web

from radar_audit_hub.client_address import address_of
from radar_audit_hub.context import HUB, Hub
from radar_audit_hub.credentials import kind_of_token, token_hash
from radar_audit_hub.declarations import READ_METHODS
from radar_audit_hub.errors import ForbiddenError, MalformedRequestError, UnauthorizedError
from radar_audit_hub.store.sessions import (
    TOUCH_EVERY_MS,
    FoundSession,
    find_session,
    touch_session,
)

from .principal import Refused
from .session_cookie import session_secret
from .session_rules import is_own_page, is_own_token, judge_session

CSRF_HEADER = "X-CSRF-Token"
# The token of a form, which has no header: put here by what has read the form.
FORM_TOKEN = web.RequestKey("form token", str)
_BOTH = "send either a token or a session's cookie, not both"
_FOREIGN = "this was sent by a page of another site; open the hub's own page"
_NO_TOKEN = f"send the session's CSRF token in the header {CSRF_HEADER}; GET /api/session tells it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A session that is good; `secret` is what the browser sent."""

    found: FoundSession
    secret: str = field(repr=False)


async def authenticate_session(request: web.Request, org_id: str | None) -> Signed | None:
    """Return the session of a request with the person's place in `org_id`; None without a cookie.

    Raises UnauthorizedError, TooManyRequestsError after many, ForbiddenError for a change that
    the hub's own page did not send, MalformedRequestError for a token beside the cookie.
    """
    secret = session_secret(request)
    if secret is None:
        return None
    if "Authorization" in request.headers:
        raise MalformedRequestError(_BOTH)
    hub, digest = request.app[HUB], token_hash(secret)
    now_ms = hub.now_ms()
    found = None
    if kind_of_token(secret) == "rhs":
        async with hub.db.read() as connection:
            found = await find_session(connection, digest, org_id)
    if found is not None and not hmac.compare_digest(found.secret_hash, digest):
        found = None
    verdict = judge_session(found, now_ms, hub.settings.session.idle_ms)
    if verdict is not None or found is None:
        raise _refused(request, verdict)
    if request.method not in READ_METHODS:
        require_own_page(request)
        if not is_own_token(secret, request.headers.get(CSRF_HEADER, request.get(FORM_TOKEN))):
            raise ForbiddenError(_NO_TOKEN)
    if now_ms - found.last_seen_at_ms >= TOUCH_EVERY_MS:
        _touch(hub, found, now_ms)
    return Signed(found=found, secret=secret)


def require_own_page(request: web.Request) -> None:
    """Refuse what a browser says that a page of another site sent. Raises ForbiddenError."""
    headers = request.headers
    own = (origin_of(request.app[HUB].settings.public_url), f"{request.scheme}://{request.host}")
    if not is_own_page(headers.get("Origin"), headers.get("Sec-Fetch-Site"), own):
        raise ForbiddenError(_FOREIGN)


def origin_of(url: str) -> str:
    """Return a URL's scheme, host and port as a browser writes them."""
    parts = urlsplit(url.lower())
    usual = {"http": ":80", "https": ":443"}.get(parts.scheme, "")
    return f"{parts.scheme}://{parts.netloc.removesuffix(usual) if usual else parts.netloc}"


def _refused(request: web.Request, verdict: Refused | None) -> UnauthorizedError:
    """Count a session that was sent and is no good. Raises TooManyRequestsError above the limit."""
    hub = request.app[HUB]
    refused = verdict or Refused("unknown", "the session is not known here; sign in again")
    hub.metrics.auth_failures.labels(refused.reason).inc()
    hub.auth_failures.count(address_of(request), hub.now_ms())
    return UnauthorizedError(refused.message)


def _touch(hub: Hub, found: FoundSession, now_ms: int) -> None:
    async def write() -> None:
        async with hub.db.write() as connection:
            await touch_session(connection, found.secret_hash, now_ms)

    hub.last_used.run(found.id, write)
