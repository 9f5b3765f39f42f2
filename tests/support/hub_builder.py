"""A real hub on a loopback port over a real database, and the rows to fill it with.

Owns `running_hub` and `HubUnderTest`. Its clock stands still until a test moves it; only
the two ends are test code, all between them is what `radar-audit-hub serve` runs.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from aiohttp import web, web_app
from multidict import CIMultiDictProxy
from radar_audit_events.event import Event
from radar_audit_hub.app import build_app
from radar_audit_hub.context import Hub
from radar_audit_hub.credentials import new_token, token_hash
from radar_audit_hub.ingest.handlers import INGEST
from radar_audit_hub.ingest.prepare import prepare
from radar_audit_hub.protocol import listener
from radar_audit_hub.settings import HubSettings
from radar_audit_hub.store.control import (
    Cluster,
    Org,
    User,
    ensure_user,
    insert_cluster,
    insert_member,
    insert_org,
)
from radar_audit_hub.store.database import Database
from radar_audit_hub.store.log import append_batch
from radar_audit_hub.store.migrate import migrate
from radar_audit_hub.store.schema import org_member, pat
from radar_audit_hub.store.tokens import insert_cluster_token, insert_pat
from sqlalchemy import delete, update

from tests.support.log_rows import NOW_MS, make_event

ORG = "org_x"


@dataclass
class Answer:
    """An HTTP answer, read to its end."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return msgspec.json.decode(self.body)

    @property
    def lines(self) -> list[Any]:
        """The body as NDJSON."""
        return [msgspec.json.decode(line) for line in self.body.splitlines()]

    @property
    def ids(self) -> list[str]:
        """The ids of a page's events."""
        return [event["id"] for event in self.json["events"]]


@dataclass
class Clock:
    """The hub's time in Unix milliseconds."""

    now_ms: int = NOW_MS

    def __call__(self) -> int:
        """Return the time."""
        return self.now_ms


@dataclass
class HubUnderTest:
    """The hub and a client for it; `owner` is the token of the first org's owner."""

    hub: Hub
    app: web.Application
    url: str
    clock: Clock
    client: aiohttp.ClientSession
    owner: str = ""
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    async def add_org(self, org_id: str, plan: str = "enterprise") -> None:
        """Insert an org."""
        org = Org(
            id=org_id,
            name=f"Name of {org_id}",
            plan=plan,
            record_log_access=False,
            created_at_ms=self.clock.now_ms,
        )
        async with self.hub.db.write() as connection:
            await insert_org(connection, org)

    async def add_person(
        self,
        org_id: str = ORG,
        role: str | None = "owner",
        *,
        scopes: Sequence[str] | None = None,
        expires_at_ms: int | None = None,
    ) -> str:
        """Insert a user with a role (None: no member) and return a fresh PAT of theirs."""
        number = next(self._numbers)
        token = new_token("rhp", os.urandom(32))
        user = User(
            id=f"user_{number}", email=f"p{number}@acme.com", created_at_ms=self.clock.now_ms
        )
        async with self.hub.db.write() as connection:
            await ensure_user(connection, user)
            if role is not None:
                await insert_member(connection, org_id, user.id, role, self.clock.now_ms)
            await insert_pat(
                connection,
                org_id=org_id,
                pat_id=f"pat_{number}",
                user_id=user.id,
                name=f"token {number}",
                token_hash=token_hash(token),
                scopes=scopes,
                created_at_ms=self.clock.now_ms,
                expires_at_ms=expires_at_ms,
            )
        return token

    async def add_cluster(
        self,
        org_id: str = ORG,
        cluster_id: str = "cl_1",
        scopes: Sequence[str] = ("ingest", "agent"),
    ) -> str:
        """Insert a cluster and return its token."""
        token = new_token("rhc", os.urandom(32))
        cluster = Cluster(
            org_id=org_id,
            id=cluster_id,
            name="prod",
            environment="production",
            labels={},
            created_at_ms=self.clock.now_ms,
        )
        async with self.hub.db.write() as connection:
            await insert_cluster(connection, cluster)
            await insert_cluster_token(
                connection,
                org_id=org_id,
                cluster_id=cluster_id,
                token_hash=token_hash(token),
                scopes=scopes,
                created_at_ms=self.clock.now_ms,
            )
        return token

    async def revoke(self, token: str) -> None:
        """Revoke a PAT."""
        async with self.hub.db.write() as connection:
            await connection.execute(
                update(pat)
                .where(pat.c.token_hash == token_hash(token))
                .values(revoked_at=self.clock.now_ms)
            )

    async def remove_members(self, org_id: str = ORG) -> None:
        """Remove everybody from an org, their tokens stay as they are."""
        async with self.hub.db.write() as connection:
            await connection.execute(delete(org_member).where(org_member.c.org_id == org_id))

    async def append(self, *events: Event, org_id: str = ORG, notify: bool = True) -> list[str]:
        """Store events as ingest does and return their ids."""
        rows = [prepare(replace_org(event, org_id), os.urandom(32)) for event in events]
        await append_batch(self.hub.db, org_id, rows, self.clock.now_ms)
        if notify:
            self.hub.signal.notify(org_id)
        return [row.id for row in rows]

    async def get(
        self,
        path: str,
        *,
        token: str | None = "",
        params: Any = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """GET a path as the owner, as `token`, or (None) as nobody; relative: below the log."""
        return await self.send("GET", path, token=token, params=params, headers=headers)

    async def send(self, method: str, path: str, *, token: str | None = "", **more: Any) -> Answer:
        """Send any request."""
        headers = dict(more.pop("headers", None) or {})
        if token is not None:
            headers["Authorization"] = f"Bearer {token or self.owner}"
        async with self.client.request(
            method, self.address(path), headers=headers, **more
        ) as response:
            return Answer(response.status, response.headers, await response.read())

    def address(self, path: str) -> str:
        """Return the URL of a path; one without a leading slash is below the log of ORG."""
        return self.url + (path if path.startswith("/") else log_path(ORG, path))

    @property
    def port(self) -> int:
        """The port that the hub listens on."""
        return int(self.url.rpartition(":")[2])


def log_path(org_id: str, below: str = "") -> str:
    """Return the path of an org's log or of what is below it."""
    joint = "" if not below or below.startswith("?") else "/"
    return f"/api/orgs/{org_id}/audit{joint}{below}"


def replace_org(event: Event, org_id: str) -> Event:
    """Return the event as one of another org."""
    return event if event.org_id == org_id else msgspec.structs.replace(event, org_id=org_id)


def events_of(count: int, **changes: Any) -> list[Event]:
    """Return `count` events, one a second, the last one now."""
    start = NOW_MS - (count - 1) * 1000
    return [make_event(n, created_at_ms=start + n * 1000, **changes) for n in range(count)]


def settings_for(url: str, **changes: Any) -> HubSettings:
    """Return settings over a database; ports are free ones."""
    base = HubSettings(
        database_url=url, listen="127.0.0.1:0", probes_listen="127.0.0.1:0", drain_seconds=2.0
    )
    return replace(base, **changes)


@asynccontextmanager
async def running_hub(
    url: str, *, migrated: bool, new: bool = True, port: int = 0, **changes: Any
) -> AsyncIterator[HubUnderTest]:
    """Serve a hub over the database at `url` with one org and its owner.

    Not `new`: one more replica over a database that has them already.
    """
    settings = settings_for(url, **changes)
    clock = Clock()
    db = await Database.open(url, pool_size=settings.database_pool_size)
    if not migrated:
        await migrate(db)
    hub = Hub.create(db, settings, now_ms=clock, random_bytes=os.urandom)
    app = build_app(hub)
    serving = listener(app, settings.max_connections, settings.drain_seconds)
    port = await serving.start("127.0.0.1", port)
    timeout = aiohttp.ClientTimeout(total=120)
    async with aiohttp.ClientSession(timeout=timeout) as client:
        under_test = HubUnderTest(hub, app, f"http://127.0.0.1:{port}", clock, client)
        try:
            if new:
                await under_test.add_org(ORG)
                under_test.owner = await under_test.add_person()
            yield under_test
        finally:
            await hub.signal.stop()
            await client.close()
            await serving.stop()
            await app[INGEST].joiner.close()
            await hub.last_used.stop()
            await hub.outbound.close()
            await hub.deliveries.close()
            await db.close()
            _let_go_of_apps()


def _let_go_of_apps() -> None:
    """Have aiohttp forget the hubs that were: it keeps the last thousand handlers with their apps.

    Each collection of garbage would look at hundreds of them: a tenth of all CPU.
    """
    web_app._cached_build_middleware.cache_clear()


@asynccontextmanager
async def sqlite_hub(template: Path, folder: Path, **changes: Any) -> AsyncIterator[HubUnderTest]:
    """Serve a hub over a copy of `template`."""
    path = folder / "hub.db"
    await asyncio.to_thread(shutil.copy, template, path)
    async with running_hub(f"sqlite:///{path}", migrated=True, **changes) as under_test:
        yield under_test
