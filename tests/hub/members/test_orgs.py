"""Organizations are made, shown, changed and deleted, each change with its row."""

from __future__ import annotations

from typing import Any

import pytest
from radar_audit_hub.orgs.rules import MAX_OWNED_ORGS
from radar_audit_hub.store.control import Org as OrgRow
from radar_audit_hub.store.control import insert_org

from tests.support.hub_builder import ORG, HubUnderTest
from tests.support.membership import actions, human, org_path, rows, stranger


async def _patch(hub: HubUnderTest, body: Any, token: str = "") -> Any:
    return await hub.send("PATCH", org_path(), json=body, token=token)


async def test_org_created_row_is_written(any_hub: HubUnderTest) -> None:
    someone = await human(any_hub)
    made = await any_hub.send(
        "POST", "/api/orgs", json={"name": "Neu & Söhne"}, token=someone.token
    )
    assert made.status == 201
    org = made.json
    assert (org["name"], org["plan"], org["role"]) == ("Neu & Söhne", "free", "owner")
    # The token is another org's: the log is read by one of the new org.
    found = await rows(any_hub, token=await any_hub.add_person(org["id"]), org_id=org["id"])
    assert [(r["action"], r["target_id"], r["actor_user_id"]) for r in found] == [
        ("org.created", org["id"], someone.user_id),
        ("org_member.joined", someone.user_id, someone.user_id),
    ]
    assert found[0]["metadata"] == {"name": "Neu & Söhne", "via_pat": "token 2"}
    assert found[1]["metadata"]["provisioned_by"] == "org_created"


async def test_org_may_be_created_with_its_id_but_only_once(hub: HubUnderTest) -> None:
    body = {"name": "A", "id": "org_given_1"}
    first = await hub.send("POST", "/api/orgs", json=body)
    again = await hub.send("POST", "/api/orgs", json=body)
    assert (first.status, first.json["id"], again.status) == (201, "org_given_1", 409)
    for wrong in ("org_", "cl_1", "org_a-b", "org_" + "a" * 61):
        answer = await hub.send("POST", "/api/orgs", json={"name": "A", "id": wrong})
        assert (answer.status, answer.json["errors"][0]["field"]) == (422, "id")


async def test_somebody_owns_a_bounded_number_of_orgs(hub: HubUnderTest) -> None:
    async with hub.hub.db.write() as conn:
        for number in range(MAX_OWNED_ORGS):
            name = f"org_n{number}"
            await insert_org(
                conn,
                OrgRow(id=name, name="n", plan="free", record_log_access=False, created_at_ms=1),
            )
            await conn.exec_driver_sql(
                f"INSERT INTO org_member VALUES ('{name}', 'user_1', 'owner', 1)"
            )
    answer = await hub.send("POST", "/api/orgs", json={"name": "A"})
    assert answer.status == 409


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": " a"}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "a" * 101}, "name"),
        ({"name": "a", "plan": "enterprise"}, "plan"),
    ],
)
async def test_wrong_new_org_is_refused_by_field(
    hub: HubUnderTest, body: dict[str, Any], field: str
) -> None:
    answer = await hub.send("POST", "/api/orgs", json=body)
    assert (answer.status, answer.json["errors"][0]["field"]) == (422, field)


async def test_own_orgs_are_listed_in_pages(hub: HubUnderTest) -> None:
    for number in range(4):
        await hub.send("POST", "/api/orgs", json={"name": "n", "id": f"org_{number}"})
    await stranger(hub)
    seen, cursor = [], ""
    while True:
        page = (await hub.get(f"/api/orgs?limit=2{cursor}")).json
        seen += [(org["id"], org["role"]) for org in page["orgs"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == [(f"org_{n}", "owner") for n in range(4)] + [(ORG, "owner")]


async def test_org_updated_row_is_written(any_hub: HubUnderTest) -> None:
    body = {
        "name": "New",
        "allowed_domains": ["acme.com"],
        "default_role": "member",
        "record_log_access": True,
        "pat_default_days": 90,
    }
    answer = await _patch(any_hub, body)
    assert (answer.status, {k: answer.json[k] for k in body}) == (200, body)
    assert (await any_hub.get(org_path())).json == answer.json
    [row] = await rows(any_hub)
    assert (row["action"], row["target_id"]) == ("org.updated", ORG)
    assert row["metadata"]["changes"] == {
        "name": ["Name of org_x", "New"],
        "allowed_domains": [[], ["acme.com"]],
        "default_role": ["viewer", "member"],
        "record_log_access": [False, True],
        "pat_default_days": [None, 90],
    }


async def test_change_that_changes_nothing_writes_no_row(hub: HubUnderTest) -> None:
    bodies: list[dict[str, Any]] = [{}, {"name": "Name of org_x"}, {"allowed_domains": []}]
    for body in bodies:
        assert (await _patch(hub, body)).status == 200
    assert await rows(hub) == []


@pytest.mark.parametrize(
    ("domains", "field"),
    [
        (["gmail.com"], "allowed_domains[0]"),
        (["acme.com", "yahoo.co.uk"], "allowed_domains[1]"),
        (["ACME.com"], "allowed_domains[0]"),
        (["acme"], "allowed_domains[0]"),
        (["*.acme.com"], "allowed_domains[0]"),
        (["rival.com"], "allowed_domains[0]"),  # none of the owners has an e-mail there
        (["a.example"] * 51, "allowed_domains"),
    ],
)
async def test_domain_that_may_not_let_people_in_is_refused(
    hub: HubUnderTest, domains: list[str], field: str
) -> None:
    answer = await _patch(hub, {"allowed_domains": domains})
    assert (answer.status, answer.json["errors"][0]["field"]) == (422, field)
    assert await rows(hub) == []


@pytest.mark.parametrize(
    "body",
    [
        {"default_role": "owner"},
        {"name": None},
        {"plan": "team"},
        {"pat_default_days": 0},
        {"pat_default_days": 3651},
    ],
)
async def test_setting_that_may_not_be_is_refused(hub: HubUnderTest, body: Any) -> None:
    assert (await _patch(hub, body)).status == 422


async def test_domain_stays_when_its_owner_has_left(hub: HubUnderTest) -> None:
    await _patch(hub, {"allowed_domains": ["acme.com"]})
    async with hub.hub.db.write() as conn:
        await conn.exec_driver_sql("UPDATE app_user SET email = 'a@other.org' WHERE id = 'user_1'")
    assert (await _patch(hub, {"allowed_domains": ["acme.com"], "name": "N"})).status == 200


async def test_org_deleted_row_is_written_and_the_org_answers_404(any_hub: HubUnderTest) -> None:
    cluster = await any_hub.add_cluster()
    member = await human(any_hub, role="member")
    await _patch(any_hub, {"allowed_domains": ["acme.com"]})
    body = {"email": "bob@b.example", "role": "viewer"}
    assert (await any_hub.send("POST", org_path("invitations"), json=body)).status == 201
    assert (await any_hub.send("DELETE", org_path())).status == 204
    for path in (org_path(), org_path("members"), org_path("audit"), "/api/me"):
        for token in (any_hub.owner, member.token):
            assert (await any_hub.get(path, token=token)).status == 404
    beat = await any_hub.send("POST", "/api/agent/heartbeat", token=cluster, json={})
    assert beat.status == 404
    assert (await any_hub.send("DELETE", org_path())).status == 404
    async with any_hub.hub.db.read() as conn:
        found = await conn.exec_driver_sql("SELECT action, target_id FROM audit_event ORDER BY seq")
        assert tuple(found.all()[-1]) == ("org.deleted", ORG)
        for table in ("org_member", "org_domain", "org_invitation", "org_invitation_token"):
            left = await conn.exec_driver_sql(f"SELECT count(*) FROM {table}")
            assert left.scalar_one() == 0


async def test_deleted_org_is_in_nobodys_list(hub: HubUnderTest) -> None:
    someone = await stranger(hub)
    made = await hub.send("POST", "/api/orgs", json={"name": "N"}, token=someone.token)
    token = await hub.add_person(made.json["id"])
    await hub.send("DELETE", org_path(org_id=made.json["id"]), token=token)
    listed = (await hub.get("/api/orgs", token=someone.token)).json["orgs"]
    assert [org["id"] for org in listed] == ["org_far"]


@pytest.mark.parametrize("role", ["auditor", "member", "viewer"])
async def test_only_owners_change_an_org(hub: HubUnderTest, role: str) -> None:
    other = await human(hub, role=role)
    assert (await _patch(hub, {"name": "N"}, other.token)).status == 403
    assert (await hub.send("DELETE", org_path(), token=other.token)).status == 403
    assert (await hub.get(org_path(), token=other.token)).status == 200
    assert await actions(hub) == []


async def test_scopes_of_a_token_bound_what_it_does_to_an_org(hub: HubUnderTest) -> None:
    reader = await hub.add_person(scopes=["org:read"])
    writer = await hub.add_person(scopes=["org:write"])
    assert (await hub.get(org_path(), token=reader)).status == 200
    assert (await _patch(hub, {"name": "N"}, reader)).status == 403
    assert (await hub.get(org_path(), token=writer)).status == 403
    assert (await _patch(hub, {"name": "N"}, writer)).status == 200
    for token in (reader, writer):
        assert (await hub.get("/api/orgs", token=token)).status == 403
        assert (await hub.send("POST", "/api/orgs", json={"name": "N"}, token=token)).status == 403


async def test_foreign_and_unknown_org_answer_alike(hub: HubUnderTest) -> None:
    await hub.add_org("org_y")
    bodies = []
    for org_id in ("org_y", "org_nowhere"):
        for method in ("GET", "PATCH", "DELETE"):
            answer = await hub.send(method, org_path(org_id=org_id), json={"name": "N"})
            assert answer.status == 404
            bodies.append({k: v for k, v in answer.json.items() if k != "request_id"})
    assert all(body == bodies[0] for body in bodies)
