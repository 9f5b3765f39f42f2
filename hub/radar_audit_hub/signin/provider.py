"""The OpenID provider as the hub sees it: discovery, keys, and the code for an ID token.

Owns what is fetched from the provider, and how long it is kept. Called by `oidc.py`; loaded by
`state.py` where the settings name an issuer. Every address comes from the discovery document of
that issuer, and must be https (http on this machine only). Never logs a code, a token or a secret.
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from radar_audit_hub.errors import ForbiddenError, UnavailableError
from radar_audit_hub.outbound import Outbound, OutboundAnswer, OutboundError, trusting
from radar_audit_hub.settings_signin import OidcSettings, is_safe_url

from .id_token import Expected, Json, read_id_token
from .id_token_error import IdTokenError

KEPT_MS = 3_600_000  # discovery and keys; keys also when one is asked for that is not there
REFETCH_MS = 60_000  # at least between two fetches of the keys
MAX_KEYS = 100
_LIMIT_BYTES = 256 * 1024
_TIMEOUT_SECONDS = 10.0
_EMAIL_CLAIMS = ("email", "email_verified")
_BEARER = re.compile(r"^[\x21-\x7e]{1,16384}\Z")
_AWAY = "the identity provider does not answer as it should; try again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """What the discovery document says; `names_itself` if answers must carry the issuer."""

    authorization: str
    token: str
    keys: str
    userinfo: str | None
    basic: bool
    names_itself: bool


@dataclass(frozen=True, slots=True)
class _Kept:
    value: Any
    at_ms: int


class Provider:
    """The provider of the settings; safe to be used by many requests at once."""

    def __init__(
        self, settings: OidcSettings, outbound: Outbound, now_ms: Callable[[], int]
    ) -> None:
        """Fetch nothing yet. Raises OSError for a ca_file that cannot be read."""
        self.issuer = settings.issuer or ""
        self.client_id = settings.client_id or ""
        self._settings, self._outbound, self._now_ms = settings, outbound, now_ms
        self._tls = trusting(settings.ca_file)
        self._endpoints: _Kept | None = None
        self._keys: _Kept | None = None
        self._lock = asyncio.Lock()

    async def endpoints(self) -> Endpoints:
        """Return the provider's addresses. Raises UnavailableError."""
        async with self._lock:
            kept = self._endpoints
            if kept is None or not 0 <= self._now_ms() - kept.at_ms < KEPT_MS:
                url = self.issuer.rstrip("/") + "/.well-known/openid-configuration"
                kept = _Kept(self._read(await self._get(url)), self._now_ms())
                self._endpoints = kept
        found: Endpoints = kept.value
        return found

    def _read(self, document: Json) -> Endpoints:
        if document.get("issuer") != self.issuer:
            raise UnavailableError("the identity provider calls itself by another name")
        methods = document.get("token_endpoint_auth_methods_supported")
        return Endpoints(
            authorization=_address(document, "authorization_endpoint"),
            token=_address(document, "token_endpoint"),
            keys=_address(document, "jwks_uri"),
            userinfo=(
                _address(document, "userinfo_endpoint") if "userinfo_endpoint" in document else None
            ),
            basic=not isinstance(methods, list) or "client_secret_basic" in methods,
            names_itself=document.get("authorization_response_iss_parameter_supported") is True,
        )

    async def claims(self, code: str, *, verifier: str, nonce: str, redirect_uri: str) -> Json:
        """Redeem a code and return the claims of its ID token, checked.

        Where the token says nothing of an e-mail, what the userinfo endpoint says of it is added.
        Raises IdTokenError, ForbiddenError for a code that is no good, UnavailableError.
        """
        answer = await self._redeem(code, verifier, redirect_uri)
        token, access = answer.get("id_token"), answer.get("access_token")
        if not isinstance(token, str):
            raise ForbiddenError("the identity provider sent no ID token")
        expected = Expected(
            issuer=self.issuer,
            client_id=self.client_id,
            nonce=nonce,
            algorithms=self._settings.algorithms,
            access_token=access if isinstance(access, str) and _BEARER.match(access) else None,
            now_seconds=self._now_ms() / 1000,
        )
        try:
            claims = read_id_token(token, await self._published(KEPT_MS), expected)
        except IdTokenError as error:
            if not error.key_unknown:
                raise
            # The issuer may have changed its keys since.
            claims = read_id_token(token, await self._published(REFETCH_MS), expected)
        if "email" in claims or expected.access_token is None:
            return claims
        return await self._with_email(claims, expected.access_token)

    async def _with_email(self, claims: Json, access_token: str) -> Json:
        url = (await self.endpoints()).userinfo
        if url is None:
            return claims
        headers = {"Authorization": f"Bearer {access_token}"}
        more = _document(await self._ask("GET", url, headers, None))
        if more.get("sub") != claims["sub"]:
            raise IdTokenError("userinfo", "the identity provider tells of somebody else")
        return {**claims, **{key: more[key] for key in _EMAIL_CLAIMS if key in more}}

    async def _published(self, kept_ms: int) -> list[Json]:
        """Return the issuer's keys, fetched less than `kept_ms` ago."""
        url = (await self.endpoints()).keys
        async with self._lock:
            kept = self._keys
            if kept is None or not 0 <= self._now_ms() - kept.at_ms < kept_ms:
                keys = (await self._get(url)).get("keys")
                if not isinstance(keys, list):
                    raise UnavailableError(_AWAY)
                usable = [key for key in keys[:MAX_KEYS] if isinstance(key, dict)]
                kept = self._keys = _Kept(usable, self._now_ms())
        found: list[Json] = kept.value
        return found

    async def _redeem(self, code: str, verifier: str, redirect_uri: str) -> Json:
        endpoints = await self.endpoints()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        secret = self._settings.client_secret
        if secret is not None and endpoints.basic:
            pair = f"{quote(self.client_id, safe='')}:{quote(secret, safe='')}"
            headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        else:
            form["client_id"] = self.client_id
            if secret is not None:
                form["client_secret"] = secret
        answer = await self._ask("POST", endpoints.token, headers, urlencode(form).encode())
        if 400 <= answer.status < 500:
            raise ForbiddenError("the identity provider does not take this sign-in; begin anew")
        return _document(answer)

    async def _get(self, url: str) -> Json:
        return _document(await self._ask("GET", url, {}, None))

    async def _ask(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> OutboundAnswer:
        try:
            return await self._outbound.send(
                method,
                url,
                headers={"Accept": "application/json", **headers},
                body=body,
                tls=self._tls if urlsplit(url).scheme == "https" else None,
                timeout_seconds=_TIMEOUT_SECONDS,
                limit_bytes=_LIMIT_BYTES,
            )
        except OutboundError:
            raise UnavailableError(_AWAY) from None


def _address(document: Json, name: str) -> str:
    url = document.get(name)
    if not isinstance(url, str) or not is_safe_url(url):
        raise UnavailableError("the identity provider names no safe addresses of its own")
    return url


def _document(answer: OutboundAnswer) -> Json:
    if answer.status != 200:
        raise UnavailableError(_AWAY)
    try:
        found = msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise UnavailableError(_AWAY)
    return found
