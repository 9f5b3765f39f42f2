"""One org's requests wait for one another without holding what other orgs need."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from radar_audit_events.ids import format_ms
from radar_audit_hub.context import OWN_PAGES_AT_ONCE, PAGES_AT_ONCE
from radar_audit_hub.errors import TooManyRequestsError
from radar_audit_hub.turns import Turns

from tests.support.collector_posts import INGEST_PATH, a_batch, a_heartbeat
from tests.support.hub_builder import ORG, HubUnderTest, log_path, running_hub
from tests.support.log_rows import NOW_MS
from tests.support.policy_agents import operator

PATH = f"/api/orgs/{ORG}"
WHEN = format_ms(NOW_MS)


async def test_an_org_has_one_turn_at_a_time_and_others_have_theirs() -> None:
    turns, order = Turns(), list[str]()

    async def work(org_id: str, name: str) -> None:
        async with turns.take(org_id):
            order.append(name)

    async with turns.take("org_1"):
        waiting = [asyncio.create_task(work("org_1", name)) for name in ("first", "second")]
        await asyncio.sleep(0)
        await work("org_2", "other")
        assert order == ["other"]
    await asyncio.gather(*waiting)
    assert order == ["other", "first", "second"]
    assert len(turns) == 0


async def test_those_who_wait_are_bounded_and_whoever_leaves_makes_room() -> None:
    turns = Turns(max_waiting=1)  # one has a turn, one may wait

    async def work() -> None:
        async with turns.take("org_1"):
            pass

    async with turns.take("org_1"):
        waiting = asyncio.create_task(work())
        await asyncio.sleep(0)
        with pytest.raises(TooManyRequestsError):
            await work()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        waiting = asyncio.create_task(work())
    await waiting
    assert len(turns) == 0


@pytest.fixture
async def small_pool(postgres_url: str) -> AsyncIterator[HubUnderTest]:
    """A hub over PostgreSQL with few connections."""
    async with running_hub(postgres_url, migrated=True, database_pool_size=5) as under_test:
        yield under_test


async def test_changes_that_wait_hold_no_connection_that_another_org_needs(
    small_pool: HubUnderTest,
) -> None:
    hub, agent = small_pool, await operator(small_pool)
    await hub.add_org("org_other")
    other = await hub.add_person("org_other")
    async with hub.hub.turns.take(ORG):
        asked = [
            *(hub.send("PATCH", PATH, json={"name": f"Name {number}"}) for number in range(8)),
            *(agent.put(agent.owner(f"p{number}")) for number in range(8)),
            *(hub.get("/api/agent/settings", token=agent.token) for _ in range(8)),
        ]
        waiting = [asyncio.create_task(one) for one in asked]
        answer = await hub.send("PATCH", "/api/orgs/org_other", token=other, json={"name": "Other"})
        assert answer.status == 200
        assert not any(task.done() for task in waiting)
    assert {(await task).status for task in waiting} == {200}


async def test_what_one_cluster_or_person_writes_takes_no_connection_that_another_org_needs(
    small_pool: HubUnderTest,
) -> None:
    hub = small_pool
    await hub.add_org("org_other")
    other, cluster = await hub.add_person("org_other"), await hub.add_cluster()
    me = (await hub.get("/api/me")).json["user_id"]
    times = {"from_time": WHEN, "to_time": WHEN}
    lost = a_batch(gaps=[{"gap_id": "g-1", **times, "count": 1, "reason": "spool full"}])
    async with hub.hub.own_reports.take(f"{ORG}/cl_1"), hub.hub.own_turn(me):
        asked = [
            *(("/api/agent/heartbeat", cluster, a_heartbeat()) for _ in range(6)),
            *((INGEST_PATH, cluster, lost) for _ in range(6)),
            *(("/api/orgs", hub.owner, {"name": f"Org {number}"}) for number in range(6)),
            *(("/api/inbox/read", hub.owner, {"all": True}) for _ in range(6)),
        ]
        waiting = [
            asyncio.create_task(hub.send("POST", path, token=token, json=body))
            for path, token, body in asked
        ]
        for number in range(9):  # long enough for those above, if they did not wait
            name = {"name": f"Name {number}"}
            answer = await hub.send("PATCH", "/api/orgs/org_other", token=other, json=name)
            assert answer.status == 200
        assert not any(task.done() for task in waiting)
    assert {(await task).status for task in waiting} == {200, 201}


@pytest.mark.parametrize("path", ["?limit=500", "follow?wait=0"])
async def test_pages_of_one_org_wait_for_one_another_alone(hub: HubUnderTest, path: str) -> None:
    await hub.add_org("org_other")
    other = await hub.add_person("org_other")
    async with AsyncExitStack() as taken:
        for _ in range(PAGES_AT_ONCE):
            await taken.enter_async_context(hub.hub.pages.take(ORG))
        waiting = asyncio.create_task(hub.get(path))
        answer = await hub.get(log_path("org_other", path), token=other)
        assert (answer.status, waiting.done()) == (200, False)
    assert (await waiting).status == 200


async def test_previews_of_alerts_wait_as_pages_and_reports_do(hub: HubUnderTest) -> None:
    agent, me = await operator(hub), (await hub.get("/api/me")).json["user_id"]
    alerts = {
        "destinations": [{"name": "ops", "email": {"to": ["ops@acme.com"]}}],
        "rules": [{"name": "shells", "actions": ["pod.*"], "destinations": ["ops"]}],
    }
    async with AsyncExitStack() as taken:
        await taken.enter_async_context(hub.hub.own_reports.take(f"{ORG}/{agent.cluster_id}"))
        for _ in range(OWN_PAGES_AT_ONCE):
            await taken.enter_async_context(hub.hub.own_pages.take(f"{ORG}/{me}"))
        asked = {"rules": alerts["rules"]}
        path = f"{PATH}/audit/policy/alerts/preview"
        waiting = [
            asyncio.create_task(hub.send("POST", path, json=asked)),
            asyncio.create_task(agent.put(agent.owner(), dry_run=True, notifications=alerts)),
        ]
        for _ in range(50):  # long enough for those above, if they did not wait
            assert (await hub.get("/api/me")).status == 200
        assert not any(task.done() for task in waiting)
    assert {(await task).status for task in waiting} == {200}


async def test_pages_of_one_person_wait_for_their_own_alone(hub: HubUnderTest) -> None:
    slow, other = await hub.add_person(role="auditor"), await hub.add_person(role="auditor")
    whose = (await hub.get("/api/me", token=slow)).json["user_id"]
    async with AsyncExitStack() as taken:
        for _ in range(OWN_PAGES_AT_ONCE):
            await taken.enter_async_context(hub.hub.own_pages.take(f"{ORG}/{whose}"))
        waiting = asyncio.create_task(hub.get("?limit=1", token=slow))
        assert (await hub.get("?limit=1", token=other)).status == 200
        assert not waiting.done()
    assert (await waiting).status == 200
