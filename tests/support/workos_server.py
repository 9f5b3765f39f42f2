"""A stand-in for WorkOS on a loopback port: it checks what the real one checks.

Owns the HTTP edge, shaped by WorkOS's public documentation: API key, client id and secret, a code
once, needed parameters, organizations by external id, idempotency keys, portal intents. Tests
steer it by its members, such as `faults`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from aiohttp import web
from radar_audit_hub.settings_signin import WorkosSettings

API_KEY = "sk_test_workos_stand_in"
CLIENT_ID = "client_01STANDIN"
INTENTS = (
    "sso",
    "dsync",
    "audit_logs",
    "log_streams",
    "domain_verification",
    "certificate_renewal",
)
Json = dict[str, Any]


@dataclass
class WorkosServer:
    """What WorkOS knows; `faults` are how the next calls are answered (None: as they should be)."""

    url: str = ""
    organizations: dict[str, Json] = field(default_factory=dict)
    faults: list[int | None] = field(default_factory=list)
    held: tuple[asyncio.Event, asyncio.Event] | None = None  # the next link: set, waited for
    _keys: dict[str, Json] = field(default_factory=dict)
    _codes: dict[str, Json] = field(default_factory=dict)

    def settings(self) -> WorkosSettings:
        """What the hub needs to ask it."""
        return WorkosSettings(api_key=API_KEY, client_id=CLIENT_ID, url=self.url)

    def add_organization(self, external_id: str, *domains: str) -> str:
        """Add an organization that has proved to own `domains`; return its id."""
        number = f"org_{len(self.organizations):03d}"
        proved = [{"domain": domain, "state": "verified"} for domain in domains]
        self.organizations[number] = {
            "id": number, "object": "organization", "name": external_id,
            "external_id": external_id, "domains": proved,
        }  # fmt: skip
        return number

    def authorize(self, address: str, **profile: Any) -> str:
        """Do what WorkOS and the identity provider do; return where the browser is sent back."""
        parts = urlsplit(address)
        assert parts.path == "/sso/authorize"
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        assert asked["response_type"] == "code"
        assert asked["client_id"] == CLIENT_ID
        assert asked["redirect_uri"].startswith("https://")
        assert asked["organization"] in self.organizations
        code = f"code{len(self._codes)}"
        self._codes[code] = {
            "object": "profile", "id": "prof_1", "connection_id": "conn_1",
            "connection_type": "OktaSAML", "organization_id": asked["organization"],
            "idp_id": "00u1", "email": "bob@acme.com", **profile,
        }  # fmt: skip
        return f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"

    async def _token(self, request: web.Request) -> web.Response:
        body = json.loads(await request.text())
        good = {
            "client_id": CLIENT_ID,
            "client_secret": API_KEY,
            "grant_type": "authorization_code",
        }
        if {name: body.get(name) for name in good} != good:
            return _error(400, "invalid_client")
        profile = self._codes.pop(body.get("code", ""), None)
        if profile is None:
            return _error(400, "invalid_grant")
        return web.json_response({"access_token": "t", "profile": profile})

    async def _get(self, request: web.Request) -> web.Response:
        found = self.organizations.get(request.match_info["id"])
        return _error(404, "entity_not_found") if found is None else web.json_response(found)

    async def _by_external_id(self, request: web.Request) -> web.Response:
        wanted = request.match_info["id"]
        found = [one for one in self.organizations.values() if one["external_id"] == wanted]
        return web.json_response(found[0]) if found else _error(404, "entity_not_found")

    async def _create(self, request: web.Request) -> web.Response:
        body = json.loads(await request.text())
        key = request.headers.get("Idempotency-Key")
        if key in self._keys:
            return web.json_response(self._keys[key], status=201)
        if not body.get("name"):
            return _error(422, "name_required")
        if any(one["external_id"] == body["external_id"] for one in self.organizations.values()):
            return _error(409, "external_id_already_used")
        made = self.organizations[self.add_organization(body["external_id"])]
        made["name"] = body["name"]
        if key is not None:
            self._keys[key] = made
        return web.json_response(made, status=201)

    async def _generate_link(self, request: web.Request) -> web.Response:
        held, self.held = self.held, None
        if held is not None:
            held[0].set()
            await held[1].wait()
        body = json.loads(await request.text())
        if body.get("organization") not in self.organizations:
            return _error(404, "entity_not_found")
        if body.get("intent", "sso") not in INTENTS:
            return _error(422, "intent_invalid")
        if not body.get("return_url", "https://").startswith("https://"):
            return _error(422, "return_url_invalid")
        return web.json_response(
            {"link": "https://setup.workos.example?token=canary-link"}, status=201
        )

    @web.middleware
    async def _check(self, request: web.Request, handler: Any) -> web.StreamResponse:
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None:
            return _error(fault, "fault")
        if request.path != "/sso/token" and request.headers.get("Authorization") != (
            f"Bearer {API_KEY}"
        ):
            return _error(401, "unauthorized")
        if request.method == "POST" and request.content_type != "application/json":
            return _error(415, "unsupported_media_type")
        response: web.StreamResponse = await handler(request)
        return response


def _error(status: int, code: str) -> web.Response:
    return web.json_response({"code": code, "message": code}, status=status)


@asynccontextmanager
async def workos_server() -> AsyncIterator[WorkosServer]:
    """Run one on a free port."""
    server = WorkosServer()
    app = web.Application(middlewares=[server._check])
    app.router.add_post("/sso/token", server._token)
    app.router.add_get("/organizations/external_id/{id}", server._by_external_id)
    app.router.add_get("/organizations/{id}", server._get)
    app.router.add_post("/organizations", server._create)
    app.router.add_post("/portal/generate_link", server._generate_link)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()
