"""What the org's owners may decide: their own policy, who holds a key, a day's override."""

from __future__ import annotations

from typing import Any

import pytest
from radar_audit_hub.policy.job import end_overrides

from tests.support.hub_builder import ORG, Answer, HubUnderTest
from tests.support.policy_agents import HOUR_MS, operator, told

POLICY = f"/api/orgs/{ORG}/audit/policy"
STEER = f"/api/orgs/{ORG}/audit/settings"


async def put(hub: HubUnderTest, **asked: Any) -> Answer:
    return await hub.send("PUT", POLICY, json=asked)


async def effective(hub: HubUnderTest) -> int:
    return int((await hub.get(POLICY)).json["keys"][0]["effective_hours"])


async def test_own_policy_counts_until_an_audit_policy_holds_the_key(
    hub: HubUnderTest,
) -> None:
    answer = await put(hub, retention={"max_age_hours": 2160, "shrink_delay_hours": 0})
    assert (answer.status, answer.json["is_in_force"]) == (200, True)
    assert await effective(hub) == 2160
    again = await put(hub, retention={"max_age_hours": 2160, "shrink_delay_hours": 0})
    assert again.json["revision"] == answer.json["revision"]
    agent = await operator(hub, speaks_for_org=True)
    await agent.put(agent.owner(), scope="organization", retention={"max_age_hours": 4000})
    shown = (await hub.get(POLICY)).json
    assert (shown["is_in_force"], shown["keys"][0]["effective_hours"]) == (False, 4000)
    assert shown["policy"]["retention"]["max_age_hours"] == 2160
    assert [row["owner"] for row in await told(hub)] == ["org", agent.owner()]


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"retention": {"max_age_hours": 3}}, "retention.max_age_hours"),
        ({"retention": {"max_ages": 3}}, "retention.max_ages"),
        ({"notifications": {"rules": [{"name": "x", "destinations": []}]}}, "notifications.rules"),
    ],
)
async def test_mistake_in_the_own_policy_is_named(
    hub: HubUnderTest, asked: dict[str, Any], field: str
) -> None:
    answer = await put(hub, **asked)
    assert answer.status == 422
    assert answer.json["errors"][0]["field"].startswith(field)
    assert await told(hub) == []


async def test_only_owners_see_and_decide(hub: HubUnderTest) -> None:
    tokens = {role: await hub.add_person(role=role) for role in ("auditor", "member", "viewer")}
    for token in tokens.values():
        assert (await hub.get(POLICY, token=token)).status == 403
        assert (await hub.send("PUT", POLICY, token=token, json={})).status == 403
        for path in ("takeover", "override", "release/cl_1"):
            assert (await hub.send("POST", f"{STEER}/{path}", token=token, json={})).status == 403
        assert (await hub.send("PUT", f"{STEER}/grants/cl_1", token=token)).status == 403
    narrow = await hub.add_person(scopes=["audit:read"])
    assert (await hub.send("PUT", POLICY, token=narrow, json={})).status == 403


async def test_owner_of_the_org_moves_its_key_by_the_exact_holder(hub: HubUnderTest) -> None:
    one = await operator(hub, speaks_for_org=True)
    two = await operator(hub, "cl_2", speaks_for_org=True)
    for agent, hours in ((one, 4000), (two, 5000)):
        await agent.put(agent.owner(), scope="organization", retention={"max_age_hours": hours})
    wrong = {"owner_id": two.owner(), "holder_id": two.owner()}
    answer = await hub.send("POST", f"{STEER}/takeover", json=wrong)
    assert (answer.status, one.owner() in answer.json["detail"]) == (409, True)
    right = {"owner_id": two.owner(), "holder_id": one.owner()}
    answer = await hub.send("POST", f"{STEER}/takeover", json=right)
    assert answer.json["keys"][0]["holder"]["owner_id"] == two.owner()
    last = (await told(hub))[-1]
    assert (last["kind"], last["changes"]["holder"]) == ("takeover", [one.owner(), two.owner()])
    nobody = {"owner_id": two.owner("none"), "holder_id": two.owner()}
    assert (await hub.send("POST", f"{STEER}/takeover", json=nobody)).status == 409


async def test_override_counts_for_a_day_and_then_waits_another(any_hub: HubUnderTest) -> None:
    await put(any_hub, retention={"max_age_hours": 2160, "shrink_delay_hours": 0})
    order = {"retention": {"max_age_hours": 8760}}
    answer = await any_hub.send("POST", f"{STEER}/override", json=order)
    assert answer.json["overridden"]["by"].endswith("@acme.com")
    assert await effective(any_hub) == 8760
    assert (await any_hub.get(POLICY)).json["is_in_force"] is False
    any_hub.clock.now_ms += 24 * HOUR_MS
    assert await end_overrides(any_hub.hub) == 1
    assert await end_overrides(any_hub.hub) == 0
    shown = (await any_hub.get(POLICY)).json
    assert (shown["overridden"], shown["keys"][0]["effective_hours"]) == (None, 8760)
    assert shown["keys"][0]["pending"]["effective_hours"] == 2160
    any_hub.clock.now_ms += 24 * HOUR_MS
    assert await effective(any_hub) == 2160


async def test_override_ends_early_and_its_mistakes_are_named(hub: HubUnderTest) -> None:
    for asked in ({"max_age_hours": 1}, {"holds": [{"name": "a", "reason": "b"}]}):
        answer = await hub.send("POST", f"{STEER}/override", json={"retention": asked})
        assert answer.status == 422
    order = {"retention": {"max_age_hours": 48, "shrink_delay_hours": 0}}
    await hub.send("POST", f"{STEER}/override", json=order)
    assert await effective(hub) == 48
    await hub.send("POST", f"{STEER}/override", json={"retention": None})
    assert await effective(hub) == 8760
    kinds = [row["kind"] for row in await told(hub)]
    assert kinds == ["override", "override"]
    again = await hub.send("POST", f"{STEER}/override", json={"retention": None})
    assert (again.status, len(await told(hub))) == (200, 2)


async def test_cluster_speaks_for_the_org_only_while_it_is_granted(any_hub: HubUnderTest) -> None:
    agent = await operator(any_hub)
    asked: dict[str, Any] = {"scope": "organization", "retention": {"max_age_hours": 4000}}
    assert (await agent.put(agent.owner(), **asked)).status == 403
    for _ in range(2):
        answer = await any_hub.send("PUT", f"{STEER}/grants/cl_1")
        assert answer.json == {"cluster_id": "cl_1", "may_write_org_settings": True}
    assert (await agent.put(agent.owner(), **asked)).status == 200
    rotated = await any_hub.send("POST", f"/api/orgs/{ORG}/clusters/cl_1/rotate-token")
    agent.token = rotated.json["token"]
    assert (await agent.put(agent.owner(), **asked)).status == 200, "the grant is the cluster's"
    assert (await any_hub.send("DELETE", f"{STEER}/grants/cl_1")).status == 200
    assert (await agent.put(agent.owner(), 2, **asked)).status == 403
    assert (await any_hub.send("PUT", f"{STEER}/grants/cl_none")).status == 404
    kinds = [row["kind"] for row in await told(any_hub)]
    assert kinds == ["grant", "owner", "grant"]
