"""A body that takes its time: what let the request in may have ended before the rest arrives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from aiohttp import web
from radar_audit_events.ids import format_ms
from radar_audit_hub.bodies import read_body
from radar_audit_hub.json_edge import read_document

from tests.support.browsers import signed_in
from tests.support.hub_builder import ORG, HubUnderTest
from tests.support.membership import actions
from tests.support.policy_agents import Operator, operator

PATH = f"/api/orgs/{ORG}"


async def patched_slowly(
    hub: HubUnderTest, headers: Mapping[str, str], ended: asyncio.Event
) -> int:
    """Rename the org; the second half of the body waits for `ended`. Return the status."""

    async def body() -> AsyncIterator[bytes]:
        yield b'{"name": '
        await ended.wait()
        yield b'"Stolen"}'

    sent = {**headers, "Content-Type": "application/json"}
    async with hub.client.patch(hub.url + PATH, data=body(), headers=sent) as answer:
        return answer.status


@pytest.mark.parametrize("kind", ["token", "session"])
async def test_what_is_revoked_while_the_body_arrives_changes_nothing(
    any_hub: HubUnderTest, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    if kind == "token":
        thief = await any_hub.add_person()
        headers = {"Authorization": f"Bearer {thief}"}
    else:
        browser = await signed_in(any_hub)
        headers = browser.headers
    let_in, ended = asyncio.Event(), asyncio.Event()

    async def noticed(request: web.Request, decoder: Any) -> Any:
        let_in.set()
        return await read_document(request, decoder)

    monkeypatch.setattr("radar_audit_hub.orgs.handlers.read_document", noticed)
    slow = asyncio.create_task(patched_slowly(any_hub, headers, ended))
    await let_in.wait()
    if kind == "token":
        await any_hub.revoke(thief)
    else:
        answer = await any_hub.send("DELETE", "/api/session", token=None, headers=headers)
        assert answer.status == 200
    ended.set()
    assert await slow == 401
    assert "org.updated" not in await actions(any_hub)


async def test_token_revoked_while_the_body_arrives_records_nothing(
    any_hub: HubUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await any_hub.add_person()

    async def revoked_first(*args: Any, **bounds: Any) -> bytes:
        body = await read_body(*args, **bounds)
        await any_hub.revoke(token)
        return body

    monkeypatch.setattr("radar_audit_hub.external.handlers.read_body", revoked_first)
    event = {
        "key": "k",
        "action": "cluster.deleted",
        "target_id": "cl_1",
        "created_at": format_ms(any_hub.clock.now_ms),
        "metadata": {"name": "prod"},
    }
    body = {"events": [event]}
    answer = await any_hub.send("POST", f"{PATH}/audit/events", json=body, token=token)
    assert answer.status == 401
    assert await actions(any_hub) == []


@pytest.mark.parametrize("route", ["agent", "reporting"])
async def test_cluster_token_rotated_while_the_body_arrives_changes_nothing(
    any_hub: HubUnderTest, monkeypatch: pytest.MonkeyPatch, route: str
) -> None:
    old = await operator(any_hub)
    fresh: list[str] = []

    async def rotated_first(*args: Any, **bounds: Any) -> bytes:
        body = await read_body(*args, **bounds)
        answer = await any_hub.send("POST", f"{PATH}/clusters/{old.cluster_id}/rotate-token")
        fresh.append(answer.json["token"])
        return body

    monkeypatch.setattr(f"radar_audit_hub.policy.{route}.read_body", rotated_first)
    asked: dict[str, Any] = {"retention": {"max_age_hours": 24}}
    beat = {
        "is_complete": True,
        "sent_at": format_ms(any_hub.clock.now_ms),
        "version": "0.1.0",
        "owners": [],
    }
    if route == "agent":
        answer = await old.put(old.owner(), **asked)
    else:
        path = "/api/agent/operator-heartbeat"
        answer = await any_hub.send("POST", path, token=old.token, json=beat)
    assert answer.status == 401, answer.body
    monkeypatch.undo()
    assert (await Operator(any_hub, old.cluster_id, *fresh).put(old.owner(), **asked)).status == 200
