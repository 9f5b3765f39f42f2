"""An API server as far as TokenReviews go, over HTTPS, in the public API's shapes.

Owns `TokenReviewServer` and `account_token`. Called by tests of logging in by ServiceAccount.
Tokens are JWTs without a real signature: the server knows by heart which ones it made.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trustme
from aiohttp import web

OWN_TOKEN = "the-hubs-own-token"
AUDIENCE = "radar-audit-hub"
REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"


def account_token(account: str, audiences: Sequence[str] = (AUDIENCE,)) -> str:
    """Return a token that says to be of `account` (namespace/name)."""
    namespace, _, name = account.partition("/")
    claims = {
        "iss": "https://kubernetes.default.svc.cluster.local",
        "sub": f"system:serviceaccount:{namespace}:{name}",
        "aud": list(audiences),
        "exp": 4_000_000_000,
        "kubernetes.io": {"namespace": namespace, "pod": {"name": f"{name}-0"}},
    }
    parts = ({"alg": "RS256", "kid": "k"}, claims)
    texts = [base64.urlsafe_b64encode(json.dumps(part).encode()) for part in parts]
    texts.append(base64.urlsafe_b64encode(os.urandom(32)))
    return ".".join(text.rstrip(b"=").decode() for text in texts)


@dataclass
class TokenReviewServer:
    """What the server knows and was asked; `status` other than 201 is answered to everybody."""

    folder: Path
    url: str = ""
    good: dict[str, tuple[str, list[str]]] = field(default_factory=dict)
    knows_audiences: bool = True
    status: int = 201
    raw: bytes | None = None
    asked: list[dict[str, Any]] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def ca_file(self) -> Path:
        """Certificates that vouch for the server."""
        return self.folder / "ca.crt"

    @property
    def token_file(self) -> Path:
        """The hub's own token."""
        return self.folder / "token"

    def add(self, account: str, audiences: Sequence[str] = (AUDIENCE,)) -> str:
        """Return a token that the server vouches for."""
        token = account_token(account, audiences)
        user = "system:serviceaccount:" + account.replace("/", ":")
        self.good[token] = (user, list(audiences))
        return token

    async def review(self, request: web.Request) -> web.Response:
        """Answer one TokenReview."""
        await self.gate.wait()
        if request.headers.get("Authorization") != f"Bearer {OWN_TOKEN}":
            return web.json_response({"kind": "Status", "code": 401}, status=401)
        asked = await request.json()
        self.asked.append(asked)
        if self.raw is not None:
            return web.Response(body=self.raw, status=self.status)
        if self.status != 201:
            return web.json_response({"kind": "Status", "code": self.status}, status=self.status)
        found = self.good.get(asked["spec"]["token"])
        status: dict[str, Any] = {"user": {}, "error": "[invalid bearer token]"}
        wanted = asked["spec"]["audiences"]
        if found is not None and (not self.knows_audiences or set(found[1]) & set(wanted)):
            groups = ["system:serviceaccounts", "system:authenticated"]
            status = {"authenticated": True, "user": {"username": found[0], "groups": groups}}
            if self.knows_audiences:
                status["audiences"] = [name for name in found[1] if name in wanted]
        return web.json_response({**asked, "status": status}, status=201)


@asynccontextmanager
async def token_review_server(folder: Path) -> AsyncIterator[TokenReviewServer]:
    """Serve over HTTPS on loopback; `folder` gets the CA and the hub's own token."""
    server = TokenReviewServer(folder)
    server.gate.set()
    authority = trustme.CA()
    authority.cert_pem.write_to_path(server.ca_file)
    server.token_file.write_text(OWN_TOKEN + "\n")
    app = web.Application()
    app.router.add_post(REVIEWS, server.review)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=_serving(authority))
    await site.start()
    server.url = f"https://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        server.gate.set()
        await runner.cleanup()


def _serving(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context
