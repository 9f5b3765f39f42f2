"""Signing in with an OpenID provider: authorization code flow with PKCE.

Owns the two routes that begin and end it. What is checked of the ID token is in `id_token.py`,
who that person is here in `identifying.py`. Never logs a code, a state or a token.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from aiohttp import web

from radar_audit_hub.audit.parameters import Reader
from radar_audit_hub.auth.identity_rules import Claimed, vouched_email
from radar_audit_hub.auth.sessions import origin_of
from radar_audit_hub.changes import changing
from radar_audit_hub.context import HUB
from radar_audit_hub.declarations import declare
from radar_audit_hub.errors import ForbiddenError, NotFoundError
from radar_audit_hub.members.joining import auto_join

from .id_token_error import IdTokenError
from .identifying import identify
from .opening import open_session
from .state import SIGNIN
from .underway import arrive, asked_return, begin, come_back, count_start, leave

if TYPE_CHECKING:
    from .provider import Provider

CALLBACK = "/api/auth/oidc/callback"
_logger = logging.getLogger(__name__)


async def start(request: web.Request) -> web.Response:
    """Send the browser to the provider."""
    provider = _provider(request)
    reader = Reader(list(request.query.items()), ("return_to",))
    return_to = asked_return(reader)
    reader.finish()
    count_start(request)
    endpoints = await provider.endpoints()
    begun = await begin(request, kind="oidc", issuer=provider.issuer, return_to=return_to)
    asked = {
        "response_type": "code",
        "client_id": provider.client_id,
        "redirect_uri": _redirect_uri(request),
        "scope": " ".join(request.app[HUB].settings.oidc.scopes),
        "state": begun.state,
        "nonce": begun.nonce,
        "code_challenge": begun.challenge,
        "code_challenge_method": "S256",
    }
    joint = "&" if "?" in endpoints.authorization else "?"
    return leave(request, endpoints.authorization + joint + urlencode(asked), begun)


async def callback(request: web.Request) -> web.Response:
    """End a sign-in: the browser comes back from the provider with a code."""
    provider, hub = _provider(request), request.app[HUB]
    login, code = await come_back(request, kind="oidc", issuer=provider.issuer)
    await _check_sender(request, provider)
    try:
        claims = await provider.claims(
            code,
            verifier=login.verifier,
            nonce=login.nonce,
            redirect_uri=_redirect_uri(request),
        )
    except IdTokenError as error:
        _logger.warning("an ID token was refused", extra={"reason": error.reason})
        raise ForbiddenError(str(error)) from None
    claimed = Claimed(
        issuer=provider.issuer,
        subject=claims["sub"],
        email=vouched_email(
            claims.get("email"),
            claims.get("email_verified"),
            trusted=hub.settings.oidc.trusts_email,
        ),
    )
    async with changing(request, None) as change:
        found = await identify(hub, change, claimed)
        request.app[SIGNIN].ends.count(found.person.user_id, hub.now_ms())
        if found.vouched:
            await auto_join(change, found.person.user_id, found.person.email)
    secret = await open_session(request, found.person, "oidc")
    return arrive(request, secret, login.return_to)


async def _check_sender(request: web.Request, provider: Provider) -> None:
    """Refuse the answer of another provider (RFC 9207). Raises ForbiddenError."""
    said = request.query.getall("iss", [])
    if any(one != provider.issuer for one in said) or (
        not said and (await provider.endpoints()).names_itself
    ):
        raise ForbiddenError("this answer is of another identity provider")


def _provider(request: web.Request) -> Provider:
    provider = request.app[SIGNIN].provider
    if provider is None:
        raise NotFoundError("signing in with OpenID is not set up on this server")
    return provider


def _redirect_uri(request: web.Request) -> str:
    return origin_of(request.app[HUB].settings.public_url) + CALLBACK


def routes() -> list[web.RouteDef]:
    """Return the routes of signing in with OpenID."""
    return [
        web.get("/api/auth/oidc/start", start, allow_head=False),
        declare(
            web.get(CALLBACK, callback, allow_head=False),
            events=("auth.signin", "org_member.auto_joined"),
        ),
    ]
