"""The one-time link of the server's command: for one person, once, and not by looking at it."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner
from radar_audit_hub.bootstrap import BootstrapError, Means
from radar_audit_hub.main import main
from radar_audit_hub.signin.new_link import create_link
from radar_audit_hub.signin.opening import MAX_SESSIONS
from radar_audit_hub.store.control import insert_member
from radar_audit_hub.store.schema_signin import session, signin_link
from sqlalchemy import select

from tests.support.browsers import signed_in
from tests.support.hub_builder import ORG, HubUnderTest, log_path
from tests.support.visitor import Visitor

COOKIE = "radar_audit_session"
MINUTES_10_MS = 600_000


async def link_for(hub: HubUnderTest, email: str = "p1@acme.com") -> str:
    """Make a link as the command does; return its path."""
    means = Means(now_ms=hub.clock.now_ms, random_bytes=hub.hub.random_bytes)
    url = await create_link(hub.hub.db, email, hub.hub.settings.public_url, means)
    return urlsplit(url).path


async def test_link_signs_its_person_in_once(any_hub: HubUnderTest) -> None:
    path = await link_for(any_hub, " P1@Acme.com")
    visitor = Visitor(any_hub)
    answer = await visitor.send("POST", path)
    assert (answer.status, answer.headers["Location"]) == (303, "http://127.0.0.1:8080/")
    me = await visitor.me()
    assert (me["user_id"], [one["role"] for one in me["orgs"]]) == ("user_1", ["owner"])
    assert me["email_verified"] is True
    assert (await Visitor(any_hub).send("POST", path)).status == 403
    (event,) = (await any_hub.get("?action=auth.signin")).json["events"]
    assert (event["org_id"], event["metadata"]["method"]) == (ORG, "link")


async def test_looking_at_a_link_uses_nothing_up_and_tells_nothing(hub: HubUnderTest) -> None:
    path = await link_for(hub)
    looks = [await Visitor(hub).send("GET", path) for _ in range(2)]
    unknown = await Visitor(hub).send("GET", "/api/auth/link/rhl_" + "A" * 43)
    assert {answer.body for answer in looks} == {unknown.body}
    assert all(answer.status == 200 for answer in (*looks, unknown))
    assert path.rpartition("/")[2].encode() not in unknown.body
    # With "no-referrer" browsers would send a null origin with the button's request.
    assert looks[0].headers["Referrer-Policy"] == "same-origin"
    assert "frame-ancestors 'none'" in looks[0].headers["Content-Security-Policy"]
    assert (await Visitor(hub).send("HEAD", path)).status == 405
    assert (await Visitor(hub).send("POST", path)).status == 303


async def test_link_is_good_for_ten_minutes(hub: HubUnderTest) -> None:
    early, late = await link_for(hub), await link_for(hub)
    hub.clock.now_ms += MINUTES_10_MS - 1
    assert (await Visitor(hub).send("POST", early)).status == 303
    hub.clock.now_ms += 1
    assert (await Visitor(hub).send("POST", late)).status == 403


async def test_another_site_cannot_press_the_button(hub: HubUnderTest) -> None:
    """Else it could sign somebody in as another person, and watch what they do."""
    path = await link_for(hub)
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert (await Visitor(hub).send("POST", path, headers=headers)).status == 403
    own = {"Origin": hub.url, "Sec-Fetch-Site": "same-origin"}
    assert (await Visitor(hub).send("POST", path, headers=own)).status == 303


@pytest.mark.parametrize("host", ["hub.lan", "10.0.0.7:8080", "[fd00::1]", "", ":x", "a@localhost"])
async def test_nobody_signs_in_over_a_network_in_plain_sight(hub: HubUnderTest, host: str) -> None:
    path = await link_for(hub)
    refused = await Visitor(hub).send("POST", path, headers={"Host": host})
    assert refused.status in (400, 403)
    assert "Set-Cookie" not in refused.headers
    assert (await Visitor(hub).send("POST", path)).status == 303


async def test_session_that_came_with_the_request_is_replaced_and_ended(hub: HubUnderTest) -> None:
    attacker = Visitor(hub)
    await attacker.send("POST", await link_for(hub))
    planted = dict(attacker.cookies)
    await hub.add_person(role="viewer")
    victim = Visitor(hub, dict(planted))
    await victim.send("POST", await link_for(hub, "p2@acme.com"))
    assert victim.cookies[COOKIE] != planted[COOKIE]
    assert (await victim.me())["user_id"] == "user_2"
    assert (await attacker.send("GET", "/api/me")).status == 401


async def test_signing_in_writes_a_row_in_each_org_of_the_person_only(
    any_hub: HubUnderTest,
) -> None:
    hub = any_hub
    owners = {}
    for org_id in ("org_b", "org_a", "org_strange"):
        await hub.add_org(org_id)
        owners[org_id] = await hub.add_person(org_id)
    async with hub.hub.db.write() as connection:
        for org_id in ("org_b", "org_a"):
            await insert_member(connection, org_id, "user_1", "viewer", 0)
    await Visitor(hub).send("POST", await link_for(hub))
    counts = {
        org_id: len((await hub.get(log_path(org_id), token=token)).json["events"])
        for org_id, token in owners.items()
    }
    assert counts == {"org_a": 1, "org_b": 1, "org_strange": 0}
    assert len((await hub.get("?action=auth.signin")).json["events"]) == 1


async def test_a_fault_while_signing_in_leaves_neither_session_nor_event(
    hub: HubUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = await link_for(hub)
    with monkeypatch.context() as patch:
        patch.setattr("radar_audit_hub.changes.record", _die)
        answer = await Visitor(hub).send("POST", path)
    assert answer.status >= 500
    assert "Set-Cookie" not in answer.headers
    async with hub.hub.db.read() as connection:
        assert (await connection.execute(select(session))).all() == []
    assert (await hub.get("?action=auth.signin")).json["events"] == []


async def _die(*_: object, **__: object) -> None:
    raise ConnectionError


async def test_attempts_of_one_address_are_limited(hub: HubUnderTest) -> None:
    limit = hub.hub.settings.session.starts_per_minute
    statuses = [
        (await Visitor(hub).send("POST", "/api/auth/link/rhl_" + "A" * 43)).status
        for _ in range(limit + 1)
    ]
    assert statuses == [403] * limit + [429]
    hub.clock.now_ms += 60_000
    assert (await Visitor(hub).send("POST", await link_for(hub))).status == 303


async def test_sign_ins_of_one_person_are_limited(hub: HubUnderTest) -> None:
    limit = hub.hub.settings.session.starts_per_minute // 2
    statuses = [
        (await Visitor(hub).send("POST", await link_for(hub))).status for _ in range(limit + 1)
    ]
    assert statuses == [303] * limit + [429]
    await hub.add_person()
    other = await Visitor(hub).send("POST", await link_for(hub, "p2@acme.com"))
    assert other.status == 303


async def test_a_person_has_a_bounded_number_of_sessions(hub: HubUnderTest) -> None:
    first = Visitor(hub)
    await first.send("POST", await link_for(hub))
    for _ in range(MAX_SESSIONS):
        hub.clock.now_ms += 10_000
        last = Visitor(hub)
        assert (await last.send("POST", await link_for(hub))).status == 303
    assert (await first.send("GET", "/api/me")).status == 401
    assert len((await last.send("GET", "/api/sessions")).json["sessions"]) == MAX_SESSIONS


async def test_unknown_person_gets_no_link(hub: HubUnderTest) -> None:
    with pytest.raises(BootstrapError, match="nobody has the e-mail"):
        await link_for(hub, "nobody@acme.com")
    async with hub.hub.db.read() as connection:
        assert (await connection.execute(select(signin_link))).all() == []


async def test_links_leave_no_secret_in_the_log(
    hub: HubUnderTest, caplog: pytest.LogCaptureFixture
) -> None:
    path = await link_for(hub)
    caplog.set_level(logging.DEBUG)
    visitor = Visitor(hub)
    assert (await visitor.send("POST", path)).status == 303
    await visitor.send("POST", path)
    written = "\n".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    assert "/api/auth/link/{token}" in written
    assert path.rpartition("/")[2] not in written
    assert visitor.cookies[COOKIE] not in written


async def test_who_is_only_invited_signs_in_by_a_link_and_accepts(any_hub: HubUnderTest) -> None:
    with pytest.raises(BootstrapError, match="no open invitation"):
        await link_for(any_hub, "new@acme.com")
    asked = {"email": "new@acme.com", "role": "member"}
    made = await any_hub.send("POST", f"/api/orgs/{ORG}/invitations", json=asked)
    token = made.json["url"].partition("#token=")[2]
    visitor = Visitor(any_hub)
    assert (await visitor.send("POST", await link_for(any_hub, "new@acme.com"))).status == 303
    assert (await visitor.me())["orgs"] == []
    csrf = (await visitor.send("GET", "/api/session")).json["csrf_token"]
    accepted = await visitor.send(
        "POST", "/api/invitations/accept", headers={"X-CSRF-Token": csrf}, json={"token": token}
    )
    assert accepted.status == 200, accepted.body
    assert [one["role"] for one in (await visitor.me())["orgs"]] == ["member"]


def test_command_prints_a_link(template: Path, tmp_path: Path) -> None:
    environ = {
        "RADAR_AUDIT_HUB_DATABASE_URL": f"sqlite:///{tmp_path}/hub.db",
        "RADAR_AUDIT_HUB_PUBLIC_URL": "https://hub.example",
    }
    runner = CliRunner()
    made = runner.invoke(main, ["init", "--email", "alice@acme.com"], env=environ)
    assert made.exit_code == 0
    asked = ["signin-link", "--email", "alice@acme.com", "-o", "json"]
    found = runner.invoke(main, asked, env=environ)
    assert json.loads(found.stdout)["url"].startswith("https://hub.example/api/auth/link/rhl_")
    unknown = runner.invoke(main, ["signin-link", "--email", "x@acme.com"], env=environ)
    assert (unknown.exit_code, unknown.stdout) == (1, "")


async def test_many_people_sign_in_at_once_while_old_sessions_are_forgotten(
    any_hub: HubUnderTest,
) -> None:
    """All lock the same orgs and forget the same rows: nobody waits for ever, nobody is refused."""
    hub = any_hub
    await hub.add_org("org_b")
    emails = ["p1@acme.com"]
    for number in range(2, 8):
        await hub.add_person()
        emails.append(f"p{number}@acme.com")
    async with hub.hub.db.write() as connection:
        for number in range(1, 8):
            await insert_member(connection, "org_b", f"user_{number}", "viewer", 0)
    for number in range(1, 8):
        for _ in range(4):
            await signed_in(hub, f"user_{number}")
    hub.clock.now_ms += hub.hub.settings.session.lifetime_ms
    paths = [await link_for(hub, email) for email in emails * 2]
    answers = await asyncio.gather(*(Visitor(hub).send("POST", path) for path in paths))
    assert [answer.status for answer in answers] == [303] * 14
    assert len((await hub.get("?action=auth.signin&limit=500")).json["events"]) == 14
    async with hub.hub.db.read() as connection:
        left = (await connection.execute(select(session))).all()
    assert len([row for row in left if row.expires_at > hub.clock.now_ms]) == 14
