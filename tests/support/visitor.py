"""A person with a browser who signs in: follows the way to a provider and back, keeps cookies.

Owns `Visitor`. The hub under test is known to browsers as PUBLIC_URL, so that cookies are those of
https; the visitor takes what goes there to the hub's real port. Never follows a redirect unasked.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp

from tests.support.hub_builder import Answer, HubUnderTest

PUBLIC_URL = "https://hub.example"
CALLBACK = PUBLIC_URL + "/api/auth/oidc/callback"
SESSION = "__Host-radar_audit_session"
LOGIN = "__Host-radar_audit_login"


@dataclass
class Visitor:
    """One browser; `cookies` are those of the hub."""

    hub: HubUnderTest
    cookies: dict[str, str] = field(default_factory=dict)
    tls: ssl.SSLContext | None = None

    async def send(self, method: str, url: str, **more: Any) -> Answer:
        """Send a request to the hub, as a path or below PUBLIC_URL, and keep its cookies."""
        headers = dict(more.pop("headers", {}))
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{k}={v}" for k, v in self.cookies.items())
        answer = await self.hub.send(
            method,
            url.removeprefix(PUBLIC_URL),
            token=None,
            headers=headers,
            allow_redirects=False,
            **more,
        )
        for line in answer.headers.getall("Set-Cookie", []):
            for name, morsel in SimpleCookie(line).items():
                if morsel["max-age"] == "0":
                    self.cookies.pop(name, None)
                else:
                    self.cookies[name] = morsel.value
        return answer

    async def begin(self, path: str = "/api/auth/oidc/start", **params: str) -> str:
        """Begin to sign in; return the address at the provider."""
        answer = await self.send("GET", path, params=params)
        assert answer.status == 302, answer.body
        return answer.headers["Location"]

    async def log_in(self, address: str, name: str, password: str) -> str:
        """Log in on the provider's pages; return the address at the hub they lead back to."""
        async with aiohttp.ClientSession(connector=self._connector()) as client:
            location = await _step(client, "GET", address)
            ids = parse_qs(urlsplit(location).query)["authRequestID"]
            form = {"username": name, "password": password, "id": ids[0]}
            location = await _step(client, "POST", location, data=form)
            return await _step(client, "GET", location)

    def _connector(self) -> aiohttp.TCPConnector:
        return aiohttp.TCPConnector(ssl=self.tls if self.tls is not None else True)

    async def me(self) -> Any:
        """Who the hub takes this browser for."""
        return (await self.send("GET", "/api/me")).json


async def _step(client: aiohttp.ClientSession, method: str, url: str, **more: Any) -> str:
    async with client.request(method, url, allow_redirects=False, **more) as answer:
        assert answer.status in (302, 303), await answer.text()
        location = answer.headers["Location"]
        return location if "://" in location else str(answer.url.origin()) + location
