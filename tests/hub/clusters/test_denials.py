"""Whoever is refused on a cluster leaves a row, and many refusals stay within bounds."""

from __future__ import annotations

from typing import Any

import pytest
from radar_audit_events.ids import format_ms
from radar_audit_hub import changes
from radar_audit_hub.clusters import guard
from radar_audit_hub.clusters.guard import DENIALS, DENIALS_PER_MINUTE, Denials
from radar_audit_hub.errors import TooManyRequestsError
from radar_audit_hub.store.schema import org_member
from sqlalchemy import update

from tests.support.browsers import signed_in
from tests.support.hub_builder import ORG, Answer, HubUnderTest
from tests.support.log_rows import NOW_MS

ONE = f"/api/orgs/{ORG}/clusters/cl_1"
ATTEMPTS = {
    "cluster.update": ("PATCH", ONE, {"name": "x"}),
    "cluster.delete": ("DELETE", ONE, None),
    "cluster.rotate_token": ("POST", f"{ONE}/rotate-token", None),
    "cluster.upgrade_agent": ("POST", f"{ONE}/upgrade-agent", {"version": "0.2.0"}),
}


async def attempt(hub: HubUnderTest, action: str, token: str) -> Answer:
    method, path, body = ATTEMPTS[action]
    return await hub.send(method, path, token=token, json=body)


async def denials(hub: HubUnderTest) -> list[dict[str, Any]]:
    page = (await hub.get("?action=cluster.action_denied&limit=500")).json
    return sorted(page["events"], key=lambda event: int(event["seq"]))


async def test_cluster_action_denied_row_is_written(any_hub: HubUnderTest) -> None:
    await any_hub.add_cluster()
    tokens = {role: await any_hub.add_person(role=role) for role in ("auditor", "member", "viewer")}
    attempts = [(role, action) for role in tokens for action in ATTEMPTS]
    for role, action in attempts:
        refused = await attempt(any_hub, action, tokens[role])
        assert (refused.status, refused.json["required_role"]) == (403, "owner")
    found = await denials(any_hub)
    numbers = {role: number for number, role in enumerate(tokens, 2)}
    assert [(row["actor_user_id"], row["actor_email"], row["metadata"]) for row in found] == [
        (
            f"user_{numbers[role]}",
            f"p{numbers[role]}@acme.com",
            {
                "attempted_action": action,
                "role": role,
                "required_role": "owner",
                "status": 403,
                "source": "hub",
                "via_pat": f"token {numbers[role]}",
            },
        )
        for role, action in attempts
    ]
    assert {(row["target_type"], row["target_id"]) for row in found} == {("cluster", "cl_1")}
    assert (await any_hub.get(ONE)).json["name"] == "prod"


async def test_owners_token_without_the_scope_is_told_which(hub: HubUnderTest) -> None:
    await hub.add_cluster()
    token = await hub.add_person(scopes=["org:read"])
    refused = await attempt(hub, "cluster.delete", token)
    assert (refused.status, refused.json["required_scope"]) == (403, "clusters:write")
    (row,) = await denials(hub)
    assert row["metadata"] == {
        "attempted_action": "cluster.delete",
        "role": "owner",
        "required_role": "owner",
        "required_scope": "clusters:write",
        "status": 403,
        "source": "hub",
        "via_pat": "token 2",
    }


async def test_person_with_a_session_is_named_without_a_token(hub: HubUnderTest) -> None:
    await hub.add_cluster()
    await hub.add_person(role="member")
    browser = await signed_in(hub, "user_2")
    assert (await browser.send(hub, "DELETE", ONE)).status == 403
    (row,) = await denials(hub)
    assert (row["actor_email"], row["metadata"].get("via_pat")) == ("p2@acme.com", None)


async def test_role_lost_after_the_request_was_let_in_is_a_denial(
    hub: HubUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    await hub.add_cluster()
    owner = await hub.add_person()
    lock = changes.Change.lock
    demoted: list[str] = []

    async def demoted_first(change: changes.Change, org_id: str) -> Any:
        found = await lock(change, org_id)
        if not demoted:
            demoted.append(org_id)
            theirs = org_member.c.user_id == "user_2"
            await change.conn.execute(update(org_member).where(theirs).values(role="viewer"))
        return found

    monkeypatch.setattr(changes.Change, "lock", demoted_first)
    assert (await attempt(hub, "cluster.delete", owner)).status == 403
    assert len(await denials(hub)) == 1
    assert (await hub.get(ONE)).status == 200


async def test_no_row_is_written_for_what_is_no_cluster_here(hub: HubUnderTest) -> None:
    await hub.add_org("org_y")
    await hub.add_cluster("org_y", "cl_y")
    viewer = await hub.add_person(role="viewer")
    for cluster_id in ("cl_none", "cl_y", "%00", "prod"):
        path = f"/api/orgs/{ORG}/clusters/{cluster_id}"
        assert (await hub.send("DELETE", path, token=viewer)).status == 403
    assert (await hub.send("DELETE", "/api/orgs/org_y/clusters/cl_y", token=viewer)).status == 404
    assert await denials(hub) == []


async def test_reading_and_connecting_leave_no_denial(hub: HubUnderTest) -> None:
    await hub.add_cluster()
    viewer = await hub.add_person(role="viewer")
    assert (await hub.get(ONE, token=viewer)).status == 200
    path = f"/api/orgs/{ORG}/clusters"
    refused = await hub.send("POST", path, token=viewer, json={"name": "a", "environment": "b"})
    assert (refused.status, refused.json["required_roles"]) == (403, ["owner", "member"])
    assert await denials(hub) == []


async def test_flood_is_cut_off_and_the_log_says_until_when(
    hub: HubUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "DENIALS_PER_MINUTE", 3)
    await hub.add_cluster()
    viewer, other = await hub.add_person(role="viewer"), await hub.add_person(role="viewer")
    statuses = [(await attempt(hub, "cluster.delete", viewer)).status for _ in range(5)]
    assert statuses == [403, 403, 403, 429, 429]
    limited = [row["metadata"].get("limited_until") for row in await denials(hub)]
    assert limited == [None, None, format_ms(NOW_MS + 60_000)]
    assert (await attempt(hub, "cluster.delete", other)).status == 403
    hub.clock.now_ms += 60_000
    assert (await attempt(hub, "cluster.delete", viewer)).status == 403
    assert len(await denials(hub)) == 5


async def test_denial_that_cannot_be_written_is_no_quiet_refusal(
    hub: HubUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    await hub.add_cluster()
    viewer = await hub.add_person(role="viewer")

    async def away(*_: object, **__: object) -> None:
        raise ConnectionError

    with monkeypatch.context() as broken:
        broken.setattr(changes, "record", away)
        assert (await attempt(hub, "cluster.delete", viewer)).status == 503
    assert await denials(hub) == []


def test_people_who_are_counted_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "MAX_PEOPLE", 2)
    counted = Denials()
    for number in range(5):
        counted.count(ORG, f"user_{number}", NOW_MS)
    assert len(counted) == 2


def test_window_begins_anew_and_survives_a_clock_that_is_set_back() -> None:
    counted = Denials()
    ends = [counted.count(ORG, "user_1", NOW_MS) for _ in range(DENIALS_PER_MINUTE)]
    assert ends == [None] * (DENIALS_PER_MINUTE - 1) + [NOW_MS + 60_000]
    with pytest.raises(TooManyRequestsError) as refused:
        counted.count(ORG, "user_1", NOW_MS + 59_999)
    assert refused.value.retry_after_seconds == 1
    assert counted.count(ORG, "user_1", NOW_MS - 1) is None


def test_each_hub_counts_by_itself(hub: HubUnderTest) -> None:
    assert len(hub.app[DENIALS]) == 0
