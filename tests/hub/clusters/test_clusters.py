"""Clusters over HTTP: connect, change, remove, new token, and what each leaves in the log."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from radar_audit_events.ids import format_ms
from radar_audit_hub import changes
from radar_audit_hub.store.schema_billing import subscription
from sqlalchemy import insert, text, update

from tests.support.hub_builder import ORG, Answer, HubUnderTest, running_hub
from tests.support.log_rows import NOW_MS

CLUSTERS = f"/api/orgs/{ORG}/clusters"
NEVER: dict[str, Any] = {
    "status": "never",
    "last_seen_at": None,
    "collectors_total": 0,
    "collectors": [],
}


async def make(hub: HubUnderTest, token: str = "", **body: Any) -> Answer:
    given = {"name": "prod", "environment": "production"} | body
    return await hub.send("POST", CLUSTERS, token=token, json=given)


async def made(hub: HubUnderTest, **body: Any) -> dict[str, Any]:
    answer = await make(hub, **body)
    assert answer.status == 201, answer.body
    found: dict[str, Any] = answer.json
    return found


async def rows(hub: HubUnderTest, action: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await hub.get("")).json["events"]
    return [event for event in found if event["action"] == action]


async def ingests(hub: HubUnderTest, token: str) -> int:
    body = {"collector_id": "c", "batch_id": "b", "events": [{}]}
    return (await hub.send("POST", "/api/ingest/events", token=token, json=body)).status


async def test_cluster_created_row_is_written(any_hub: HubUnderTest) -> None:
    labels = {"region": "eu-1", "acme.com/team": ""}
    member = await any_hub.add_person(role="member")
    answer = await make(any_hub, member, id="cl_mine", labels=labels)
    assert answer.status == 201
    (row,) = await rows(any_hub, "cluster.created")
    assert (row["target_type"], row["target_id"]) == ("cluster", "cl_mine")
    assert (row["actor_user_id"], row["actor_email"]) == ("user_2", "p2@acme.com")
    assert row["metadata"] == {
        "name": "prod",
        "environment": "production",
        "labels": labels,
        "via_pat": "token 2",
    }
    token = answer.json.pop("token")
    assert token.startswith("rhc_")
    assert answer.json == {
        "id": "cl_mine",
        "name": "prod",
        "environment": "production",
        "labels": labels,
        "created_at": format_ms(NOW_MS),
        "agent": NEVER,
        "upgrade": None,
        "token": token,
    }
    shown = (await any_hub.get(f"{CLUSTERS}/cl_mine")).json
    assert (shown["labels"], "token" in shown) == (labels, False)
    assert await ingests(any_hub, token) == 200


async def test_cluster_updated_row_is_written(any_hub: HubUnderTest) -> None:
    path = f"{CLUSTERS}/{(await made(any_hub, labels={'a': '1'}))['id']}"
    body = {"name": "prod", "environment": "staging", "labels": {}}
    answer = await any_hub.send("PATCH", path, json=body)
    assert (answer.status, answer.json["environment"], answer.json["labels"]) == (
        200,
        "staging",
        {},
    )
    (row,) = await rows(any_hub, "cluster.updated")
    assert row["metadata"] == {
        "changes": {"environment": ["production", "staging"], "labels": [{"a": "1"}, {}]},
        "via_pat": "token 1",
    }
    again = await any_hub.send("PATCH", path, json=body)
    assert again.json == answer.json
    assert len(await rows(any_hub, "cluster.updated")) == 1


async def test_cluster_deleted_row_is_written(any_hub: HubUnderTest) -> None:
    cluster = await made(any_hub)
    path = f"{CLUSTERS}/{cluster['id']}"
    assert (await any_hub.send("DELETE", path)).status == 200
    (row,) = await rows(any_hub, "cluster.deleted")
    assert (row["target_id"], row["metadata"]) == (
        cluster["id"],
        {"name": "prod", "via_pat": "token 1"},
    )
    assert await ingests(any_hub, cluster["token"]) == 401
    assert (await any_hub.get(path)).status == 404
    assert (await any_hub.send("DELETE", path)).status == 404
    assert (await any_hub.get(CLUSTERS)).json["clusters"] == []
    assert (await made(any_hub))["name"] == "prod"  # its name is free again
    assert (await make(any_hub, name="b", id=cluster["id"])).status == 409  # its id is not


async def test_cluster_token_rotated_row_is_written(any_hub: HubUnderTest) -> None:
    cluster = await made(any_hub)
    path = f"{CLUSTERS}/{cluster['id']}/rotate-token"
    assert await ingests(any_hub, cluster["token"]) == 200
    await any_hub.hub.last_used.stop()
    used = {"previous_token_last_used_at": format_ms(NOW_MS)}
    first = await any_hub.send("POST", path)
    assert first.json == {"cluster_id": cluster["id"], "token": first.json["token"]} | used
    assert await ingests(any_hub, cluster["token"]) == 401
    assert await ingests(any_hub, first.json["token"]) == 200
    second = await any_hub.send("POST", path)
    assert second.json["token"] != first.json["token"]
    assert await ingests(any_hub, first.json["token"]) == 401
    row = (await rows(any_hub, "cluster.token_rotated"))[-1]
    assert row["target_id"] == cluster["id"]
    assert row["metadata"] == {"name": "prod", "via_pat": "token 1"} | used


async def test_rotated_token_that_was_never_used_says_so(hub: HubUnderTest) -> None:
    path = f"{CLUSTERS}/{(await made(hub))['id']}/rotate-token"
    assert (await hub.send("POST", path)).json["previous_token_last_used_at"] is None
    (row,) = await rows(hub, "cluster.token_rotated")
    assert row["metadata"]["previous_token_last_used_at"] is None


async def test_rotated_token_is_refused_by_every_replica_at_once(postgres_url: str) -> None:
    async with (
        running_hub(postgres_url, migrated=True) as one,
        running_hub(postgres_url, migrated=True) as other,
    ):
        cluster = await made(one)
        assert await ingests(other, cluster["token"]) == 200
        await one.send("POST", f"{CLUSTERS}/{cluster['id']}/rotate-token")
        assert [await ingests(hub, cluster["token"]) for hub in (one, other)] == [401, 401]


async def test_fourth_cluster_of_the_free_plan_is_refused_also_in_a_race(
    any_hub: HubUnderTest,
) -> None:
    await any_hub.add_org("org_free", "free")
    owner = await any_hub.add_person("org_free")
    path = "/api/orgs/org_free/clusters"

    async def connect(number: int) -> Answer:
        body = {"name": f"c-{number}", "environment": "dev"}
        return await any_hub.send("POST", path, token=owner, json=body)

    answers = await asyncio.gather(*(connect(number) for number in range(8)))
    assert sorted(answer.status for answer in answers) == [201] * 3 + [402] * 5
    refused = next(answer.json for answer in answers if answer.status == 402)
    assert (refused["code"], refused["limit"]) == ("plan_limit", 3)
    clusters = (await any_hub.get(path, token=owner)).json["clusters"]
    assert len(clusters) == 3
    await any_hub.send("DELETE", f"{path}/{clusters[0]['id']}", token=owner)
    assert (await connect(9)).status == 201


async def test_one_name_is_given_once_also_in_a_race(any_hub: HubUnderTest) -> None:
    answers = await asyncio.gather(*(make(any_hub) for _ in range(4)))
    assert sorted(answer.status for answer in answers) == [201, 409, 409, 409]
    other = await made(any_hub, name="other")
    renamed = await any_hub.send("PATCH", f"{CLUSTERS}/{other['id']}", json={"name": "prod"})
    assert (renamed.status, renamed.json["code"]) == (409, "conflict")


async def test_list_goes_on_behind_the_cursor_and_shows_own_clusters_only(
    hub: HubUnderTest,
) -> None:
    await hub.add_org("org_y")
    await hub.add_cluster("org_y", "cl_y")
    for number in range(3):
        await made(hub, id=f"cl_{number}", name=f"n {number}")
    first = (await hub.get(f"{CLUSTERS}?limit=2")).json
    second = (await hub.get(f"{CLUSTERS}?limit=2&cursor={first['next_cursor']}")).json
    assert [c["id"] for c in first["clusters"] + second["clusters"]] == ["cl_0", "cl_1", "cl_2"]
    assert second["next_cursor"] is None


async def test_foreign_cluster_looks_like_an_unknown_one(hub: HubUnderTest) -> None:
    await hub.add_org("org_y")
    await hub.add_cluster("org_y", "cl_y")
    for method, below, body in (
        ("GET", "", None),
        ("DELETE", "", None),
        ("POST", "/rotate-token", None),
        ("PATCH", "", {"name": "x"}),
        ("POST", "/upgrade-agent", {"version": "1"}),
    ):
        answers = [
            await hub.send(method, f"{CLUSTERS}/{cluster_id}{below}", json=body)
            for cluster_id in ("cl_y", "cl_none", "prod", "cl_%00", "%F0")
        ]
        assert {answer.status for answer in answers} == {404}
        assert len({answer.json["detail"] for answer in answers}) == 1


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"name": " "}, "name"),
    ({"name": "a\u2028b"}, "name"),
    ({"environment": "a b"}, "environment"),
    ({"environment": ""}, "environment"),
    ({"labels": {"a b": ""}}, "labels"),
    ({"labels": {"a": "-"}}, "labels"),
    ({"labels": {f"l{n}": "" for n in range(33)}}, "labels"),
]


async def test_wrong_field_is_named(hub: HubUnderTest) -> None:
    path = f"{CLUSTERS}/{(await made(hub, name='there'))['id']}"
    for body, field in WRONG:
        for answer in (await make(hub, **body), await hub.send("PATCH", path, json=body)):
            assert answer.status == 422
            assert [error["field"] for error in answer.json["errors"]] == [field]


async def test_the_longest_labels_fit_into_the_log(hub: HubUnderTest) -> None:
    first, second = ({f"{c * 64}/{n:03}{c * 60}": c * 63 for n in range(32)} for c in "ab")
    cluster = await made(hub, labels=first, name="n" * 100)
    path = f"{CLUSTERS}/{cluster['id']}"
    body = {"labels": second, "name": "é" * 100, "environment": "e" * 63}
    assert (await hub.send("PATCH", path, json=body)).status == 200
    (row,) = await rows(hub, "cluster.updated")
    assert row["metadata"]["changes"]["labels"] == [first, second]
    longer = {"labels": {f"{'a' * 66}/{'b' * 62}": ""}}
    assert (await hub.send("PATCH", path, json=longer)).status == 422


async def test_bodies_that_say_nothing_or_too_much_are_refused(hub: HubUnderTest) -> None:
    path = f"{CLUSTERS}/{(await made(hub))['id']}"
    assert (await hub.send("PATCH", path, json={})).status == 422
    assert (await make(hub, id="prod")).json["errors"][0]["field"] == "id"
    assert (await make(hub, label={})).json["errors"][0]["message"].endswith("labels")
    wrong = await hub.send("POST", f"{path}/upgrade-agent", json={"version": "a b"})
    assert wrong.json["errors"][0]["field"] == "version"
    assert len(await rows(hub, "cluster.created")) == 1


async def test_fault_between_change_and_row_leaves_neither(
    any_hub: HubUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = await made(any_hub)
    path = f"{CLUSTERS}/{cluster['id']}"

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError

    for place, step in ((changes.Change, "note"), (changes, "record")):
        with monkeypatch.context() as broken:
            broken.setattr(place, step, fail)
            answers = [
                await make(any_hub, name="b"),
                await any_hub.send("PATCH", path, json={"name": "c"}),
                await any_hub.send("POST", f"{path}/rotate-token"),
                await any_hub.send("POST", f"{path}/upgrade-agent", json={"version": "0.2.0"}),
                await any_hub.send("DELETE", path),
            ]
        assert [answer.status for answer in answers] == [500] * 5
    (shown,) = (await any_hub.get(CLUSTERS)).json["clusters"]
    assert (shown["id"], shown["name"], shown["upgrade"]) == (cluster["id"], "prod", None)
    assert await ingests(any_hub, cluster["token"]) == 200
    assert len((await any_hub.get("")).json["events"]) == 1


async def test_clusters_of_a_paid_plan_have_their_number_told_to_stripe(
    any_hub: HubUnderTest,
) -> None:
    async def requests_to_tell() -> int:
        async with any_hub.hub.db.read() as conn:
            count = text("SELECT count(*) FROM outbox WHERE kind = 'billing.quantity'")
            return int((await conn.execute(count)).scalar_one())

    async def told() -> None:
        async with any_hub.hub.db.write() as conn:
            await conn.execute(update(subscription).values(sync_round=2))

    paid = {"subscription_id": "sub_1", "customer_id": "cus_1", "plan": "team", "quantity": 0}
    async with any_hub.hub.db.write() as conn:
        times = {"sync_round": 1, "updated_at": NOW_MS, "cancel_at_period_end": False}
        row = {"org_id": ORG, "status": "active"} | paid | times
        await conn.execute(insert(subscription).values(**row))
    cluster = await made(any_hub)
    assert await requests_to_tell() == 1
    await told()
    await any_hub.send("PATCH", f"{CLUSTERS}/{cluster['id']}", json={"name": "b"})
    assert await requests_to_tell() == 1
    await any_hub.send("DELETE", f"{CLUSTERS}/{cluster['id']}")
    assert await requests_to_tell() == 2
