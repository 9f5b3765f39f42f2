"""Every route and every kind of caller, against one table of who may what."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from radar_audit_hub.credentials import new_token, token_hash
from radar_audit_hub.store.schema import cluster_token, org_member, pat
from radar_audit_hub.store.schema_signin import session
from sqlalchemy import delete, select, update

from tests.hub.authorization_table import CALLERS, TABLE, Caller, Row, expected
from tests.support.browsers import signed_in
from tests.support.hub_builder import ORG, Answer, HubUnderTest, sqlite_hub

FOREIGN = "org_foreign"
UNKNOWN = "org_unknown"
CLUSTER_ID = "cl_1"
PARTS = {
    "org_id": ORG,
    "cluster_id": CLUSTER_ID,
    "owner_id": f"k8s:{CLUSTER_ID}:-:hub",
    "name": "nowhere",
    "user_id": "user_nobody",
    "event_id": "ae_" + "0" * 26,
    "pat_id": "pat_nothing",
    "invitation_id": "inv_nothing",
    "destination_id": "nd_nothing",
    "message_id": "msg_nothing",
    "notice_id": "ntc_nothing",
    "session_id": "ses_" + "0" * 26,
    "action": "no.such",
    "token": "rhl_" + "0" * 43,
}
PROBE = {"no_such_parameter": "1"}


@dataclass
class World:
    """A hub, and the headers of each caller."""

    hub: HubUnderTest
    headers: dict[str, dict[str, str]] = field(default_factory=dict)

    async def ask(self, row: Row, caller: Caller, **parts: str) -> Answer:
        """Send the row's probe as a caller."""
        params = PROBE if row.passing == 400 else {}
        return await self.hub.send(
            row.method,
            row.path.format(**PARTS | parts),
            token=None,
            params=params,
            headers=self.headers[caller.name],
        )


@pytest.fixture
async def world(template: Path, tmp_path: Path) -> AsyncIterator[World]:
    """One org with somebody of each kind, and a foreign one."""
    # The failures are counted by address, and all callers of the matrix share one.
    async with sqlite_hub(template, tmp_path, failed_auth_per_minute=1_000_000) as hub:
        await hub.add_org(FOREIGN)
        found = World(hub)
        for caller in CALLERS:
            found.headers[caller.name] = await _headers(hub, caller)
        yield found


async def _headers(hub: HubUnderTest, caller: Caller) -> dict[str, str]:
    if caller.kind == "none":
        return {}
    if caller.kind == "cluster":
        return await _cluster_headers(hub, caller)
    if caller.name == "PAT that nobody made":
        return _bearer(new_token("rhp", os.urandom(32)))
    foreign = "foreign" in caller.name
    org_id, now_ms = (FOREIGN if foreign else ORG), hub.clock.now_ms
    token = await hub.add_person(
        org_id,
        "owner" if foreign else caller.role or "member",
        scopes=caller.scopes,
        expires_at_ms=now_ms if "expired" in caller.name else None,
    )
    if "revoked" in caller.name:
        await hub.revoke(token)
    async with hub.hub.db.write() as connection:
        whose = select(pat.c.user_id).where(pat.c.token_hash == token_hash(token))
        user_id = (await connection.execute(whose)).scalar_one()
        if "removed" in caller.name:
            await connection.execute(delete(org_member).where(org_member.c.user_id == user_id))
    if caller.kind == "pat":
        return _bearer(token)
    browser = await signed_in(hub, user_id)
    if not caller.good:
        one = update(session).where(session.c.id == browser.session_id)
        async with hub.hub.db.write() as connection:
            await connection.execute(one.values(revoked_at=now_ms))
    return browser.headers if caller.csrf else browser.cookie


async def _cluster_headers(hub: HubUnderTest, caller: Caller) -> dict[str, str]:
    cluster_id = CLUSTER_ID if caller.name == "cluster token" else f"cl_{len(caller.name)}"
    token = await hub.add_cluster(ORG, cluster_id, caller.scopes or ("ingest", "agent"))
    if not caller.good:
        one = update(cluster_token).where(cluster_token.c.token_hash == token_hash(token))
        async with hub.hub.db.write() as connection:
            await connection.execute(one.values(revoked_at=hub.clock.now_ms))
    return _bearer(token)


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_every_route_has_a_row(world: World) -> None:
    served = {
        (route.method, route.resource.canonical)
        for route in world.hub.app.router.routes()
        # The pages have a matrix of their own: tests/web/test_who_may_see.py.
        if route.resource is not None and route.resource.canonical.startswith("/api/")
    }
    rows = [(row.method, row.path) for row in TABLE]
    assert sorted(rows) == sorted(served), "authorization_table.py names each route once"


async def test_every_caller_gets_what_the_table_says(world: World) -> None:
    wrong: dict[str, list[str]] = {}
    for row in TABLE:
        for caller in CALLERS:
            answer = await world.ask(row, caller)
            if answer.status != (wanted := expected(row, caller)):
                what = f"{row.method} {row.path}: {answer.status} instead of {wanted}"
                wrong.setdefault(what, []).append(caller.name)
    assert not wrong, _lines(wrong)


async def test_foreign_and_unknown_org_answer_alike(world: World) -> None:
    different: dict[str, list[str]] = {}
    for row in TABLE:
        if "{org_id}" not in row.path:
            continue
        for caller in CALLERS:
            if "foreign" in caller.name:
                continue  # it is not foreign to them
            foreign = await world.ask(row, caller, org_id=FOREIGN)
            unknown = await world.ask(row, caller, org_id=UNKNOWN)
            if _seen(foreign) != _seen(unknown) or foreign.status not in (401, 403, 404):
                what = f"{row.method} {row.path}: {foreign.body!r} and {unknown.body!r}"
                different.setdefault(what, []).append(caller.name)
    assert not different, _lines(different)


def _lines(found: dict[str, list[str]]) -> str:
    return "\n".join(f"{what} for {', '.join(who)}" for what, who in found.items())


def _seen(answer: Answer) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Return all of an answer that may not tell a foreign org from an unknown one."""
    body = {key: value for key, value in answer.json.items() if key != "request_id"}
    assert answer.json["request_id"] == answer.headers["X-Request-Id"]
    headers = {
        name: value
        for name, value in answer.headers.items()
        if name.lower() not in ("x-request-id", "date", "content-length")
    }
    return answer.status, body, headers


async def test_refusals_say_who_may(world: World) -> None:
    viewer = next(caller for caller in CALLERS if caller.name == "PAT of viewer")
    for row in TABLE:
        if expected(row, viewer) != 403 or "{org_id}" not in row.path:
            continue
        answer = (await world.ask(row, viewer)).json
        assert answer["required_role"] == "owner", row
        assert set(answer["required_roles"]) == set(row.who.split()), row
