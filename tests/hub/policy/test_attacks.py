"""What somebody with one key of the policy may not get at: evidence, other keys, silence."""

from __future__ import annotations

import json
from typing import Any

import pytest
from radar_audit_hub import changes
from radar_audit_hub.policy.job import end_overrides
from radar_audit_hub.store.control import Org, lock_org
from radar_audit_hub.store.database import Connection
from radar_audit_hub.store.schema import cluster_token, org_member
from sqlalchemy import update

from tests.support.hub_builder import ORG, HubUnderTest
from tests.support.policy_agents import AGENT_SCOPES, HOUR_MS, Operator, operator, told

POLICY = f"/api/orgs/{ORG}/audit/policy"
STEER = f"/api/orgs/{ORG}/audit/settings"
CEILING = 365 * 24
AT_ONCE: dict[str, Any] = {"max_age_hours": 8000, "shrink_delay_hours": 0}


async def org_hours(hub: HubUnderTest) -> int:
    return int((await hub.get(POLICY)).json["keys"][0]["effective_hours"])


async def hold_cases(hub: HubUnderTest, *cases: str, reason: str = "a case") -> int:
    """Hold what each query finds, as the org's owner; return the answer's status."""
    holds = [
        {"name": f"case-{number}", "reason": reason, "query": query}
        for number, query in enumerate(cases)
    ]
    return (await hub.send("PUT", POLICY, json={"retention": {"holds": holds}})).status


async def test_cluster_without_delay_does_not_hasten_the_orgs_shorter_age(
    hub: HubUnderTest,
) -> None:
    asked = {"max_age_hours": 24, "shrink_delay_hours": 168}
    await hub.send("PUT", POLICY, json={"retention": asked})
    agent = await operator(hub, "cl_2")
    await agent.put(agent.owner(), retention=AT_ONCE)
    assert await org_hours(hub) == CEILING
    hub.clock.now_ms += 168 * HOUR_MS - 1
    assert await org_hours(hub) == CEILING
    hub.clock.now_ms += 1
    assert await org_hours(hub) == 24


async def test_cluster_without_delay_does_not_hasten_the_end_of_an_override(
    hub: HubUnderTest,
) -> None:
    await hub.send("PUT", POLICY, json={"retention": AT_ONCE})
    await hub.send("POST", f"{STEER}/override", json={"retention": {"max_age_hours": CEILING}})
    agent = await operator(hub, "cl_2")
    hub.clock.now_ms += 24 * HOUR_MS
    await agent.put(agent.owner(), retention={"max_age_hours": 7000, "shrink_delay_hours": 0})
    assert await org_hours(hub) == CEILING
    hub.clock.now_ms += 24 * HOUR_MS
    assert await org_hours(hub) == 8000


async def test_claimant_that_does_not_hold_the_orgs_key_hastens_nothing(hub: HubUnderTest) -> None:
    holder = await operator(hub, "cl_1", speaks_for_org=True)
    rival = await operator(hub, "cl_2", speaks_for_org=True)
    waiting = {"max_age_hours": 24, "shrink_delay_hours": 168}
    await holder.put(holder.owner(), scope="organization", retention=waiting)
    await rival.put(rival.owner(), scope="organization", retention=AT_ONCE)
    assert await org_hours(hub) == CEILING


async def test_change_of_a_long_query_of_a_hold_is_told(hub: HubUnderTest) -> None:
    long = " ".join(f"namespace:the-namespace-{number}" for number in range(6))
    assert await hold_cases(hub, long) == 200
    assert await hold_cases(hub, f"{long} pod:nothing") == 200
    last = (await told(hub))[-1]["changes"]["retention.holds.case-0.query"]
    assert last[0] != last[1]
    assert all(len(text) <= 100 for text in last)


async def test_another_address_of_a_destination_is_told_without_it(hub: HubUnderTest) -> None:
    agent = await operator(hub)
    for generation, address in ((1, "ops@acme.com"), (2, "thief@evil.example")):
        target = {"name": "ops", "email": {"to": [address]}}
        await agent.put(agent.owner(), generation, notifications={"destinations": [target]})
    last = (await told(hub))[-1]
    assert last["changes"] == {"notifications.destinations.ops.email.to": [1, 1]}


async def test_change_of_everything_fits_into_its_event(hub: HubUnderTest) -> None:
    asked = ["action:pod.*"] * 16
    assert await hold_cases(hub, *asked, reason="\N{OGHAM LETTER BEITH}" * 256) == 200
    assert await hold_cases(hub, *asked, reason="\N{OGHAM LETTER LUIS}" * 256) == 200
    assert len(await told(hub)) == 2


async def test_override_tells_what_it_asks_for(hub: HubUnderTest) -> None:
    asked = {"max_age_hours": 48, "shrink_delay_hours": 0}
    await hub.send("POST", f"{STEER}/override", json={"retention": asked})
    changes = (await told(hub))[-1]["changes"]
    assert changes["retention.max_age_hours"] == [None, 48]
    assert changes["retention.shrink_delay_hours"] == [None, 0]


async def test_override_whose_day_is_over_is_not_forgotten_half_ended(hub: HubUnderTest) -> None:
    asked = {"max_age_hours": 48, "shrink_delay_hours": 0}
    await hub.send("POST", f"{STEER}/override", json={"retention": asked})
    hub.clock.now_ms += 24 * HOUR_MS
    await hub.send("POST", f"{STEER}/override", json={"retention": None})
    assert await end_overrides(hub.hub) == 1
    assert await org_hours(hub) == CEILING


async def test_heartbeat_tells_nothing_of_another_clusters_owners(hub: HubUnderTest) -> None:
    one, two = await operator(hub), await operator(hub, "cl_2")
    await one.put(one.owner(), retention={"max_age_hours": 8000})
    await hub.send("PUT", POLICY, json={"retention": {"max_age_hours": 7000}})
    assert len(await states(one, one.owner())) == 1
    assert await states(two, one.owner(), "org") == []


async def states(agent: Operator, *owner_ids: str) -> list[Any]:
    answer = await agent.heartbeat(*owner_ids)
    return list(answer.get("states", []))


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "grants"), ("DELETE", "grants"), ("POST", "release")]
)
async def test_cluster_that_no_database_could_hold_is_not_there(
    any_hub: HubUnderTest, method: str, path: str
) -> None:
    assert (await any_hub.send(method, f"{STEER}/{path}/cl_%00")).status == 404


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", POLICY, {"retention": AT_ONCE}),
        ("POST", f"{STEER}/override", {"retention": {"max_age_hours": 48}}),
        ("POST", f"{STEER}/takeover", {"owner_id": "x", "holder_id": "y"}),
        ("PUT", f"{STEER}/grants/cl_1", None),
        ("POST", f"{STEER}/release/cl_1", None),
    ],
)
async def test_owner_who_is_demoted_meanwhile_changes_nothing(
    hub: HubUnderTest, monkeypatch: pytest.MonkeyPatch, method: str, path: str, body: Any
) -> None:
    await operator(hub)

    async def demoted_first(conn: Connection, org_id: str) -> Org | None:
        await conn.execute(update(org_member).values(role="viewer"))
        return await lock_org(conn, org_id)

    monkeypatch.setattr(changes, "lock_org", demoted_first)
    answer = await hub.send(method, path, json=body)
    assert answer.status == 403
    monkeypatch.undo()
    async with hub.hub.db.write() as conn:  # so that the log can be read again
        await conn.execute(update(org_member).values(role="owner"))
    assert await told(hub) == []


@pytest.mark.parametrize("how", ["deleted", "ungranted"])
async def test_cluster_that_may_no_longer_speak_while_its_body_arrives_is_refused(
    hub: HubUnderTest, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    agent = await operator(hub, speaks_for_org=True)

    async def ended_first(conn: Connection, org_id: str) -> Org | None:
        values = {"revoked_at": 1} if how == "deleted" else {"scopes": json.dumps(AGENT_SCOPES)}
        await conn.execute(update(cluster_token).values(**values))
        return await lock_org(conn, org_id)

    monkeypatch.setattr(changes, "lock_org", ended_first)
    answer = await agent.put(agent.owner(), scope="organization", retention=AT_ONCE)
    assert answer.status == (401 if how == "deleted" else 403)
    assert await told(hub) == []


async def test_documents_of_an_org_are_bounded_together(
    hub: HubUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("radar_audit_hub.policy.agent.MAX_ORG_CHARS", 1000)
    one, two = await operator(hub), await operator(hub, "cl_2")
    long = {"holds": [{"name": "case", "reason": "x" * 250, "query": "pod:" + "y" * 250}]}
    assert (await one.put(one.owner(), retention=long)).status == 200
    refused = await two.put(two.owner(), retention=long)
    assert (refused.status, refused.json["code"]) == (409, "too_many_owners")
    shorter = {"holds": [{**long["holds"][0], "reason": "x"}]}
    assert (await one.put(one.owner(), 2, retention=shorter)).status == 200


async def test_hash_that_no_database_could_hold_is_refused(any_hub: HubUnderTest) -> None:
    agent = await operator(any_hub)
    answer = await agent.put(agent.owner(), spec_hash="a\0b")
    assert (answer.status, answer.json["errors"][0]["field"]) == (422, "spec_hash")


async def test_refused_grants_and_releases_are_told_of(any_hub: HubUnderTest) -> None:
    agent = await operator(any_hub)
    member = await any_hub.add_person(role="member")
    attempts = {
        "cluster.grant_org_settings": ("PUT", f"{STEER}/grants/{agent.cluster_id}"),
        "cluster.release_policies": ("POST", f"{STEER}/release/{agent.cluster_id}"),
    }
    for attempted, (method, path) in attempts.items():
        assert (await any_hub.send(method, path, token=member)).status == 403
        (row,) = (await any_hub.get(f"?action=cluster.action_denied&q={attempted}")).json["events"]
        told_of = (row["target_id"], row["metadata"]["role"], row["metadata"]["required_role"])
        assert told_of == (agent.cluster_id, "member", "owner")
