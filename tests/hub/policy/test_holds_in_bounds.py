"""How far legal holds reach, and how many there may be: reading the log has to bear them all."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.hub_builder import ORG, HubUnderTest
from tests.support.log_rows import DAY_MS, make_event
from tests.support.policy_agents import operator, told

READS = ("?limit=10", "?format=csv", "facets", "follow?wait=0", "?q=namespace:pay")
HOLDS, OWNERS = 16, 20


async def test_hold_of_a_cluster_keeps_its_own_events_only(any_hub: HubUnderTest) -> None:
    one = await operator(any_hub, speaks_for_org=True)
    old_ms = any_hub.clock.now_ms - 400 * DAY_MS
    await any_hub.append(
        *(
            make_event(number, created_at_ms=old_ms, cluster_id=cluster_id)
            for number, cluster_id in enumerate(("cl_1", "cl_2"))
        )
    )

    async def kept() -> int:
        return len((await any_hub.get("?action=pod.*")).json["events"])

    everything = {"holds": [{"name": "all", "reason": "Case 7"}]}
    assert await kept() == 0
    await one.put(one.owner(), retention=everything)
    assert await kept() == 1
    await one.put(one.owner(), 2, scope="organization", retention=everything)
    assert await kept() == 2


async def test_query_of_a_hold_leaves_room_for_its_cluster(hub: HubUnderTest) -> None:
    agent = await operator(hub, speaks_for_org=True)
    full = {"holds": [{"name": "all", "reason": "r", "query": " ".join(["-a"] * 50)}]}
    assert (await agent.put(agent.owner(), retention=full)).status == 422
    whole = await agent.put(agent.owner(), scope="organization", retention=full)
    assert whole.status == 200


@pytest.mark.parametrize(
    "query",
    [
        lambda owner, hold: f"pod:p-{owner}-{hold}",
        lambda owner, hold: " ".join(f"{chr(97 + n % 26)}{owner}{hold}{n}" for n in range(49)),
        lambda owner, hold: "pod:" + ",".join(f"{owner}x{hold}x{n}*" for n in range(45)),
    ],
    ids=["many", "words", "values"],
)
async def test_as_many_holds_as_there_may_be_can_be_read(
    any_hub: HubUnderTest, query: Callable[[int, int], str]
) -> None:
    agent = await operator(any_hub)
    before = None
    for owner in range(OWNERS):
        holds = [
            {"name": f"h{hold}", "reason": "r", "query": query(owner, hold)}
            for hold in range(HOLDS)
        ]
        answer = await agent.put(agent.owner(f"o{owner}"), retention={"holds": holds})
        if answer.status != 200:
            break
        before = owner
    assert (answer.status, answer.json["errors"][0]["field"]) == (422, "retention.holds")
    assert len(await told(any_hub)) == (0 if before is None else before + 1)
    for path in READS:
        assert (await any_hub.get(path)).status == 200
    if before is not None:
        released = {"holds": [{"name": "h0", "reason": "r", "released": True}]}
        again = await agent.put(agent.owner("o0"), 2, retention=released)
        assert again.status == 200


async def test_holds_of_clusters_leave_room_for_those_of_the_organization(
    hub: HubUnderTest,
) -> None:
    agent = await operator(hub)
    for owner in range(OWNERS):
        holds = [
            {"name": f"h{hold}", "reason": "r", "query": f"pod:p{owner}-{hold}"}
            for hold in range(HOLDS)
        ]
        answer = await agent.put(agent.owner(f"o{owner}"), retention={"holds": holds})
        if answer.status != 200:
            break
    assert (answer.status, "of all clusters" in answer.json["detail"]) == (422, True)
    body = {"retention": {"holds": [{"name": "all", "reason": "Case 7"}]}}
    assert (await hub.send("PUT", f"/api/orgs/{ORG}/audit/policy", json=body)).status == 200


async def test_org_may_be_held_by_one_word_whatever_else_is(hub: HubUnderTest) -> None:
    body = {"retention": {"holds": [{"name": "all", "reason": "Case 7", "query": "payments"}]}}
    assert (await hub.send("PUT", f"/api/orgs/{ORG}/audit/policy", json=body)).status == 200
