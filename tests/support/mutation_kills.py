"""Kills a hub while people change things through it, and compares what is there with its log.

Owns `kill_while_changing`. Called by the torture test and by its short version in `make test`.
A change that was acknowledged must be there; any that is there must have its event, and the other
way round, whenever the hub died.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from radar_audit_hub.store.database import Database
from radar_audit_hub.store.schema import audit_event, cluster, pat
from sqlalchemy import select

from tests.support.hub_process import HubProcess

CLIENTS = 6
_LIFE_SECONDS = (0.2, 0.9)  # of the hub, between its start and its death
_WAIT_SECONDS = 60
_GONE = (aiohttp.ClientError, TimeoutError, ConnectionError)


@dataclass
class Acknowledged:
    """The ids for which the hub said that something was done, by the action."""

    ids: dict[str, set[str]] = field(
        default_factory=lambda: {
            name: set()
            for name in ("pat.created", "pat.revoked", "cluster.created", "cluster.deleted")
        }
    )

    def has_all(self) -> bool:
        """Tell whether each action was acknowledged once at least."""
        return all(self.ids.values())


class _Client:
    """Makes tokens and clusters and ends them again, for ever; a dead hub is asked again."""

    def __init__(self, url: str, path: str, token: str, done: Acknowledged) -> None:
        self._path = f"{url}{path}"
        self._headers = {"Authorization": f"Bearer {token}"}
        self._done = done

    async def run(self, names: itertools.count[int]) -> None:
        """Go on until cancelled."""
        timeout = aiohttp.ClientTimeout(total=10)
        async with aiohttp.ClientSession(headers=self._headers, timeout=timeout) as http:
            while True:
                name = f"n{next(names)}"
                await self._life(http, "pats", {"name": name}, ("pat.created", "pat.revoked"))
                body = {"name": name, "environment": "test"}
                ends = ("cluster.created", "cluster.deleted")
                await self._life(http, "clusters", body, ends)

    async def _life(
        self, http: aiohttp.ClientSession, kind: str, body: Any, ends: tuple[str, str]
    ) -> None:
        made = await self._send(http, "POST", f"{self._path}/{kind}", json=body)
        if made is None:
            return
        self._done.ids[ends[0]].add(made["id"])
        ended = await self._send(http, "DELETE", f"{self._path}/{kind}/{made['id']}")
        if ended is not None:
            self._done.ids[ends[1]].add(made["id"])

    async def _send(
        self, http: aiohttp.ClientSession, method: str, url: str, **more: Any
    ) -> dict[str, Any] | None:
        """Return the answer, None where the hub died before it was whole."""
        try:
            async with http.request(method, url, **more) as answer:
                found: dict[str, Any] = await answer.json()
                assert answer.status < 500 or answer.status == 503, found
                return found if answer.status < 300 else None
        except _GONE:
            await asyncio.sleep(0.05)
            return None


async def kill_while_changing(url: str, *, kills: int, seed: int) -> int:
    """Kill a hub over the database at `url` so often, and check; return how long the log is."""
    order, done = random.Random(seed), Acknowledged()
    hub = HubProcess(database_url=url)
    code, out, err = await hub.command("init", "--email", "alice@acme.com", "-o", "json")
    assert code == 0, err
    made = json.loads(out)
    async with hub:
        client = _Client(hub.url, f"/api/orgs/{made['org']['id']}", made["pat"]["token"], done)
        names = itertools.count()
        clients = [asyncio.create_task(client.run(names)) for _ in range(CLIENTS)]
        try:
            for _ in range(kills):
                await asyncio.sleep(order.uniform(*_LIFE_SECONDS))
                await hub.kill()
                await hub.start()
            await asyncio.sleep(_LIFE_SECONDS[1])
            await _until(done.has_all)
        finally:
            for task in clients:
                task.cancel()
            ends = await asyncio.gather(*clients, return_exceptions=True)
    assert {type(end) for end in ends} == {asyncio.CancelledError}
    return await _check(url, done)


async def _until(met: Callable[[], bool]) -> None:
    """Wait until the clients got so far: on a busy machine a life may be over before they do."""
    async with asyncio.timeout(_WAIT_SECONDS):
        while not met():  # noqa: ASYNC110 - what several clients do
            await asyncio.sleep(0.05)


async def _check(url: str, done: Acknowledged) -> int:
    """Compare the tables with the log, and both with what was acknowledged."""
    db = await Database.open(url)
    try:
        async with db.read() as conn:
            rows = (await conn.execute(select(audit_event).order_by(audit_event.c.seq))).all()
            pats = (await conn.execute(select(pat.c.id, pat.c.revoked_at))).all()
            clusters = (await conn.execute(select(cluster.c.id, cluster.c.deleted_at))).all()
    finally:
        await db.close()
    assert [row.seq for row in rows] == list(range(len(rows)))
    told = {name: [r.target_id for r in rows if r.action == name] for name in done.ids}
    there = {
        "pat.created": [row.id for row in pats],
        "pat.revoked": [row.id for row in pats if row.revoked_at is not None],
        "cluster.created": [row.id for row in clusters],
        "cluster.deleted": [row.id for row in clusters if row.deleted_at is not None],
    }
    for name, ids in done.ids.items():
        assert sorted(told[name]) == sorted(there[name]), name
        assert ids, f"no {name} was acknowledged, so nothing was tried"
        assert ids <= set(told[name]), name
    return len(rows)
