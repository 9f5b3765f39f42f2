"""Somebody with a browser who opens pages and sends forms, without a browser.

Owns `Reader`: it keeps cookies, follows no redirect unasked, and reads a page's forms as they are.
Called by the tests of the pages over HTTP; those with a real browser are in tests/pages.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.cookies import SimpleCookie
from typing import Any

from tests.support.browsers import COOKIE, signed_in
from tests.support.hub_builder import ORG, Answer, HubUnderTest

HTML = {"Accept": "text/html,application/xhtml+xml"}


@dataclass
class Reader:
    """A person's browser."""

    hub: HubUnderTest
    cookies: dict[str, str] = field(default_factory=dict)
    csrf: str = ""

    async def get(self, path: str, **more: Any) -> Answer:
        """Open a page."""
        return await self._send("GET", path, **more)

    async def post(self, path: str, *, csrf: str | None = None, **fields: Any) -> Answer:
        """Send a form with this person's token (or another one) and these fields."""
        token = self.csrf if csrf is None else csrf
        return await self._send("POST", path, data={"csrf": token, **fields})

    async def text(self, path: str) -> str:
        """Open a page that must be there, and return it."""
        answer = await self.get(path)
        assert answer.status == 200, answer.body
        return answer.body.decode()

    async def _send(self, method: str, path: str, **more: Any) -> Answer:
        headers = {**HTML, **more.pop("headers", {})}
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{k}={v}" for k, v in self.cookies.items())
        answer = await self.hub.send(
            method, path, token=None, headers=headers, allow_redirects=False, **more
        )
        for line in answer.headers.getall("Set-Cookie", []):
            for name, morsel in SimpleCookie(line).items():
                if morsel["max-age"] == "0":
                    self.cookies.pop(name, None)
                else:
                    self.cookies[name] = morsel.value
        return answer


async def reader(hub: HubUnderTest, user_id: str = "user_1") -> Reader:
    """Return the browser of a person who is signed in (the first one is the org's owner)."""
    browser = await signed_in(hub, user_id)
    return Reader(hub, {COOKIE: browser.secret}, browser.csrf)


async def member(hub: HubUnderTest, role: str | None, org_id: str = ORG) -> Reader:
    """Return the browser of a new person with a role (None: no member)."""
    before = next(hub._numbers)
    await hub.add_person(org_id, role)
    return await reader(hub, f"user_{before + 1}")


class Elements(HTMLParser):
    """The start tags of a page with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        """Return the attributes of each element of a kind."""
        return [attrs for name, attrs in self.tags if name == tag]

    @property
    def text(self) -> str:
        """Return the page's text, its white space as single spaces."""
        return " ".join(" ".join(self.words).split())
