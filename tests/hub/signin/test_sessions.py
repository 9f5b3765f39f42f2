"""Sessions: who a cookie stands for, how long, and what another site's page can do with it."""

from __future__ import annotations

from pathlib import Path

import pytest
from radar_audit_hub.audit import tail
from radar_audit_hub.auth.session_rules import MAX_USER_AGENT_CHARS, plain_user_agent
from radar_audit_hub.store.schema import app_user, org, org_member
from radar_audit_hub.store.schema_signin import session
from sqlalchemy import select, update
from yarl import URL

from tests.support.browsers import Browser, signed_in
from tests.support.hub_builder import ORG, Answer, HubUnderTest, log_path, running_hub
from tests.support.log_rows import make_event


async def rows_of(hub: HubUnderTest, action: str, org_id: str = ORG) -> list[dict[str, object]]:
    """The org's events of one action, as its owner's token reads them."""
    found = await hub.get(f"?action={action}")
    return [event for event in found.json["events"] if event["org_id"] == org_id]


async def test_session_reads_what_its_person_may(any_hub: HubUnderTest) -> None:
    await any_hub.append(make_event(1))
    browser = await signed_in(any_hub)
    answer = await any_hub.get("", token=None, headers=browser.cookie)
    assert (answer.status, len(answer.ids)) == (200, 1)
    assert (await any_hub.get("?format=csv", token=None, headers=browser.cookie)).status == 200
    follow = await any_hub.get("follow?wait=0", token=None, headers=browser.cookie)
    assert follow.status == 200


async def test_me_of_a_session_lists_orgs_and_roles(hub: HubUnderTest) -> None:
    await hub.add_org("org_b", plan="team")
    await hub.add_org("org_gone")
    async with hub.hub.db.write() as connection:
        await connection.execute(
            org_member.insert().values(
                [
                    {"org_id": o, "user_id": "user_1", "role": "viewer", "created_at": 0}
                    for o in ("org_b", "org_gone")
                ]
            )
        )
        await connection.execute(update(org).where(org.c.id == "org_gone").values(deleted_at=1))
    browser = await signed_in(hub)
    answer = await hub.get("/api/me", token=None, headers=browser.cookie)
    assert answer.json == {
        "user_id": "user_1",
        "email": "p1@acme.com",
        "email_verified": False,
        "session_id": browser.session_id,
        "orgs": [
            {"org_id": "org_b", "org_name": "Name of org_b", "plan": "team", "role": "viewer"},
            {"org_id": ORG, "org_name": "Name of org_x", "plan": "enterprise", "role": "owner"},
        ],
    }


async def look(hub: HubUnderTest, browser: Browser, path: str) -> Answer:
    """GET a path just as it is written."""
    url = URL(hub.url + path, encoded=True)
    async with hub.client.get(url, headers=browser.cookie) as answer:
        return Answer(answer.status, answer.headers, await answer.read())


async def test_foreign_unknown_deleted_and_absurd_org_answer_a_session_alike(
    any_hub: HubUnderTest,
) -> None:
    hub = any_hub
    await hub.add_org("org_other")
    await hub.add_org("org_gone")
    async with hub.hub.db.write() as connection:
        row = {"org_id": "org_gone", "user_id": "user_1", "role": "owner", "created_at": 0}
        await connection.execute(org_member.insert().values(**row))
        await connection.execute(update(org).where(org.c.id == "org_gone").values(deleted_at=1))
    browser = await signed_in(hub)
    names = ["org_other", "org_nobody", "org_gone", "org_", "%00", "%ED%A0%80", "%F0%9F", "a%2Fb"]
    answers = [await look(hub, browser, log_path(name)) for name in names]
    assert {answer.status for answer in answers} == {404}
    assert len({answer.json["detail"] for answer in answers}) == 1


async def test_removed_member_is_out_at_once(any_hub: HubUnderTest) -> None:
    browser = await signed_in(any_hub)
    await any_hub.remove_members()
    answer = await any_hub.get("", token=None, headers=browser.cookie)
    assert answer.status == 404
    assert (await any_hub.get("/api/me", token=None, headers=browser.cookie)).json["orgs"] == []


@pytest.mark.parametrize("how", ["signed out", "removed", "idle"])
async def test_tail_of_a_session_ends_with_the_right_to_read(
    hub: HubUnderTest, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(tail, "RECHECK_SECONDS", 0.05)
    browser = await signed_in(hub)
    headers = {**browser.cookie, "Accept": "text/event-stream"}
    async with hub.client.get(hub.address("follow"), headers=headers) as response:
        assert (await response.content.readuntil(b"\n\n")) == b"retry: 2000\n\n"
        if how == "signed out":
            assert (await browser.send(hub, "DELETE", "/api/session")).status == 200
        elif how == "removed":
            await hub.remove_members()
        else:
            hub.clock.now_ms += hub.hub.settings.session.idle_ms
        rest = await response.content.read()
    code = "not_found" if how == "removed" else "unauthorized"
    assert rest.endswith(f"event: end\ndata: {code}\n\n".encode())


async def test_token_and_session_at_once_are_refused(hub: HubUnderTest) -> None:
    browser = await signed_in(hub)
    answer = await hub.get("", headers=browser.cookie)
    assert (answer.status, answer.json["code"]) == (400, "invalid_request")


@pytest.mark.parametrize("kind", ["revoked", "expired", "idle", "unknown", "malformed"])
async def test_session_that_is_no_good_is_unauthorized(hub: HubUnderTest, kind: str) -> None:
    browser = await signed_in(hub)
    settings = hub.hub.settings.session
    if kind == "revoked":
        async with hub.hub.db.write() as connection:
            await connection.execute(update(session).values(revoked_at=1))
    elif kind == "expired":
        async with hub.hub.db.write() as connection:
            await connection.execute(
                update(session).values(last_seen_at=hub.clock.now_ms + settings.lifetime_ms)
            )
        hub.clock.now_ms += settings.lifetime_ms
    elif kind == "idle":
        hub.clock.now_ms += settings.idle_ms
    else:
        browser = Browser("rhs_" + "A" * 43 if kind == "unknown" else 'rhs_é"')
    answer = await hub.get("", token=None, headers=browser.cookie)
    assert (answer.status, answer.json["code"]) == (401, "unauthorized")


async def test_use_keeps_a_session_from_lying_idle(hub: HubUnderTest) -> None:
    browser = await signed_in(hub)
    half = hub.hub.settings.session.idle_ms // 2 + 1
    for _ in range(3):
        hub.clock.now_ms += half
        assert (await hub.get("", token=None, headers=browser.cookie)).status == 200
        await hub.hub.last_used.stop()
    hub.clock.now_ms += 2 * half
    assert (await hub.get("", token=None, headers=browser.cookie)).status == 401


async def test_revoked_session_is_refused_by_a_second_replica_at_once(
    postgres_url: str, tmp_path: Path
) -> None:
    async with running_hub(postgres_url, migrated=True) as one:
        browser = await signed_in(one)
        async with running_hub(postgres_url, migrated=True) as two:
            two.clock.now_ms = one.clock.now_ms
            assert (await two.get("/api/me", token=None, headers=browser.cookie)).status == 200
            assert (await browser.send(one, "DELETE", "/api/session")).status == 200
            assert (await two.get("/api/me", token=None, headers=browser.cookie)).status == 401


async def test_auth_signout_row_is_written(any_hub: HubUnderTest) -> None:
    browser = await signed_in(any_hub)
    answer = await browser.send(any_hub, "DELETE", "/api/session")
    assert answer.status == 200
    assert "radar_audit_session=" in answer.headers["Set-Cookie"]
    assert "Max-Age=0" in answer.headers["Set-Cookie"]
    (row,) = await rows_of(any_hub, "auth.signout")
    assert (row["actor_user_id"], row["target_id"]) == ("user_1", "user_1")
    metadata = row["metadata"]
    assert isinstance(metadata, dict)
    assert (metadata["method"], metadata["ip"]) == ("link", "127.0.0.1")
    assert metadata["user_agent"].startswith("Python")
    assert (await browser.send(any_hub, "DELETE", "/api/session")).status == 401


async def test_person_lists_and_ends_own_sessions_only(hub: HubUnderTest) -> None:
    here, there = await signed_in(hub), await signed_in(hub)
    await hub.add_person(role="owner")
    foreign = await signed_in(hub, "user_2")
    shown = (await hub.get("/api/sessions", token=None, headers=here.cookie)).json["sessions"]
    assert {one["id"] for one in shown} == {here.session_id, there.session_id}
    assert [one["id"] for one in shown if one["current"]] == [here.session_id]
    refused = await here.send(hub, "DELETE", f"/api/sessions/{foreign.session_id}")
    assert refused.status == 404
    assert (await here.send(hub, "DELETE", f"/api/sessions/{there.session_id}")).status == 200
    assert (await hub.get("/api/me", token=None, headers=there.cookie)).status == 401
    assert (await hub.get("/api/me", token=None, headers=foreign.cookie)).status == 200
    assert (await hub.get("/api/sessions")).status == 403


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-CSRF-Token": ""},
        {"X-CSRF-Token": "0" * 64},
        {"X-CSRF-Token": "OTHER"},
        {"X-CSRF-Token": "OWN", "Origin": "https://evil.example"},
        {"X-CSRF-Token": "OWN", "Origin": "null"},
        {"X-CSRF-Token": "OWN", "Sec-Fetch-Site": "cross-site"},
        {"X-CSRF-Token": "OWN", "Sec-Fetch-Site": "same-site"},
    ],
)
async def test_change_that_no_page_of_ours_sent_is_refused(
    hub: HubUnderTest, headers: dict[str, str]
) -> None:
    browser, other = await signed_in(hub), await signed_in(hub)
    words = {"OWN": browser.csrf, "OTHER": other.csrf}
    sent = {name: words.get(value, value) for name, value in headers.items()}
    answer = await hub.send(
        "DELETE", "/api/session", token=None, headers={**browser.cookie, **sent}
    )
    assert (answer.status, answer.json["code"]) == (403, "forbidden")
    assert (await hub.get("/api/me", token=None, headers=browser.cookie)).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://127.0.0.1:8080", "Sec-Fetch-Site": "same-origin"},
        {"Origin": "OWN"},
        {"Sec-Fetch-Site": "none"},
        {},
    ],
)
async def test_change_that_our_page_sent_is_taken(
    hub: HubUnderTest, headers: dict[str, str]
) -> None:
    browser = await signed_in(hub)
    sent = {name: hub.url if value == "OWN" else value for name, value in headers.items()}
    path, token = "/api/session", {**browser.headers, **sent}
    assert (await hub.send("DELETE", path, token=None, headers=token)).status == 200


async def test_csrf_token_is_told_to_the_session_and_is_another_for_each(
    hub: HubUnderTest,
) -> None:
    one, two = await signed_in(hub), await signed_in(hub)
    shown = [
        (await hub.get("/api/session", token=None, headers=browser.cookie)).json
        for browser in (one, two)
    ]
    assert [answer["csrf_token"] for answer in shown] == [one.csrf, two.csrf]
    assert one.csrf != two.csrf
    assert one.secret not in str(shown[0])
    assert (await hub.get("/api/session", token=None)).status == 401
    assert (await hub.get("/api/session")).status == 403
    unknown = await hub.get("/api/me", token=None, headers=one.cookie, params={"x": "1"})
    assert unknown.status == 400


async def test_token_needs_no_csrf_token(hub: HubUnderTest) -> None:
    answer = await hub.send("DELETE", "/api/session", headers={"Origin": "https://evil.example"})
    assert answer.json["detail"] == "this is for sessions of browsers, not for tokens"


async def test_table_holds_no_secret(hub: HubUnderTest) -> None:
    browser = await signed_in(hub)
    async with hub.hub.db.read() as connection:
        (row,) = (await connection.execute(select(session))).all()
        users = (await connection.execute(select(app_user))).all()
    held = " ".join(map(str, [*row, *users]))
    assert browser.secret not in held
    assert browser.csrf not in held


def test_user_agent_is_cut_and_holds_no_control_characters() -> None:
    assert plain_user_agent("Fire\x1b[31mfox\r\nX: y\u202e\x00") == "Fire [31mfox X: y"
    assert plain_user_agent("x" * 5000) == "x" * MAX_USER_AGENT_CHARS
    assert plain_user_agent("\x00\n") is None
    assert plain_user_agent(None) is None
