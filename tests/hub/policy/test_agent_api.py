"""The operator's calls: one document an owner, nothing deleted early, nobody robbed of a key."""

from __future__ import annotations

import os
from typing import Any

import pytest
from radar_audit_hub.store.holds import expiry_of
from radar_audit_hub.store.purge import purge_step

from tests.support.hub_builder import ORG, HubUnderTest
from tests.support.log_rows import DAY_MS, make_event
from tests.support.policy_agents import HOUR_MS, Operator, collector_beat, operator, told

WEEK: dict[str, Any] = {"retention": {"max_age_hours": 168}}
KEY = "cluster/cl_1"


async def some_days(hub: HubUnderTest, *days: float, cluster_id: str = "cl_1") -> list[str]:
    """Store one terminal of a cluster for each age in days."""
    now_ms = hub.clock.now_ms
    return await hub.append(
        *(
            make_event(number, created_at_ms=now_ms - int(age * DAY_MS), cluster_id=cluster_id)
            for number, age in enumerate(days)
        )
    )


async def seen(hub: HubUnderTest) -> int:
    """Count the terminals that a reader of the log sees."""
    return len((await hub.get("?action=pod.*&limit=500")).json["events"])


async def purged(hub: HubUnderTest) -> int:
    """Delete what may be deleted now and return how many rows that were."""
    now_ms, total = hub.clock.now_ms, 0
    while True:
        rows = await purge_step(
            hub.hub.db,
            ORG,
            lambda conn: expiry_of(conn, ORG, now_ms),
            batch=100,
            now_ms=now_ms,
            salt=os.urandom(32),
        )
        total += rows
        if not rows:
            return total


async def test_shorter_age_waits_is_counted_and_then_takes_exactly_that(
    any_hub: HubUnderTest,
) -> None:
    agent = await operator(any_hub)
    await some_days(any_hub, 1, 5, 8, 30, 200)
    await some_days(any_hub, 8.5, 40, cluster_id="cl_2")
    answer = (await agent.put(agent.owner(), **WEEK)).json
    state = answer["retention"]
    assert (answer["result"], state["key"], state["state"]) == ("stored", KEY, "held")
    assert state["effective_hours"] == 365 * 24
    assert state["would_delete"] == 3
    pending = state["pending"]
    assert (pending["effective_hours"], pending["would_delete"]) == (168, 3)
    assert (await seen(any_hub), await purged(any_hub)) == (7, 0)
    any_hub.clock.now_ms += 24 * HOUR_MS - 1
    assert (await seen(any_hub), await purged(any_hub)) == (7, 0)
    any_hub.clock.now_ms += 1
    assert (await seen(any_hub), await purged(any_hub)) == (4, 3)
    keys = (await agent.settings())["keys"]
    assert keys[1] == {
        "key": KEY,
        "effective_hours": 168,
        "requested_hours": 168,
        "holder": keys[1]["holder"],
    }


async def test_going_back_within_the_delay_takes_nothing(hub: HubUnderTest) -> None:
    agent = await operator(hub)
    await some_days(hub, 1, 30)
    await agent.put(agent.owner(), **WEEK)
    hub.clock.now_ms += HOUR_MS
    answer = (await agent.put(agent.owner(), 2, retention={"max_age_hours": 8760})).json
    assert "pending" not in answer["retention"]
    hub.clock.now_ms += 48 * HOUR_MS
    assert (await seen(hub), await purged(hub)) == (2, 0)


async def test_dry_run_says_the_same_and_changes_nothing(any_hub: HubUnderTest) -> None:
    agent = await operator(any_hub)
    await some_days(any_hub, 1, 30, 60)
    tried = (await agent.put(agent.owner(), dry_run=True, **WEEK)).json
    assert tried["result"] == "dry_run"
    assert await told(any_hub) == []
    assert (await agent.heartbeat(agent.owner()))["drifted"] == [agent.owner()]
    stored = (await agent.put(agent.owner(), **WEEK)).json
    assert tried["retention"] == stored["retention"]
    any_hub.clock.now_ms += 24 * HOUR_MS
    assert await purged(any_hub) == tried["retention"]["would_delete"] == 2


async def test_the_same_document_again_changes_nothing_and_an_older_one_is_refused(
    hub: HubUnderTest,
) -> None:
    agent = await operator(hub)
    first = (await agent.put(agent.owner(), 2, **WEEK)).json
    again = (await agent.put(agent.owner(), 2, **WEEK)).json
    assert (first["result"], again["result"]) == ("stored", "unchanged")
    assert first["revision"] == again["revision"]
    stale = await agent.put(agent.owner(), 1, **WEEK)
    assert (stale.status, stale.json["code"]) == (409, "stale_generation")
    recreated = await agent.put(agent.owner(), 1, **WEEK, uid="uid-2")
    assert recreated.json["result"] == "stored"
    rows = await told(hub)
    assert [row["owner"] for row in rows] == [agent.owner()] * 2
    assert rows[0]["changes"]["retention.max_age_hours"] == [None, 168]


@pytest.mark.parametrize(
    ("asked", "status", "code"),
    [
        ({"retention": {"max_age_hours": 1}}, 422, "invalid_body"),
        ({"retention": {"max_age": 24}}, 422, "invalid_body"),
        (
            {"retention": {"holds": [{"name": "a", "reason": "x", "query": "nope:1"}]}},
            422,
            "invalid_query",
        ),
        (
            {
                "retention": {
                    "overrides": [{"name": "a", "actions": ["pod.x"], "max_age_hours": 48}]
                }
            },
            422,
            "unknown_action",
        ),
        ({"scope": "organization", **WEEK}, 403, "scope_missing"),
    ],
)
async def test_wrong_document_is_refused_with_a_code_and_changes_nothing(
    hub: HubUnderTest, asked: dict[str, Any], status: int, code: str
) -> None:
    agent = await operator(hub)
    answer = await agent.put(agent.owner(), **asked)
    assert (answer.status, answer.json["code"]) == (status, code)
    assert await told(hub) == []


async def test_token_writes_the_owners_of_its_own_cluster_only(hub: HubUnderTest) -> None:
    agent, other = await operator(hub), await operator(hub, "cl_2")
    for method in ("PUT", "DELETE"):
        path = f"/api/agent/owners/{other.owner()}"
        answer = await hub.send(method, path, token=agent.token, json={})
        assert (answer.status, answer.json["code"]) == (403, "foreign_owner")
    unscoped = await hub.add_cluster(ORG, "cl_3", ("ingest", "agent"))
    answer = await hub.get("/api/agent/settings", token=unscoped)
    assert answer.status == 403
    assert (await hub.get("/api/agent/settings")).status == 401
    for wrong in ("nonsense", "k8s:cl_1:A:b"):
        assert (await agent.put(wrong, **WEEK)).status == 404


async def test_second_policy_of_a_cluster_is_a_conflict_until_the_holder_goes(
    hub: HubUnderTest,
) -> None:
    agent = await operator(hub)
    first, second = agent.owner("b"), agent.owner("a")
    await agent.put(first, retention={"max_age_hours": 400})
    state = (await agent.put(second, **WEEK)).json["retention"]
    assert (state["state"], state["holder"]["owner_id"]) == ("conflict", first)
    assert (await agent.delete(first, uid="other")).status == 204
    assert (await agent.settings())["keys"][1]["holder"]["owner_id"] == first
    await agent.delete(first, uid="uid-1", policy="Revert")
    keys = (await agent.settings())["keys"]
    assert keys[1]["holder"]["owner_id"] == second
    assert keys[1]["pending"]["effective_hours"] == 168
    assert [row["kind"] for row in await told(hub)] == ["owner", "owner", "owner_released"]


async def test_org_key_moves_between_clusters_only_by_its_exact_holder(
    any_hub: HubUnderTest,
) -> None:
    one = await operator(any_hub, speaks_for_org=True)
    two = await operator(any_hub, "cl_2", speaks_for_org=True)
    asked: dict[str, Any] = {"scope": "organization", "retention": {"max_age_hours": 800}}
    assert (await one.put(one.owner(), **asked)).json["retention"]["state"] == "held"
    state = (await two.put(two.owner(), **asked)).json["retention"]
    assert (state["state"], state["holder"]["cluster_name"]) == ("owned_elsewhere", "prod")
    wrong = {**asked, "take_over_from": one.owner("other")}
    state = (await two.put(two.owner(), 2, **wrong)).json["retention"]
    assert (state["state"], state["takeover"]) == ("owned_elsewhere", "holder_differs")
    right = {**asked, "take_over_from": one.owner()}
    state = (await two.put(two.owner(), 3, **right)).json["retention"]
    assert (state["state"], state["takeover"]) == ("held", "taken")
    again = (await one.put(one.owner(), 2, **asked)).json["retention"]
    assert again["state"] == "owned_elsewhere", "the one that lost it does not take it back"


async def test_deletion_keeps_holds_and_waits_a_day(hub: HubUnderTest) -> None:
    agent = await operator(hub)
    await some_days(hub, 1, 30, 200)
    hold = {"name": "case", "reason": "Case 7", "query": "namespace:payments"}
    org = {"retention": {"max_age_hours": 24, "shrink_delay_hours": 0}}
    await hub.send("PUT", f"/api/orgs/{ORG}/audit/policy", json=org)
    asked: dict[str, Any] = {"retention": {"max_age_hours": 8760, "holds": [hold]}}
    await agent.put(agent.owner(), **asked)
    await agent.delete(agent.owner())
    shown = (await hub.get("policy")).json["owners"]
    kept = next(owner for owner in shown if owner["owner_id"] == agent.owner())
    assert (kept["is_detached"], kept["holds"]) == (True, ["case"])
    hub.clock.now_ms += 48 * HOUR_MS
    await purged(hub)  # takes the events of these changes, which are old by now
    assert await seen(hub) == 3, "the hold keeps all of them"
    released: dict[str, Any] = {"retention": {"holds": [{**hold, "released": True}]}}
    await agent.put(agent.owner(), 2, **released)
    assert (await seen(hub), await purged(hub)) == (0, 3)


async def test_hold_that_is_left_out_still_lasts(hub: HubUnderTest) -> None:
    agent = await operator(hub)
    hold = {"name": "case", "reason": "Case 7"}
    await agent.put(agent.owner(), retention={"max_age_hours": 24, "holds": [hold]})
    answer = await agent.put(agent.owner(), 2, retention={"max_age_hours": 24})
    assert answer.json["retention"]["has_holds"]
    await some_days(hub, 300)
    hub.clock.now_ms += 72 * HOUR_MS
    assert (await seen(hub), await purged(hub)) == (1, 0)


async def test_retained_settings_stay_without_their_object(hub: HubUnderTest) -> None:
    agent = await operator(hub)
    await agent.put(agent.owner(), retention={"max_age_hours": 400, "shrink_delay_hours": 0})
    assert (await agent.delete(agent.owner(), policy="Retain")).status == 204
    key = (await agent.settings())["keys"][1]
    assert (key["effective_hours"], key["holder"]["owner_id"]) == (400, agent.owner())
    answer = await agent.delete(agent.owner(), policy="Perhaps")
    assert (answer.status, answer.json["errors"][0]["field"]) == (400, "policy")


async def test_missing_owner_is_released_by_two_complete_lists_and_told_once(
    any_hub: HubUnderTest,
) -> None:
    agent = await operator(any_hub)
    names = [agent.owner(name) for name in ("a", "b", "c")]
    for name in names:
        await agent.put(name, **WEEK)
    assert "drifted" not in await agent.heartbeat(*names)
    await agent.heartbeat(*names[1:])
    any_hub.clock.now_ms += 11 * 60_000
    assert "released" not in await agent.heartbeat(*names[1:], complete=False)
    assert (await agent.heartbeat(*names[1:]))["released"] == [names[0]]
    assert "released" not in await agent.heartbeat(*names[1:])
    assert (await told(any_hub))[-1]["kind"] == "owner_released"


async def test_release_of_most_waits_for_an_owner_of_the_org(hub: HubUnderTest) -> None:
    agent = await operator(hub)
    names = [agent.owner(name) for name in ("a", "b", "c")]
    for name in names:
        await agent.put(name, **WEEK)
    path = f"/api/orgs/{ORG}/audit/settings/release/cl_1"
    assert (await hub.send("POST", path)).status == 404
    await agent.heartbeat(*names)
    assert (await hub.send("POST", path)).status == 409
    await agent.heartbeat(names[0])
    hub.clock.now_ms += 11 * 60_000
    answer = await agent.heartbeat(names[0])
    assert "released" not in answer
    assert (answer["release_blocked"]["missing"], answer["release_blocked"]["known"]) == (2, 3)
    assert (await hub.send("POST", path)).status == 200
    answer = await agent.heartbeat(names[0])
    assert answer["released"] == names[1:]
    assert "release_blocked" not in answer


async def test_settings_have_an_entity_tag(hub: HubUnderTest) -> None:
    agent = await operator(hub)
    first = await hub.get("/api/agent/settings", token=agent.token)
    headers = {"If-None-Match": first.headers["ETag"]}
    hub.clock.now_ms += 1000
    same = await hub.get("/api/agent/settings", token=agent.token, headers=headers)
    assert (same.status, same.body) == (304, b"")
    await agent.put(agent.owner(), **WEEK)
    other = await hub.get("/api/agent/settings", token=agent.token, headers=headers)
    assert other.status == 200


async def test_capture_settings_reach_the_collectors(hub: HubUnderTest) -> None:
    agent = await operator(hub)
    hub_owner = agent.owner("hub", "-")
    asked: dict[str, Any] = {"capture": {"attach": True, "failure_policy": "required"}}
    answer = (await agent.put(hub_owner, **asked)).json
    assert answer["capture"]["etag"]
    beat = await hub.send("POST", "/api/agent/heartbeat", token=agent.token, json=collector_beat())
    assert beat.json["capture"]["attach"] is True
    assert beat.json["capture"]["failure_policy"] == "required"
    assert beat.json["capture_etag"] == answer["capture"]["etag"]
    hub.clock.now_ms += 3600_000
    state = (await agent.settings())["capture"]
    assert state["is_required_held_back"]
    assert state["etag"] != answer["capture"]["etag"]
    refused = await agent.put(agent.owner(), capture={"attach": True})
    assert refused.json["errors"][0]["field"] == "capture"


async def test_secrets_are_kept_sealed_and_never_returned(
    any_hub: HubUnderTest, caplog: pytest.LogCaptureFixture
) -> None:
    agent = await operator(any_hub)
    slack = "https://127.0.0.1/services/canary-secret"  # where the hub refuses to connect to
    notifications: dict[str, Any] = {
        "destinations": [
            {"name": "sec", "slack": {"url": slack}},
            {"name": "hook", "webhook": {"url": "https://x.test/y"}},
        ],
        "rules": [{"name": "all", "destinations": ["sec"], "actions": ["pod.*"]}],
    }
    caplog.set_level("DEBUG")
    if any_hub.hub.sealer is None:  # PostgreSQL without the setting
        answer = await agent.put(agent.owner(), notifications=notifications)
        assert answer.status == 503
        assert "RADAR_AUDIT_HUB_SECRETS_KEY" in answer.json["detail"]
        return
    answer = await agent.put(agent.owner(), notifications=notifications)
    states = {d["name"]: d["state"] for d in answer.json["destinations"]}
    assert states == {"sec": "never_used", "hook": "no_secret"}
    del notifications["destinations"][0]["slack"]["url"]
    again = await agent.put(agent.owner(), 2, notifications=notifications)
    assert again.json["destinations"][0]["state"] == "never_used", "not sent again: it stays"
    everything = [answer.body, again.body, (await any_hub.get("policy")).body]
    everything.append((await any_hub.get("?limit=500")).body)
    assert not any(b"canary" in body for body in everything)
    assert "canary" not in caplog.text
    test = await any_hub.send(
        "POST", f"/api/agent/owners/{agent.owner()}/destinations/sec/test", token=agent.token
    )
    assert test.json["delivered"] is False
    assert b"canary" not in test.body
    missing = await any_hub.send(
        "POST", f"/api/agent/owners/{agent.owner()}/destinations/nope/test", token=agent.token
    )
    assert missing.status == 404


async def test_an_operator_of_another_org_sees_nothing_of_it(hub: HubUnderTest) -> None:
    agent = await operator(hub)
    await agent.put(agent.owner(), **WEEK)
    await hub.add_org("org_y")
    other = Operator(hub, "cl_9", await hub.add_cluster("org_y", "cl_9", ("audit-settings:write",)))
    settings = await other.settings()
    assert (settings["org_id"], settings["keys"][1]["key"]) == ("org_y", "cluster/cl_9")
    assert "holder" not in settings["keys"][1]
