"""Destinations through the API: what may be changed, tested, read and replayed, and by whom."""

from __future__ import annotations

from typing import Any

import pytest
from radar_audit_hub.store.notify_attempts import disable

from tests.support.hub_builder import ORG, Answer, HubUnderTest
from tests.support.notify_world import SECRET, NotifyWorld, webhook
from tests.support.policy_agents import operator, told
from tests.support.receivers import Receiver, Reply

PATH = f"/api/orgs/{ORG}/destinations"
SLACK = "https://hooks.slack.test/services/T0/B0/canary"


async def made(hub: HubUnderTest, **asked: Any) -> Answer:
    return await hub.send("POST", PATH, json={"name": "ops", **asked})


async def test_secret_of_one_kind_is_none_of_another(hub: HubUnderTest) -> None:
    one = f"{PATH}/{(await made(hub, slack={'url': SLACK})).json['id']}"
    moved = await hub.send("PATCH", one, json={"teams": {}})
    assert (moved.json["kind"], moved.json["has_secret"]) == ("teams", False)


async def test_audit_policy_changed_row_is_written_for_each_change(hub: HubUnderTest) -> None:
    first = await made(hub, slack={"url": SLACK}, min_severity="warning")
    assert first.status == 201
    assert (first.json["kind"], first.json["has_secret"]) == ("slack", True)
    assert first.json["settings"] == {"name": "ops", "slack": {}, "min_severity": "warning"}
    one = f"{PATH}/{first.json['id']}"
    muted = await hub.send("PATCH", one, json={"muted_until": "2027-01-01T00:00:00Z"})
    assert muted.json["settings"]["muted_until"] == "2027-01-01T00:00:00Z"
    moved = await hub.send("PATCH", one, json={"email": {"to": ["a@acme.com"]}})
    assert (moved.json["kind"], moved.json["id"]) == ("email", first.json["id"])
    assert (await hub.get(one)).json == moved.json
    assert (await hub.send("DELETE", one)).status == 204
    assert (await hub.get(one)).status == 404
    changes = [event["changes"] for event in await told(hub)]
    at = "notifications.destinations.ops"
    assert changes[0] == {
        at: [None, True],
        f"{at}.min_severity": [None, "warning"],
        f"{at}.secret": [None, "changed"],
        f"{at}.slack": [None, True],
        "scope": [None, "organization"],
    }
    assert changes[1] == {f"{at}.muted_until": [None, "2027-01-01T00:00:00Z"]}
    assert changes[2] == {
        f"{at}.email.to": [None, 1],
        f"{at}.secret": ["set", None],
        f"{at}.slack": [True, None],
    }
    assert changes[3][at] == [True, None]
    everything = [first.body, muted.body, moved.body, (await hub.get("?limit=500")).body]
    assert not any(b"canary" in body for body in everything)


async def test_rest_of_the_orgs_document_stays_as_it_is(hub: HubUnderTest) -> None:
    rules = [{"name": "all", "destinations": ["chat"], "actions": ["pod.*"]}]
    chat = {"name": "chat", "slack": {"url": SLACK}}
    asked = {
        "retention": {"max_age_hours": 720},
        "notifications": {"destinations": [chat], "rules": rules},
    }
    await hub.send("PUT", f"/api/orgs/{ORG}/audit/policy", json=asked)
    added = await made(hub, email={"to": ["a@acme.com"]})
    policy = (await hub.get("policy")).json["policy"]
    assert policy["retention"]["max_age_hours"] == 720
    assert [one["name"] for one in policy["notifications"]["destinations"]] == ["chat", "ops"]
    assert policy["notifications"]["rules"] == rules
    listed = (await hub.get(PATH)).json["destinations"]
    assert {one["name"]: one["state"] for one in listed} == {
        "chat": "never_used",
        "ops": "never_used",
    }
    in_use = await hub.send("DELETE", f"{PATH}/{listed[0]['id']}")
    assert in_use.status == 409
    assert "all" in in_use.json["detail"]
    assert (await hub.send("DELETE", f"{PATH}/{added.json['id']}")).status == 204


@pytest.mark.parametrize(
    ("asked", "status", "field"),
    [
        ({}, 422, "body"),
        ({"slack": {"url": "http://x.test"}}, 422, "slack.url"),
        ({"slack": {"url": SLACK}, "email": {"to": ["a@acme.com"]}}, 422, "body"),
        ({"slack": {"url": SLACK}, "name": "Ops"}, 422, "name"),
        ({"webhook": {"url": "https://x.test", "signing_secret": "canary"}}, 422, None),
        ({"pagerduty": {"routing_key": "canary"}}, 422, "pagerduty.routing_key"),
        ({"email": {"to": ["a@acme.com"]}, "muted_until": "soon"}, 422, "muted_until"),
        ({"email": {"to": ["a@acme.com"]}, "name": "taken"}, 409, None),
    ],
)
async def test_mistake_names_the_field_and_repeats_no_secret(
    hub: HubUnderTest, asked: dict[str, Any], status: int, field: str | None
) -> None:
    await made(hub, name="taken", email={"to": ["a@acme.com"]})
    answer = await made(hub, **asked)
    assert answer.status == status
    if field is not None:
        assert [error["field"] for error in answer.json["errors"]] == [field]
    assert b"canary" not in answer.body


async def test_seventeenth_destination_is_refused_with_what_to_do(hub: HubUnderTest) -> None:
    for number in range(16):
        answer = await made(hub, name=f"d{number}", email={"to": ["a@acme.com"]})
        assert answer.status == 201
    last = await made(hub, name="d16", email={"to": ["a@acme.com"]})
    assert (last.status, "delete one first" in last.json["detail"]) == (409, True)
    page = await hub.get(f"{PATH}?limit=10")
    rest = await hub.get(PATH, params={"limit": "10", "cursor": page.json["next_cursor"]})
    names = [one["name"] for one in (*page.json["destinations"], *rest.json["destinations"])]
    assert sorted(names) == sorted(f"d{number}" for number in range(16))
    assert rest.json["next_cursor"] is None


async def test_destination_of_a_policy_is_shown_but_changed_in_its_cluster(
    hub: HubUnderTest,
) -> None:
    mine = await operator(hub)
    mail = {"name": "ops", "email": {"to": ["a@acme.com"]}}
    await mine.put(mine.owner(), 1, notifications={"destinations": [mail]})
    (shown,) = (await hub.get(PATH)).json["destinations"]
    assert (shown["owner_id"], shown["is_editable"]) == (mine.owner(), False)
    for method, json in (("PATCH", {"min_severity": "info"}), ("DELETE", None)):
        answer = await hub.send(method, f"{PATH}/{shown['id']}", json=json)
        assert answer.status == 409
        assert mine.owner() in answer.json["detail"]
    tried = await hub.send("POST", f"{PATH}/{shown['id']}/test")
    assert tried.status == 200, "it is tried, and this hub has no mail server"
    assert "RADAR_AUDIT_HUB_SMTP_HOST" in tried.json["error"]


async def test_destination_of_another_org_is_none(hub: HubUnderTest) -> None:
    one = (await made(hub, email={"to": ["a@acme.com"]})).json["id"]
    await hub.add_org("org_y")
    theirs = await hub.add_person("org_y")
    for path in (f"/api/orgs/org_y/destinations/{one}", f"{PATH}/{one}"):
        assert (await hub.get(path, token=theirs)).status == 404


async def test_disabled_destination_is_enabled_once_and_told(hub: HubUnderTest) -> None:
    one = (await made(hub, email={"to": ["a@acme.com"]})).json["id"]
    async with hub.hub.db.write() as conn:
        await disable(conn, ORG, one, "the receiver wants no more (410)", hub.clock.now_ms)
    shown = (await hub.get(f"{PATH}/{one}")).json
    assert (shown["state"], shown["disabled_reason"]) == (
        "disabled",
        "the receiver wants no more (410)",
    )
    for _ in range(2):
        answer = await hub.send("POST", f"{PATH}/{one}/enable")
        assert (answer.status, answer.json["state"]) == (200, "never_used")
    kinds = [event["kind"] for event in await told(hub)]
    assert kinds.count("destination_enabled") == 1


class TestDeliveries:
    async def test_test_arrives_and_the_next_has_to_wait(
        self, world: NotifyWorld, inbox: Receiver
    ) -> None:
        hub = world.under_test
        await world.set_destinations([webhook("siem", inbox.url)])
        one = f"{PATH}/{(await world.destination('siem')).id}"
        answer = await hub.send("POST", f"{one}/test")
        assert answer.json == {
            "delivered": True,
            "latency_ms": answer.json["latency_ms"],
            "receiver_status": 200,
        }
        soon = await hub.send("POST", f"{one}/test")
        assert (soon.status, soon.headers["Retry-After"]) == (429, "10")
        hub.clock.now_ms += 10_001
        inbox.replies.append(Reply(500))
        later = await hub.send("POST", f"{one}/test")
        assert (later.json["delivered"], later.json["receiver_status"]) == (False, 500)
        assert len(inbox.got) == 2

    async def test_log_shows_messages_with_their_attempts_and_no_secret(
        self, world: NotifyWorld, inbox: Receiver
    ) -> None:
        hub = world.under_test
        await world.set_destinations([webhook("siem", inbox.url)])
        one = f"{PATH}/{(await world.destination('siem')).id}"
        inbox.replies.append(Reply(500))
        (failing,) = await world.put("siem")
        await world.deliver()
        hub.clock.now_ms += 1000
        await world.put("siem", 3)
        await world.deliver(1000)
        page = (await hub.get(f"{one}/deliveries?limit=2")).json
        rest = (await hub.get(f"{one}/deliveries?limit=2&cursor={page['next_cursor']}")).json
        seen = [*page["deliveries"], *rest["deliveries"]]
        assert [each["state"] for each in seen] == ["delivered"] * 3 + ["pending"]
        assert (seen[-1]["id"], rest["next_cursor"]) == (failing, None)
        assert [a["outcome"] for a in seen[-1]["attempts"]] == ["retry"]
        waiting = (await hub.get(f"{one}/deliveries?state=pending&state=failed")).json
        assert [each["id"] for each in waiting["deliveries"]] == [failing]
        whole = await hub.get(f"{one}/deliveries/{failing}")
        assert whole.json["content"]["events"][0]["action"] == "pod.exec_started"
        assert whole.json["attempts"][0]["response"]["status"] == 500
        assert "webhook-id" in whole.json["attempts"][0]["request"]["headers"]
        assert SECRET.encode() not in whole.body
        state = (await hub.get(one)).json
        assert (state["state"], state["pending"]) == ("delivering", 1)

    async def test_replay_is_the_same_message_to_its_receiver(
        self, world: NotifyWorld, inbox: Receiver
    ) -> None:
        hub = world.under_test
        await world.set_destinations([webhook("siem", inbox.url)])
        one = f"{PATH}/{(await world.destination('siem')).id}"
        sent = await world.put("siem", 3)
        await world.deliver()
        began = "2026-01-01T00:00:00Z"
        again = await hub.send("POST", f"{one}/replay", json={"message_id": sent[0]})
        assert again.json == {"replayed": 1}
        none = await hub.send("POST", f"{one}/replay", json={"from": began})
        assert none.json == {"replayed": 0}, "all were delivered, and those were not asked for"
        every = {"from": began, "state": "delivered"}
        assert (await hub.send("POST", f"{one}/replay", json=every)).json == {"replayed": 3}
        await world.deliver(1000)
        assert sorted(inbox.ids) == sorted([*sent, *sent, sent[0]])
        kinds = [event["kind"] for event in await told(hub)]
        assert kinds.count("destination_replayed") == 2

    @pytest.mark.parametrize(
        "order",
        [
            {},
            {"message_id": "msg_x", "from": "2026-01-01T00:00:00Z"},
            {"from": "yesterday"},
            {"from": "2026-01-01T00:00:00Z", "state": "pending"},
        ],
    )
    async def test_order_of_a_replay_is_one_message_or_a_range(
        self, world: NotifyWorld, inbox: Receiver, order: dict[str, str]
    ) -> None:
        await world.set_destinations([webhook("siem", inbox.url)])
        one = f"{PATH}/{(await world.destination('siem')).id}"
        answer = await world.under_test.send("POST", f"{one}/replay", json=order)
        assert answer.status == 422

    async def test_operator_s_test_really_sends_and_only_to_its_own(
        self, world: NotifyWorld, inbox: Receiver
    ) -> None:
        hub = world.under_test
        mine, other = await operator(hub), await operator(hub, "cl_2")
        target = {"name": "siem", "webhook": {"url": inbox.url, "signing_secret": SECRET}}
        await mine.put(mine.owner(), 1, notifications={"destinations": [target]})
        path = f"/api/agent/owners/{mine.owner()}/destinations/siem/test"
        assert (await hub.send("POST", path, token=other.token)).status == 403
        assert (await hub.send("POST", path, token=mine.token)).json["delivered"] is True
        assert (await hub.send("POST", path, token=mine.token)).status == 429
        assert len(inbox.got) == 1
        (state,) = (await mine.heartbeat(mine.owner()))["states"][0]["destinations"]
        assert state["state"] == "delivering"
        assert "pending" not in state
