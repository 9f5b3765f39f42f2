"""An OpenID provider that issues whatever a test wants: right in all but what the test makes wrong.

Owns `HostileProvider`. It checks what a real one checks of the hub (client secret, PKCE, redirect
URI, a code once), so that only its own answers are hostile. Served over plain HTTP on loopback.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import parse_qs, urlsplit

from aiohttp import web
from joserfc import jws
from joserfc.jwk import ECKey, OKPKey, RSAKey

CLIENT_ID, CLIENT_SECRET = "hub", "s3cret"
Claims = dict[str, Any]
Json = Mapping[str, Any]


@cache
def rsa_key(number: int) -> RSAKey:
    """One of a few keys, which take long to make."""
    return RSAKey.generate_key(2048, private=True)


@dataclass
class HostileProvider:
    """What it will say; a test changes a member before the hub asks."""

    issuer: str = ""
    now_seconds: int = 0
    key: RSAKey | ECKey | OKPKey = field(default_factory=lambda: rsa_key(0))
    algorithm: str = "RS256"
    header: dict[str, Any] = field(default_factory=lambda: {"kid": "k1"})
    published: list[Json] | None = None
    claims: Claims = field(default_factory=dict)
    sign: Callable[[Json, Claims], str] | None = None
    discovery: Claims = field(default_factory=dict)
    userinfo: Claims = field(default_factory=dict)
    broken: dict[str, Callable[[], web.Response]] = field(default_factory=dict)
    fetched: list[str] = field(default_factory=list)
    _codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def authorize(self, address: str) -> str:
        """Do what the pages would: return where the browser is sent back to, with a code."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        assert asked["response_type"] == "code"
        assert asked["client_id"] == CLIENT_ID
        code = f"code-{len(self._codes)}"
        self._codes[code] = asked
        return f"{asked['redirect_uri']}?code={code}&state={asked['state']}"

    def public(self, **changes: Any) -> dict[str, Any]:
        """The public half of its key, as it is published."""
        names = {} if "kid" not in self.header else {"kid": self.header["kid"]}
        return {**self.key.as_dict(private=False), "use": "sig", **names, **changes}

    @web.middleware
    async def _break(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if request.path in self.broken:
            return self.broken[request.path]()
        response: web.StreamResponse = await handler(request)
        return response

    async def _discover(self, _: web.Request) -> web.Response:
        self.fetched.append("discovery")
        document = {
            "issuer": self.issuer,
            "authorization_endpoint": self.issuer + "/authorize",
            "token_endpoint": self.issuer + "/token",
            "jwks_uri": self.issuer + "/keys",
            **self.discovery,
        }
        return web.json_response({k: v for k, v in document.items() if v is not None})

    async def _keys(self, _: web.Request) -> web.Response:
        self.fetched.append("keys")
        keys = [self.public()] if self.published is None else self.published
        return web.json_response({"keys": keys})

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        pair = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        assert request.headers["Authorization"] == f"Basic {pair}"
        asked = self._codes.pop(str(form["code"]), None)
        if asked is None:
            return web.json_response({"error": "invalid_grant"}, status=400)
        digest = hashlib.sha256(str(form["code_verifier"]).encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        assert hmac.compare_digest(challenge, asked["code_challenge"])
        assert form["redirect_uri"] == asked["redirect_uri"]
        assert form["grant_type"] == "authorization_code"
        claims = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "sub": "subject-1",
            "nonce": asked["nonce"],
            "iat": self.now_seconds,
            "exp": self.now_seconds + 300,
            "email": "bob@acme.com",
            "email_verified": True,
            **self.claims,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        header = {"alg": self.algorithm, **self.header}
        token = (self.sign or self._signed)(header, claims)
        return web.json_response(
            {"access_token": "access-1", "token_type": "Bearer", "id_token": token}
        )

    async def _userinfo(self, request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer access-1"
        return web.json_response(self.userinfo)

    def _signed(self, header: Json, claims: Claims) -> str:
        payload = json.dumps(claims).encode()
        return jws.serialize_compact(
            dict(header), payload, self.key, algorithms=[str(header["alg"])]
        )


@asynccontextmanager
async def hostile_provider() -> AsyncIterator[HostileProvider]:
    """Run one on a free port."""
    provider = HostileProvider()
    app = web.Application(middlewares=[provider._break])
    app.router.add_get("/.well-known/openid-configuration", provider._discover)
    app.router.add_get("/keys", provider._keys)
    app.router.add_post("/token", provider._token)
    app.router.add_get("/userinfo", provider._userinfo)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    provider.issuer = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield provider
    finally:
        await runner.cleanup()


def segment(value: Json) -> str:
    """One part of a token, as text."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
