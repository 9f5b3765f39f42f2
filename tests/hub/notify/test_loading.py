"""However many rules an org has: they are made ready in between other requests, and once."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from radar_audit_hub.notify.following import loading
from radar_audit_hub.notify.following.loading import RuleSets, load_rules
from radar_audit_hub.policy import storing
from radar_audit_hub.store.notify_destinations import list_destinations
from radar_audit_hub.store.notify_following import get_routes
from radar_audit_hub.store.owners import list_owners

from tests.support.hub_builder import ORG, HubUnderTest
from tests.support.policy_agents import Operator, operator

POLICIES = 20
OPS = {"name": "ops", "email": {"to": ["ops@acme.com"]}}


def alerts(*names: str, **more: Any) -> dict[str, Any]:
    """Return alerts with these rules."""
    rule = {"actions": ["pod.*"], "destinations": ["ops"], **more}
    return {"destinations": [OPS], "rules": [{"name": name, **rule} for name in names]}


async def policies(hub: HubUnderTest) -> Operator:
    """Store policies with one rule each."""
    agent = await operator(hub)
    for number in range(POLICIES):
        answer = await agent.put(agent.owner(f"p{number}"), notifications=alerts("shells"))
        assert answer.status == 200, answer.body
    return agent


async def test_rules_of_one_org_are_made_in_between_other_requests(
    hub: HubUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    await policies(hub)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with hub.hub.db.read() as conn:
        for read in (list_owners, get_routes, list_destinations):
            monkeypatch.setattr(loading, read.__name__, _ready(await read(conn, ORG)))
        monkeypatch.setattr(loading, "_SLICE_SECONDS", -1.0)
        task = asyncio.create_task(others())
        found = await load_rules(conn, ORG)
        during = turns
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    assert len(found.rules) == POLICIES
    assert during >= POLICIES


def _ready(found: Any) -> Any:
    """Return a read that has nothing to wait for."""

    async def read(*_: object) -> Any:
        return found

    return read


async def test_document_that_has_not_changed_is_made_ready_once(hub: HubUnderTest) -> None:
    agent, sets = await policies(hub), RuleSets()
    async with hub.hub.db.read() as conn:
        before = {rule.key: rule for rule in (await sets.of(conn, ORG, 1)).rules}
    changed = agent.owner("p3")
    answer = await agent.put(changed, 2, notifications=alerts("shells", severity="critical"))
    assert answer.status == 200, answer.body
    sets.forget(ORG)
    async with hub.hub.db.read() as conn:
        after = {rule.key: rule for rule in (await sets.of(conn, ORG, 2)).rules}
    assert before.keys() == after.keys()
    anew = [key for key, rule in after.items() if rule is not before[key]]
    assert anew == [(changed, "shells")]
    assert after[changed, "shells"].severity == "critical"


async def test_notice_makes_those_rules_ready_that_name_it(hub: HubUnderTest) -> None:
    agent = await policies(hub)
    about = alerts("gone", kinds=["cluster.disconnected"])
    assert (await agent.put(agent.owner("about"), notifications=about)).status == 200
    async with hub.hub.db.read() as conn:
        found = await load_rules(conn, ORG, "cluster.disconnected")
    assert [rule.key for rule in found.rules] == [(agent.owner("about"), "gone")]


async def test_clusters_have_room_for_so_many_rules_and_the_org_for_its_own(
    hub: HubUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storing, "MAX_CLUSTERS_RULES", 3)
    one, two = await operator(hub), await operator(hub, "cl_2")
    assert (await one.put(one.owner(), notifications=alerts("a", "b"))).status == 200
    refused = await two.put(two.owner(), notifications=alerts("a", "b"))
    assert (refused.status, refused.json["errors"][0]["field"]) == (422, "notifications.rules")
    assert (await two.put(two.owner(), notifications=alerts("a"))).status == 200
    own = {"notifications": alerts("a", "b")}
    assert (await hub.send("PUT", f"/api/orgs/{ORG}/audit/policy", json=own)).status == 200
    assert (await one.put(one.owner(), 2, notifications=alerts("a"))).status == 200
