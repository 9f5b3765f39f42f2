"""A sign-in on its way through somebody else's pages: begun here, ended here, once.

Owns the state that goes with the browser, and what binds it to that browser. Called by OpenID
and SSO sign-in. The state is stored as a hash and taken by its deletion; the browser's half is a
cookie, so that nobody can have another person end a sign-in that they began.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass

from aiohttp import web
from radar_audit_events.errors import FieldError

from radar_audit_hub.audit.parameters import Reader
from radar_audit_hub.auth.session_cookie import drop_login, login_secret, set_login, set_session
from radar_audit_hub.auth.sessions import origin_of
from radar_audit_hub.client_address import address_of
from radar_audit_hub.context import HUB
from radar_audit_hub.credentials import token_hash
from radar_audit_hub.errors import (
    ForbiddenError,
    InvalidParametersError,
    TooManyRequestsError,
)
from radar_audit_hub.store.logins import Login, insert_login, take_login

from .return_path import HOME, own_path
from .state import SIGNIN

LOGIN_SECONDS = 600
MAX_UNDER_WAY = 10_000
MAX_CODE_CHARS = 4096
_NOT_YOURS = "this sign-in was not begun in this browser, is over, or took too long; begin anew"

_THIS_MACHINE = re.compile(r"^(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?\Z", re.IGNORECASE)
_PLAIN = (
    "over plain http people sign in at 127.0.0.1 or localhost only; "
    "set RADAR_AUDIT_HUB_PUBLIC_URL to the hub's https address and open that"
)


@dataclass(frozen=True, slots=True)
class Begun:
    """A sign-in that has begun: what goes into the address of the other side, and the cookie."""

    state: str
    nonce: str
    challenge: str
    browser: str


def asked_return(reader: Reader) -> str:
    """Return the parameter `return_to`, a path of the hub's own."""
    return reader.parsed("return_to", own_path) or HOME


async def begin(
    request: web.Request, *, kind: str, issuer: str, return_to: str, org_id: str | None = None
) -> Begun:
    """Store a sign-in under way. Raises TooManyRequestsError."""
    hub = request.app[HUB]
    now_ms = hub.now_ms()
    state, nonce, verifier, browser = (_random(request) for _ in range(4))
    login = Login(
        state_hash=token_hash(state),
        browser_hash=token_hash(browser),
        kind=kind,
        issuer=issuer,
        nonce=nonce,
        verifier=verifier,
        return_to=return_to,
        org_id=org_id,
        expires_at_ms=now_ms + LOGIN_SECONDS * 1000,
    )
    async with hub.db.write() as connection:
        if not await insert_login(connection, login, now_ms=now_ms, limit=MAX_UNDER_WAY):
            raise TooManyRequestsError("too many sign-ins are under way", LOGIN_SECONDS // 10)
    challenge = hashlib.sha256(verifier.encode()).digest()
    return Begun(state, nonce, _base64(challenge), browser)


def count_start(request: web.Request) -> None:
    """Count a sign-in of this address. Raises TooManyRequestsError above the limit.

    Raises ForbiddenError where the session's cookie would cross the network readable.
    """
    plain = request.app[HUB].settings.public_url.lower().startswith("http:")
    if plain and not _THIS_MACHINE.match(request.host):
        raise ForbiddenError(_PLAIN)
    request.app[SIGNIN].starts.count(address_of(request), request.app[HUB].now_ms())


def leave(request: web.Request, url: str, begun: Begun) -> web.Response:
    """Send the browser to the other side's pages."""
    response = web.Response(status=302, headers={"Location": url})
    set_login(request, response, begun.browser, LOGIN_SECONDS)
    return response


async def come_back(request: web.Request, *, kind: str, issuer: str) -> tuple[Login, str]:
    """Take the sign-in that a browser comes back with, and return it with its code.

    Raises InvalidParametersError, ForbiddenError for one that is not this browser's or is over,
    and for one that the other side refused.
    """
    state, code, error = (_single(request, name) for name in ("state", "code", "error"))
    if state is None or (code is None) == (error is None):
        wrong = FieldError("state", "must be there, with one of code and error")
        raise InvalidParametersError([wrong])
    hub, browser = request.app[HUB], login_secret(request)
    async with hub.db.write() as connection:
        login = await take_login(connection, token_hash(state))
    if (
        login is None
        or browser is None
        or not hmac.compare_digest(login.browser_hash, token_hash(browser))
        or (login.kind, login.issuer) != (kind, issuer)
        or login.expires_at_ms <= hub.now_ms()
    ):
        hub.auth_failures.count(address_of(request), hub.now_ms())
        raise ForbiddenError(_NOT_YOURS)
    if code is None:
        raise ForbiddenError("the identity provider did not sign you in")
    return login, code


def arrive(request: web.Request, secret: str, return_to: str) -> web.Response:
    """Give the browser its session and send it to where it wanted to go."""
    home = origin_of(request.app[HUB].settings.public_url)
    response = web.Response(status=303, headers={"Location": home + return_to})
    set_session(request, response, secret)
    drop_login(request, response)
    return response


def _single(request: web.Request, name: str) -> str | None:
    values = request.query.getall(name, [])
    if not values:
        return None
    if len(values) > 1 or not 0 < len(values[0]) <= MAX_CODE_CHARS:
        message = f"must be given once, with at most {MAX_CODE_CHARS} characters"
        raise InvalidParametersError([FieldError(name, message)])
    return values[0]


def _random(request: web.Request) -> str:
    return _base64(request.app[HUB].random_bytes(32))


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
