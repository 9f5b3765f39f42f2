"""Personal access tokens over HTTP: who sees, makes and revokes which, and what one may be."""

from __future__ import annotations

from typing import Any

import pytest
from radar_audit_events.ids import format_ms
from radar_audit_hub import changes
from radar_audit_hub.auth.principal import SCOPES
from radar_audit_hub.store.schema import org
from radar_audit_hub.store.tokens import RevokedPat, revoke_pats_of
from radar_audit_hub.tokens import handlers
from sqlalchemy import update

from tests.support.browsers import signed_in
from tests.support.hub_builder import ORG, Answer, HubUnderTest, running_hub
from tests.support.log_rows import NOW_MS

PATS = f"/api/orgs/{ORG}/pats"
DAY_MS = 86_400_000


async def make(hub: HubUnderTest, token: str = "", **body: Any) -> Answer:
    return await hub.send("POST", PATS, token=token, json={"name": "ci-bot"} | body)


async def names(hub: HubUnderTest, token: str = "", query: str = "") -> list[str]:
    answer = await hub.get(PATS + query, token=token)
    assert answer.status == 200, answer.body
    return [pat["name"] for pat in answer.json["pats"]]


async def rows(hub: HubUnderTest, *actions: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await hub.get("")).json["events"]
    return [event for event in found if event["action"] in actions]


async def test_pat_created_row_is_written(any_hub: HubUnderTest) -> None:
    ends = format_ms(NOW_MS + 90 * DAY_MS)
    answer = await make(any_hub, scopes=["org:read", "audit:read"], expires_at=ends)
    assert answer.status == 201
    made = answer.json
    assert made["token"].startswith("rhp_")
    (row,) = await rows(any_hub, "pat.created")
    assert (row["target_type"], row["target_id"]) == ("pat", made["id"])
    assert (row["actor_user_id"], row["actor_email"]) == ("user_1", "p1@acme.com")
    assert row["metadata"] == {
        "name": "ci-bot",
        "expires_at": ends,
        "scopes": ["audit:read", "org:read"],
        "via_pat": "token 1",
    }
    me = (await any_hub.get("/api/me", token=made["token"])).json
    assert me["pat"] == {"id": made["id"], "name": "ci-bot", "expires_at": ends}


async def test_pat_revoked_row_is_written(any_hub: HubUnderTest) -> None:
    made = (await make(any_hub)).json
    path = f"{PATS}/{made['id']}"
    answer = await any_hub.send("DELETE", path, params={"reason": "laptop lost"})
    assert (answer.status, answer.json["revoked_at"]) == (200, format_ms(NOW_MS))
    (row,) = await rows(any_hub, "pat.revoked")
    assert (row["target_id"], row["actor_email"]) == (made["id"], "p1@acme.com")
    assert row["metadata"] == {"name": "ci-bot", "reason": "laptop lost", "via_pat": "token 1"}
    any_hub.clock.now_ms += 5
    again = await any_hub.send("DELETE", path)
    assert again.json == answer.json
    assert len(await rows(any_hub, "pat.revoked")) == 1
    assert await names(any_hub) == ["token 1"]


async def test_revoked_token_is_refused_by_every_replica_at_once(postgres_url: str) -> None:
    async with (
        running_hub(postgres_url, migrated=True) as one,
        running_hub(postgres_url, migrated=True) as other,
    ):
        made = (await make(one)).json
        assert (await other.get("/api/me", token=made["token"])).status == 200
        await one.send("DELETE", f"{PATS}/{made['id']}")
        for hub in (one, other):
            refused = await hub.get("/api/me", token=made["token"])
            assert (refused.status, refused.json["detail"]) == (401, "the token is revoked")


async def test_text_of_a_token_is_shown_once(hub: HubUnderTest) -> None:
    made = (await make(hub)).json
    listed = (await hub.get(PATS)).json["pats"]
    assert [pat for pat in listed if pat["name"] == "ci-bot"] == [
        {key: value for key, value in made.items() if key != "token"}
    ]
    for part in (made["token"], made["token"][4:]):
        assert part.encode() not in (await hub.get("")).body


async def test_last_use_is_shown(hub: HubUnderTest) -> None:
    made = (await make(hub)).json
    await hub.get("/api/me", token=made["token"])
    await hub.hub.last_used.stop()
    (shown,) = [pat for pat in (await hub.get(PATS)).json["pats"] if pat["id"] == made["id"]]
    assert shown["last_used_at"] == format_ms(NOW_MS)


async def test_members_see_their_own_tokens_and_owners_all(hub: HubUnderTest) -> None:
    member = await hub.add_person(role="member")
    await make(hub, member, name="theirs")
    assert await names(hub, member) == ["theirs", "token 2"]
    assert await names(hub, member, "?user=me") == ["theirs", "token 2"]
    assert await names(hub) == ["token 1"]
    assert sorted(await names(hub, query="?user=all")) == ["theirs", "token 1", "token 2"]
    assert await names(hub, query="?user=user_2") == ["theirs", "token 2"]
    for others in ("all", "user_1"):
        refused = await hub.get(f"{PATS}?user={others}", token=member)
        assert (refused.status, refused.json["required_role"]) == (403, "owner")


async def test_list_goes_on_behind_the_cursor(hub: HubUnderTest) -> None:
    for number in range(3):
        hub.clock.now_ms += 1
        await make(hub, name=f"n-{number}")
    seen: list[str] = []
    query = "?limit=2"
    while query:
        answer = (await hub.get(PATS + query)).json
        seen += [pat["name"] for pat in answer["pats"]]
        query = answer["next_cursor"] and f"?limit=2&cursor={answer['next_cursor']}"
    assert seen == ["n-0", "n-1", "n-2", "token 1"]


async def test_member_revokes_own_tokens_only_and_an_owner_any(hub: HubUnderTest) -> None:
    member, other = await hub.add_person(role="member"), await hub.add_person(role="member")
    assert (await hub.send("DELETE", f"{PATS}/pat_3", token=member)).status == 404
    assert (await hub.send("DELETE", f"{PATS}/pat_2", token=member)).status == 200
    assert (await hub.get("/api/me", token=member)).status == 401
    assert (await hub.send("DELETE", f"{PATS}/pat_3")).status == 200
    assert (await hub.get("/api/me", token=other)).status == 401


async def test_roles_without_tokens_of_their_own_are_refused(hub: HubUnderTest) -> None:
    for role in ("auditor", "viewer"):
        token = await hub.add_person(role=role)
        for method, path in (("GET", PATS), ("POST", PATS), ("DELETE", f"{PATS}/pat_2")):
            refused = await hub.send(method, path, token=token, json={"name": "x"})
            assert refused.status == 403
            assert refused.json["required_roles"] == ["owner", "member"]


async def test_unknown_token_is_not_found(hub: HubUnderTest) -> None:
    for name in ("pat_9", "cl_1", "pat_%00", "%F0"):
        assert (await hub.send("DELETE", f"{PATS}/{name}")).status == 404


async def test_foreign_token_looks_like_an_unknown_one(hub: HubUnderTest) -> None:
    await hub.add_org("org_y")
    await hub.add_person("org_y")
    foreign = await hub.send("DELETE", f"{PATS}/pat_2")
    unknown = await hub.send("DELETE", f"{PATS}/pat_9")
    assert foreign.status == unknown.status == 404
    assert foreign.json["detail"] == unknown.json["detail"]


async def test_name_is_free_again_once_its_token_is_no_good(hub: HubUnderTest) -> None:
    first = (await make(hub, expires_at=format_ms(NOW_MS + DAY_MS))).json
    assert (await make(hub)).status == 409
    other = await hub.add_person(role="member")
    assert (await make(hub, other)).status == 201  # another person's name
    hub.clock.now_ms += DAY_MS
    second = await make(hub)
    assert second.status == 201
    await hub.send("DELETE", f"{PATS}/{second.json['id']}")
    assert (await make(hub)).status == 201
    assert first["id"] != second.json["id"]


async def test_tokens_of_a_person_are_bounded(
    hub: HubUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handlers, "MAX_PATS", 2)
    assert (await make(hub, name="a")).status == 201
    refused = await make(hub, name="b")
    assert (refused.status, refused.json["code"]) == (409, "conflict")


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"name": ""}, "name", "must be 1 to 100 printable"),
    ({"name": " x"}, "name", "must be 1 to 100 printable"),
    ({"name": "a\nb"}, "name", "must be 1 to 100 printable"),
    ({"name": "n" * 101}, "name", "must be 1 to 100 printable"),
    ({"scopes": []}, "scopes", "must name at least one"),
    ({"scopes": ["org:read", "audit:raed"]}, "scopes[1]", "did you mean audit:read?"),
    ({"scopes": ["%"]}, "scopes[0]", "known are audit:read, audit:write"),
    ({"expires_at": "tomorrow"}, "expires_at", "RFC 3339"),
    ({"expires_at": format_ms(NOW_MS + 59_999)}, "expires_at", "from 1 minute to 3650 days"),
    ({"expires_at": format_ms(NOW_MS + 3651 * DAY_MS)}, "expires_at", "from 1 minute"),
    ({"expire_at": None}, "expire_at", "the nearest one is expires_at"),
]


async def test_wrong_field_is_named(hub: HubUnderTest) -> None:
    for body, field, message in WRONG:
        answer = await make(hub, **body)
        assert answer.status == 422
        (error,) = answer.json["errors"]
        assert error["field"] == field
        assert message in error["message"]
    assert await names(hub) == ["token 1"]


async def test_token_makes_none_that_reaches_further_than_itself(hub: HubUnderTest) -> None:
    end_ms = NOW_MS + 10 * DAY_MS
    own = await hub.add_person(scopes=["tokens:write", "audit:read"], expires_at_ms=end_ms)
    ends = format_ms(end_ms)
    assert (await make(hub, own, scopes=None, expires_at=ends)).status == 403
    more = await make(hub, own, scopes=["audit:read", "audit:write"], expires_at=ends)
    assert (more.status, more.json["required_scope"]) == (403, "audit:write")
    later = format_ms(end_ms + 1)
    assert (await make(hub, own, scopes=["audit:read"], expires_at=later)).status == 403
    assert (await make(hub, own, scopes=["audit:read"], expires_at=None)).status == 403
    assert await rows(hub, "pat.created") == []
    made = await make(hub, own, scopes=["audit:read"])  # no later than the one in use
    assert (made.status, made.json["expires_at"]) == (201, ends)


async def test_session_makes_any_token_of_its_person(hub: HubUnderTest) -> None:
    browser = await signed_in(hub)
    made = await browser.send(hub, "POST", PATS, json={"name": "all", "expires_at": None})
    assert (made.status, made.json["scopes"], made.json["expires_at"]) == (201, None, None)
    (row,) = await rows(hub, "pat.created")
    assert "via_pat" not in row["metadata"]


async def test_default_end_is_the_organizations(hub: HubUnderTest) -> None:
    async with hub.hub.db.write() as conn:
        await conn.execute(update(org).values(pat_default_days=30))
    made = await make(hub)
    assert made.json["expires_at"] == format_ms(NOW_MS + 30 * DAY_MS)
    forever = await make(hub, name="for ever", expires_at=None)
    assert forever.json["expires_at"] is None


async def test_only_the_scope_for_it_makes_tokens(hub: HubUnderTest) -> None:
    for scope in (one for one in SCOPES if one != "tokens:write"):
        token = await hub.add_person(scopes=[scope])
        refused = await make(hub, token, scopes=[scope])
        assert (refused.status, refused.json["required_scope"]) == (403, "tokens:write")
        seen = await hub.get(PATS, token=token)
        assert seen.status == (200 if scope == "org:read" else 403)


async def test_token_revoked_meanwhile_makes_no_other(
    hub: HubUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = await hub.add_person(role="member")
    lock = changes.Change.lock

    async def revoked_first(change: changes.Change, org_id: str) -> Any:
        found = await lock(change, org_id)
        await revoke_pats_of(change.conn, ORG, "user_2", change.now_ms)
        return found

    monkeypatch.setattr(changes.Change, "lock", revoked_first)
    assert (await make(hub, member)).status == 401


async def test_fault_between_token_and_row_leaves_neither(
    any_hub: HubUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = (await make(any_hub)).json

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError

    for place, step in ((changes.Change, "note"), (changes, "record")):
        with monkeypatch.context() as broken:
            broken.setattr(place, step, fail)
            assert (await make(any_hub, name="b")).status == 500
            assert (await any_hub.send("DELETE", f"{PATS}/{made['id']}")).status == 500
    assert sorted(await names(any_hub)) == ["ci-bot", "token 1"]
    assert len(await rows(any_hub, "pat.created", "pat.revoked")) == 1


async def test_all_tokens_of_a_member_are_revoked_and_the_good_ones_told(
    any_hub: HubUnderTest,
) -> None:
    member = await any_hub.add_person(role="member")
    short = (await make(any_hub, member, expires_at=format_ms(NOW_MS + DAY_MS))).json
    long = (await make(any_hub, member, name="long")).json
    any_hub.clock.now_ms += DAY_MS
    async with changes.changing_by_itself(any_hub.hub) as change:
        told = await revoke_pats_of(change.conn, ORG, "user_2", change.now_ms)
        assert await revoke_pats_of(change.conn, ORG, "user_2", change.now_ms) == []
    assert told == sorted(
        [RevokedPat("pat_2", "token 2"), RevokedPat(long["id"], "long")], key=lambda pat: pat.id
    )
    for token in (member, short["token"], long["token"]):
        assert (await any_hub.get("/api/me", token=token)).status == 401
    assert (await any_hub.get("/api/me")).status == 200
