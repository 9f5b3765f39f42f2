"""Another control plane records its actions: what is taken, what is not, and nothing twice."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from radar_audit_events.actions import ACTIONS
from radar_audit_events.ids import format_ms
from radar_audit_hub.external import handlers
from radar_audit_hub.external.rules import ALLOWED
from radar_audit_hub.store.log import append

from tests.support.browsers import signed_in
from tests.support.hub_builder import ORG, Answer, HubUnderTest
from tests.support.log_rows import NOW_MS

PATH = f"/api/orgs/{ORG}/audit/events"
DAY_MS = 86_400_000


def an_event(key: str = "k-1", **changes: Any) -> dict[str, Any]:
    return {
        "key": key,
        "action": "cluster.deleted",
        "target_id": "cl_old",
        "created_at": format_ms(NOW_MS - 1000),
        "actor": "P1@acme.com",
        "metadata": {"name": "old"},
    } | changes


async def send(hub: HubUnderTest, *events: Any, token: str = "") -> Answer:
    return await hub.send("POST", PATH, token=token, json={"events": list(events)})


async def results(hub: HubUnderTest, *events: Any, token: str = "") -> list[dict[str, Any]]:
    answer = await send(hub, *events, token=token)
    assert answer.status == 200, answer.body
    found: list[dict[str, Any]] = answer.json["results"]
    return found


async def rows(hub: HubUnderTest) -> list[dict[str, Any]]:
    page = (await hub.get("?limit=500")).json
    return sorted(page["events"], key=lambda event: int(event["seq"]))


async def test_recorded_action_is_a_row_like_any_other(any_hub: HubUnderTest) -> None:
    created = {"action": "org.created", "target_id": ORG, "metadata": {"name": "X"}, "actor": None}
    by_id = {"actor": "user_1", "action": "auth.signin", "target_id": "user_1"}
    accepted = await results(
        any_hub,
        an_event(),
        an_event("k-2", **created),
        an_event("k-3", **by_id, metadata={"method": "oidc"}),
    )
    assert [result["result"] for result in accepted] == ["accepted"] * 3
    found = await rows(any_hub)
    assert [row["id"] for row in found] == [result["id"] for result in accepted]
    assert found[0] == {
        "id": accepted[0]["id"],
        "org_id": ORG,
        "actor_user_id": "user_1",
        "actor_email": "p1@acme.com",
        "action": "cluster.deleted",
        "target_type": "cluster",
        "target_id": "cl_old",
        "metadata": {"name": "old", "via_pat": "token 1"},
        "created_at": format_ms(NOW_MS - 1000),
        "seq": 0,
    }
    assert (found[1]["actor_user_id"], found[1]["actor_email"]) == (None, None)
    assert found[2]["actor_email"] == "p1@acme.com"


async def test_retry_makes_no_double_also_with_another_token(any_hub: HubUnderTest) -> None:
    first = await results(any_hub, an_event(), an_event("k-2"), an_event())
    assert [result["result"] for result in first] == ["accepted", "accepted", "duplicate"]
    other = await any_hub.add_person(scopes=["audit:write"])
    answers = await asyncio.gather(
        *(results(any_hub, an_event(), an_event("k-3"), token=other) for _ in range(4))
    )
    fates = [[result["result"] for result in answer] for answer in answers]
    assert sorted(fates) == [["duplicate", "accepted"]] + [["duplicate", "duplicate"]] * 3
    assert {answer[0]["id"] for answer in answers} == {first[0]["id"]}
    assert len(await rows(any_hub)) == 3


OTHERS: list[dict[str, Any]] = [
    {"metadata": {"name": "other"}},
    {"target_id": "cl_other"},
    {"created_at": format_ms(NOW_MS - 2000)},
    {"actor": None},
    {"action": "cluster.created", "metadata": {"name": "old", "environment": "e"}},
]


async def test_key_stands_for_one_event(hub: HubUnderTest) -> None:
    others = [an_event(**changes) for changes in OTHERS]
    first, *inside = await results(hub, an_event(), *others)
    later = await results(hub, *others)
    assert first["result"] == "accepted"
    assert [one.get("code") for one in [*inside, *later]] == ["key_reused"] * 2 * len(OTHERS)
    assert len(await rows(hub)) == 1


async def test_actions_of_hub_and_collectors_cannot_be_recorded(hub: HubUnderTest) -> None:
    refused = sorted(set(ACTIONS) - set(ALLOWED))
    for result in await results(hub, *(an_event(action=action) for action in refused)):
        assert (result["result"], result["errors"][0]["field"]) == ("rejected", "action")
    assert await rows(hub) == []


def test_terminals_and_the_logs_own_actions_are_among_those() -> None:
    assert {"pod.exec_started", "pod.exec_ended", "audit.retention_pruned"}.isdisjoint(ALLOWED)
    assert len(ALLOWED) > 20


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"key": ""}, "key"),
    ({"key": "k" * 129}, "key"),
    ({"key": "a b"}, "key"),
    ({"action": "cluster.deletd"}, "action"),
    ({"target_id": "prod"}, "target_id"),
    ({"action": "org.created", "target_id": "org_y"}, "target_id"),
    ({"action": "auth.signin", "target_id": "x", "metadata": {"method": "m"}}, "target_id"),
    ({"action": "pat.revoked", "target_id": "p"}, "target_id"),
    ({"created_at": "yesterday"}, "created_at"),
    ({"actor": "nobody@acme.com"}, "actor"),
    ({"actor": ""}, "actor"),
    ({"actor": "a\x00"}, "actor"),
    ({"actor": "x" * 400}, "actor"),
    ({"metadata": {"name": 7}}, "metadata.name"),
    ({"metadata": {}}, "metadata.name"),
    ({"metadata": {"name": "x", "nam": "y"}}, "metadata.nam"),
    ({"metadata": {"name": "x", "via_pat": "other"}}, "metadata.via_pat"),
    ({"metadata": {"name": "x" * 70_000}}, "event"),
    ({"target": "x"}, "target"),
    ({"key": None}, "key"),
]


async def test_wrong_event_is_rejected_by_field_and_spoils_no_other(hub: HubUnderTest) -> None:
    sent = [an_event(**changes) for changes, _ in WRONG]
    *wrong, right = await results(hub, *sent, an_event("right"))
    for (changes, field), result in zip(WRONG, wrong, strict=True):
        assert (result["result"], result["code"]) == ("rejected", "invalid_event"), changes
        assert field in [error["field"] for error in result["errors"]], changes
    assert right["result"] == "accepted"
    assert len(await rows(hub)) == 1


async def test_all_wrong_fields_of_an_event_are_named_at_once(hub: HubUnderTest) -> None:
    (result,) = await results(hub, an_event(key="", target_id="x", actor="y", metadata={}))
    fields = [error["field"] for error in result["errors"]]
    assert fields == ["key", "target_id", "actor", "metadata.name"]


async def test_foreign_people_are_no_actors(hub: HubUnderTest) -> None:
    await hub.add_org("org_y")
    await hub.add_person("org_y")
    for actor in ("user_2", "p2@acme.com"):
        (result,) = await results(hub, an_event(actor=actor))
        assert result["errors"][0]["field"] == "actor"


async def test_time_must_lie_between_retention_and_skew(any_hub: HubUnderTest) -> None:
    answers = await results(
        any_hub,
        an_event("a", created_at=format_ms(NOW_MS + 5 * 60_000)),
        an_event("b", created_at=format_ms(NOW_MS + 5 * 60_000 + 1)),
        an_event("c", created_at=format_ms(NOW_MS - 365 * DAY_MS)),
        an_event("d", created_at=format_ms(NOW_MS - 365 * DAY_MS - 1)),
    )
    assert [(one["result"], one.get("code")) for one in answers] == [
        ("accepted", None),
        ("rejected", "clock_skew"),
        ("accepted", None),
        ("expired", None),
    ]
    assert len(await rows(any_hub)) == 2


async def test_wrong_envelope_is_refused_whole(hub: HubUnderTest) -> None:
    far_too_many_values = {"events": [an_event()] * 2 + [[0] * 150_000]}
    bodies: list[Any] = [{"events": []}, {"event": []}, {"events": [{}] * 501}, []]
    for body in [*bodies, far_too_many_values]:
        assert (await hub.send("POST", PATH, json=body)).status == 422
    assert await rows(hub) == []


async def test_only_an_owners_token_with_the_scope_records(hub: HubUnderTest) -> None:
    for role in ("auditor", "member", "viewer"):
        refused = await send(hub, an_event(), token=await hub.add_person(role=role))
        assert (refused.status, refused.json["required_role"]) == (403, "owner")
    narrow = await hub.add_person(scopes=["audit:read"])
    refused = await send(hub, an_event(), token=narrow)
    assert (refused.status, refused.json["required_scope"]) == (403, "audit:write")
    assert (await send(hub, an_event(), token=await hub.add_cluster())).status == 401
    browser = await signed_in(hub)
    refused = await browser.send(hub, "POST", PATH, json={"events": [an_event()]})
    assert (refused.status, "not a session" in refused.json["detail"]) == (403, True)
    assert await rows(hub) == []


async def test_fault_while_writing_leaves_nothing(
    any_hub: HubUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:

    async def away_after(*args: Any) -> list[int]:
        await append(*args)
        raise ConnectionError

    with monkeypatch.context() as broken:
        broken.setattr(handlers, "append", away_after)
        assert (await send(any_hub, an_event())).status == 503
    assert await rows(any_hub) == []
    assert (await results(any_hub, an_event()))[0]["result"] == "accepted"


async def test_full_call_is_taken(any_hub: HubUnderTest) -> None:
    answers = await results(any_hub, *(an_event(f"k-{number}") for number in range(500)))
    assert {one["result"] for one in answers} == {"accepted"}
    assert len(await rows(any_hub)) == 500
