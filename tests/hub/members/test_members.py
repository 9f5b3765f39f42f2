"""Members are listed, change roles, are removed and leave; an owner always remains."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from radar_audit_hub.changes import changing_by_itself
from radar_audit_hub.members.joining import Inviter, join

from tests.support.browsers import signed_in
from tests.support.hub_builder import ORG, Answer, HubUnderTest, running_hub
from tests.support.membership import Human, actions, human, human_of, org_path, rows


async def _set_role(hub: HubUnderTest, who: Human, role: Any, token: str = "") -> Answer:
    path = org_path(f"members/{who.user_id}")
    return await hub.send("PATCH", path, json={"role": role}, token=token)


async def _remove(hub: HubUnderTest, who: Human, token: str = "") -> Answer:
    return await hub.send("DELETE", org_path(f"members/{who.user_id}"), token=token)


async def test_members_are_listed_by_email_in_pages(any_hub: HubUnderTest) -> None:
    people = [await human(any_hub, role=role) for role in ("auditor", "member", "viewer")]
    await any_hub.hub.last_used.stop()  # the stamps of /api/me are written by now
    first = (await any_hub.get(org_path("members?limit=3"))).json
    second = (await any_hub.get(org_path(f"members?limit=3&cursor={first['next_cursor']}"))).json
    found = first["members"] + second["members"]
    assert second["next_cursor"] is None
    assert [m["email"] for m in found] == ["p1@acme.com", *(p.email for p in people)]
    assert [m["role"] for m in found] == ["owner", "auditor", "member", "viewer"]
    assert found[1]["user_id"] == people[0].user_id
    assert found[1]["last_seen_at"] == found[1]["joined_at"]


async def test_cursor_of_another_orgs_members_is_refused(hub: HubUnderTest) -> None:
    await human(hub)
    cursor = (await hub.get(org_path("members?limit=1"))).json["next_cursor"]
    await hub.add_org("org_y")
    other = await hub.add_person("org_y")
    path = org_path(f"members?cursor={cursor}", "org_y")
    assert (await hub.get(path, token=other)).status == 400


async def test_org_member_role_changed_row_is_written(any_hub: HubUnderTest) -> None:
    someone = await human(any_hub, role="viewer")
    answer = await _set_role(any_hub, someone, "auditor")
    assert (answer.status, answer.json["role"]) == (200, "auditor")
    assert (await any_hub.get("", token=someone.token)).status == 200  # at once
    [row] = await rows(any_hub)
    assert (row["action"], row["target_id"]) == ("org_member.role_changed", someone.user_id)
    assert row["metadata"] == {"previous_role": "viewer", "role": "auditor", "via_pat": "token 1"}
    assert (await _set_role(any_hub, someone, "auditor")).status == 200
    assert len(await rows(any_hub)) == 1


async def test_org_member_removed_row_is_written_with_one_for_each_token(
    any_hub: HubUnderTest,
) -> None:
    someone = await human(any_hub, role="member")
    for name in ("a", "b"):
        made = await any_hub.send(
            "POST", org_path("pats"), json={"name": name}, token=someone.token
        )
        assert made.status == 201
    assert (await _remove(any_hub, someone)).status == 204
    for path in ("/api/me", org_path()):
        assert (await any_hub.get(path, token=someone.token)).status == 401
    removed, *revoked = (await rows(any_hub))[2:]
    assert (removed["action"], removed["target_id"]) == ("org_member.removed", someone.user_id)
    assert removed["metadata"] == {
        "email": someone.email,
        "role": "member",
        "revoked_pats": 3,
        "via_pat": "token 1",
    }
    assert [row["action"] for row in revoked] == ["pat.revoked"] * 3
    assert {row["metadata"]["name"] for row in revoked} == {"token 2", "a", "b"}
    assert {row["metadata"]["reason"] for row in revoked} == {"member_removed"}
    assert (await _remove(any_hub, someone)).status == 404


async def test_session_of_a_removed_member_reaches_the_org_no_more(hub: HubUnderTest) -> None:
    someone = await human(hub, role="member")
    browser = await signed_in(hub, someone.user_id)
    assert (await browser.send(hub, "GET", org_path())).status == 200
    await _remove(hub, someone)
    assert (await browser.send(hub, "GET", org_path())).status == 404
    assert (await browser.send(hub, "GET", "/api/orgs")).json["orgs"] == []


async def test_tokens_of_other_orgs_survive_a_removal(hub: HubUnderTest) -> None:
    await hub.add_org("org_y")
    someone = await human(hub, "org_y")
    async with changing_by_itself(hub.hub) as change:
        await change.lock(ORG)
        await join(change, ORG, someone.user_id, "member", inviter=Inviter())
    assert (await _remove(hub, someone)).status == 204
    assert (await hub.get(org_path(org_id="org_y"), token=someone.token)).status == 200
    assert (await rows(hub))[-1]["metadata"]["revoked_pats"] == 0


@pytest.mark.parametrize("role", ["owner", "auditor", "member", "viewer"])
async def test_everybody_may_leave(hub: HubUnderTest, role: str) -> None:
    someone = await human(hub, role=role)
    assert (await _remove(hub, someone, someone.token)).status == 204
    assert (await hub.get("/api/me", token=someone.token)).status == 401
    row = (await rows(hub))[0]
    assert (row["action"], row["actor_user_id"]) == ("org_member.removed", someone.user_id)


@pytest.mark.parametrize("role", ["auditor", "member", "viewer"])
async def test_only_owners_see_and_change_others(hub: HubUnderTest, role: str) -> None:
    someone, other = await human(hub, role=role), await human(hub, role="viewer")
    assert (await hub.get(org_path("members"), token=someone.token)).status == 403
    assert (await _set_role(hub, someone, "owner", someone.token)).status == 403
    assert (await _remove(hub, other, someone.token)).status == 403
    assert await actions(hub) == []


async def test_last_owner_can_neither_leave_nor_be_demoted(any_hub: HubUnderTest) -> None:
    owner = await human_of(any_hub, any_hub.owner)
    await human(any_hub, role="member")
    assert (await _remove(any_hub, owner)).status == 409
    assert (await _set_role(any_hub, owner, "auditor")).status == 409
    assert (await _set_role(any_hub, owner, "owner")).status == 200
    assert await actions(any_hub) == []
    second = await human(any_hub)
    assert (await _set_role(any_hub, owner, "viewer")).status == 200
    assert (await _remove(any_hub, second, second.token)).status == 409


async def test_unknown_and_foreign_member_answer_alike(hub: HubUnderTest) -> None:
    await hub.add_org("org_y")
    foreign = await human(hub, "org_y")
    bodies = []
    for user_id in (foreign.user_id, "user_nobody", "nobody", "user_%00", "user_" + "a" * 500):
        for method in ("PATCH", "DELETE"):
            answer = await hub.send(method, org_path(f"members/{user_id}"), json={"role": "viewer"})
            assert answer.status == 404
            bodies.append({k: v for k, v in answer.json.items() if k != "request_id"})
    assert all(body == bodies[0] for body in bodies)


@pytest.mark.parametrize("role", ["admin", None, 7])
async def test_role_that_is_none_is_refused(hub: HubUnderTest, role: Any) -> None:
    someone = await human(hub, role="viewer")
    assert (await _set_role(hub, someone, role)).status == 422


async def test_scopes_bound_what_a_token_does_to_members(hub: HubUnderTest) -> None:
    someone = await human(hub, role="viewer")
    reader = await hub.add_person(scopes=["org:read"])
    writer = await hub.add_person(scopes=["members:write"])
    assert (await hub.get(org_path("members"), token=reader)).status == 200
    assert (await _set_role(hub, someone, "member", reader)).status == 403
    assert (await hub.get(org_path("members"), token=writer)).status == 403
    assert (await _set_role(hub, someone, "member", writer)).status == 200


async def _statuses(*answers: Any) -> list[int]:
    return sorted(answer.status for answer in await asyncio.gather(*answers))


async def test_two_owners_who_demote_one_another_leave_one(any_hub: HubUnderTest) -> None:
    for _ in range(3):
        a, b = await human(any_hub), await human(any_hub)
        first = await human_of(any_hub, any_hub.owner)
        await _set_role(any_hub, first, "viewer", a.token)
        found = await _statuses(
            _set_role(any_hub, a, "viewer", b.token), _set_role(any_hub, b, "viewer", a.token)
        )
        # Who comes second is no owner any more, or is the last one.
        assert found[0] == 200
        assert found[1] in {403, 409}
        roles = [(await any_hub.get("/api/me", token=x.token)).json["role"] for x in (a, b)]
        assert sorted(roles) == ["owner", "viewer"]
        any_hub.owner = (a if roles[0] == "owner" else b).token


async def test_two_owners_who_leave_over_two_replicas_leave_one(postgres_url: str) -> None:
    async with running_hub(postgres_url, migrated=True) as one:
        second = await human(one)
        first = await human_of(one, one.owner)
        async with running_hub(postgres_url, migrated=True, new=False) as two:
            found = await _statuses(
                _remove(one, first, first.token), _remove(two, second, second.token)
            )
        assert found == [204, 409]
