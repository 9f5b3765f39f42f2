"""Browsers that are signed in: what they hold, and the headers that they send with it.

Owns `Browser` and `signed_in`, which opens a session in the store as signing in does. Called by
the tests of the hub. The hub's own client keeps no cookies: each request says what it sends.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from radar_audit_events.ids import new_id
from radar_audit_hub.auth.session_rules import csrf_token
from radar_audit_hub.credentials import new_token, token_hash
from radar_audit_hub.store.sessions import NewSession, insert_session

from tests.support.hub_builder import Answer, HubUnderTest

COOKIE = "radar_audit_session"


@dataclass
class Browser:
    """A browser with a session's cookie, as one of the hub's own pages uses it."""

    secret: str
    session_id: str = ""

    @property
    def csrf(self) -> str:
        """The session's CSRF token."""
        return csrf_token(self.secret)

    @property
    def cookie(self) -> dict[str, str]:
        """The cookie alone: what a browser sends whoever asks it to."""
        return {"Cookie": f"{COOKIE}={self.secret}"}

    @property
    def headers(self) -> dict[str, str]:
        """The cookie and the CSRF token."""
        return {**self.cookie, "X-CSRF-Token": self.csrf}

    async def send(self, hub: HubUnderTest, method: str, path: str, **more: object) -> Answer:
        """Send a request as a page of the hub does."""
        return await hub.send(method, path, token=None, headers=self.headers, **more)


async def signed_in(hub: HubUnderTest, user_id: str = "user_1", method: str = "link") -> Browser:
    """Open a session of a person (the first one is the owner of the first org)."""
    secret, now_ms = new_token("rhs", os.urandom(32)), hub.clock.now_ms
    new = NewSession(
        secret_hash=token_hash(secret),
        id=new_id("ses_", now_ms, os.urandom(10)),
        user_id=user_id,
        method=method,
        ip="127.0.0.1",
        user_agent="test",
        created_at_ms=now_ms,
        expires_at_ms=now_ms + hub.hub.settings.session.lifetime_ms,
    )
    async with hub.hub.db.write() as connection:
        await insert_session(connection, new)
    return Browser(secret, new.id)
