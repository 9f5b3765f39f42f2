"""SSO through WorkOS: the portal's link is told of once, and a connection lets in only its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from radar_audit_hub.app import OUTBOX
from radar_audit_hub.outbox.job import OutboxJob
from radar_audit_hub.sso import portal
from radar_audit_hub.store.schema_signin import sso_org, sso_portal
from sqlalchemy import select

from tests.support.hub_builder import ORG, Answer, HubUnderTest, running_hub
from tests.support.visitor import PUBLIC_URL, SESSION, Visitor
from tests.support.workos_server import API_KEY, WorkosServer, workos_server

PORTAL = f"/api/orgs/{ORG}/sso/portal"


@pytest.fixture
async def workos() -> AsyncIterator[WorkosServer]:
    """WorkOS's stand-in."""
    async with workos_server() as server:
        yield server


@pytest.fixture
async def hub(sqlite_url: str, workos: WorkosServer) -> AsyncIterator[HubUnderTest]:
    """A hub that asks it."""
    async with running_hub(
        sqlite_url, migrated=True, public_url=PUBLIC_URL, workos=workos.settings()
    ) as under_test:
        yield under_test


@pytest.fixture
async def any_hub(database_url: str, workos: WorkosServer) -> AsyncIterator[HubUnderTest]:
    """The same, once over each kind of database."""
    async with running_hub(
        database_url, migrated=True, public_url=PUBLIC_URL, workos=workos.settings()
    ) as under_test:
        yield under_test


async def opened(hub: HubUnderTest) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = (await hub.get("?action=org.sso.portal_opened")).json["events"]
    return events


async def map_org(hub: HubUnderTest, workos: WorkosServer, org_id: str = ORG) -> str:
    """Let an organization that owns acme.com stand for an org."""
    workos_id = workos.add_organization(org_id, "acme.com")
    row = {"org_id": org_id, "workos_id": workos_id, "created_at": 0}
    async with hub.hub.db.write() as connection:
        await connection.execute(sso_org.insert().values(**row))
    return workos_id


async def sign_in(
    hub: HubUnderTest, workos: WorkosServer, org_id: str = ORG, **profile: Any
) -> tuple[Visitor, Answer]:
    visitor = Visitor(hub)
    address = await visitor.begin("/api/auth/sso/start", org_id=org_id, return_to="/log")
    return visitor, await visitor.send("GET", workos.authorize(address, **profile))


async def run_outbox(hub: HubUnderTest) -> None:
    """Do the outbox's work that is due a minute from now."""
    hub.clock.now_ms += 61_000
    job = OutboxJob(hub.hub, OUTBOX)
    await job.begin_due()
    await job.drain()


async def test_org_sso_portal_opened_row_is_written(
    hub: HubUnderTest, workos: WorkosServer
) -> None:
    answer = await hub.send("POST", PORTAL, json={"intent": "domain_verification"})
    assert (answer.status, answer.json["url"]) == (
        200,
        "https://setup.workos.example?token=canary-link",
    )
    (row,) = await opened(hub)
    assert (row["target_id"], row["actor_user_id"]) == (ORG, "user_1")
    assert row["metadata"] == {"intent": "domain_verification", "via_pat": "token 1"}
    assert [one["name"] for one in workos.organizations.values()] == ["Name of org_x"]
    assert (await hub.send("POST", PORTAL, json={})).status == 200
    assert len(workos.organizations) == 1
    await run_outbox(hub)
    assert len(await opened(hub)) == 2


@pytest.mark.parametrize("calls_before_the_fault", [0, 1, 2])
async def test_interrupted_portal_is_finished_by_the_job_once(
    any_hub: HubUnderTest, workos: WorkosServer, calls_before_the_fault: int
) -> None:
    """The fault comes at the look-up of the organization, at its creation, or at the link."""
    hub = any_hub
    workos.faults = [*[None] * calls_before_the_fault, 503]
    answer = await hub.send("POST", PORTAL, json={})
    assert (answer.status, answer.json["code"]) == (503, "unavailable")
    assert (workos.faults, await opened(hub)) == ([], [])
    for _ in range(2):
        await run_outbox(hub)
    (row,) = await opened(hub)
    assert (row["actor_user_id"], row["metadata"]["intent"]) == ("user_1", "sso")
    assert len(workos.organizations) == 1


async def test_portal_is_told_of_once_when_the_hub_dies_before_the_event(
    hub: HubUnderTest, workos: WorkosServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """WorkOS has made the link, but the row and the event were not written."""

    async def die(*_: object) -> None:
        raise ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(portal, "note_opened", die)
        assert (await hub.send("POST", PORTAL, json={})).status >= 500
    assert await opened(hub) == []
    for _ in range(2):
        await run_outbox(hub)
    assert len(await opened(hub)) == 1


async def test_portal_is_told_of_once_when_request_and_job_finish_it(
    any_hub: HubUnderTest, workos: WorkosServer
) -> None:
    """The job takes a request for interrupted that is only slow."""
    hub = any_hub
    asked, answered = workos.held = (asyncio.Event(), asyncio.Event())
    slow = asyncio.create_task(hub.send("POST", PORTAL, json={}))
    await asked.wait()
    await run_outbox(hub)
    assert len(await opened(hub)) == 1
    answered.set()
    assert (await slow).status == 200
    assert len(await opened(hub)) == 1


async def test_portal_that_workos_refuses_leaves_no_event(
    hub: HubUnderTest, workos: WorkosServer
) -> None:
    workos.faults = [403]
    assert (await hub.send("POST", PORTAL, json={})).status == 409
    await run_outbox(hub)
    assert await opened(hub) == []
    async with hub.hub.db.read() as connection:
        (row,) = (await connection.execute(select(sso_portal))).all()
    assert row.done_at is not None


async def test_portal_is_for_owners_and_known_intents(hub: HubUnderTest) -> None:
    member = await hub.add_person(role="member")
    assert (await hub.send("POST", PORTAL, token=member, json={})).status == 403
    scoped = await hub.add_person(scopes=["audit:read"])
    assert (await hub.send("POST", PORTAL, token=scoped, json={})).status == 403
    refused = await hub.send("POST", PORTAL, json={"intent": "dsync"})
    assert (refused.status, refused.json["errors"][0]["field"]) == (422, "intent")


async def test_org_member_sso_joined_row_is_written(
    any_hub: HubUnderTest, workos: WorkosServer
) -> None:
    hub = any_hub
    await map_org(hub, workos)
    visitor, answer = await sign_in(hub, workos)
    assert (answer.status, answer.headers["Location"]) == (303, PUBLIC_URL + "/log")
    me = await visitor.me()
    assert [(one["org_id"], one["role"]) for one in me["orgs"]] == [(ORG, "viewer")]
    (joined,) = (await hub.get("?action=org_member.sso_joined")).json["events"]
    assert joined["metadata"] == {"role": "viewer", "connection_id": "conn_1", "idp": "OktaSAML"}
    assert (joined["actor_user_id"], joined["target_id"]) == (me["user_id"], me["user_id"])
    (signed,) = (await hub.get("?action=auth.signin")).json["events"]
    assert signed["metadata"]["method"] == "sso"
    await sign_in(hub, workos)
    assert len((await hub.get("?action=org_member.sso_joined")).json["events"]) == 1


@pytest.mark.parametrize(
    "email", ["p1@other.com", "p1@acme.com.evil.example", "", "p1@ACME.\u212aom"]
)
async def test_connection_does_not_vouch_for_domains_that_are_not_its_own(
    hub: HubUnderTest, workos: WorkosServer, email: str
) -> None:
    await map_org(hub, workos)
    visitor, answer = await sign_in(hub, workos, email=email)
    assert answer.status == 403
    assert SESSION not in visitor.cookies


async def test_domain_that_is_not_proved_counts_for_nothing(
    hub: HubUnderTest, workos: WorkosServer
) -> None:
    workos_id = await map_org(hub, workos)
    workos.organizations[workos_id]["domains"] = [{"domain": "acme.com", "state": "pending"}]
    assert (await sign_in(hub, workos))[1].status == 403


async def test_removed_member_is_not_brought_back_by_sso(
    hub: HubUnderTest, workos: WorkosServer
) -> None:
    await map_org(hub, workos)
    visitor, _ = await sign_in(hub, workos)
    user_id = (await visitor.me())["user_id"]
    removed = await hub.send("DELETE", f"/api/orgs/{ORG}/members/{user_id}")
    assert removed.status == 204
    again, answer = await sign_in(hub, workos)
    assert answer.status == 303
    assert (await again.me())["orgs"] == []


async def test_connection_of_another_organization_signs_nobody_in(
    hub: HubUnderTest, workos: WorkosServer
) -> None:
    await map_org(hub, workos)
    await hub.add_org("org_other")
    other = await map_org(hub, workos, "org_other")
    assert (await sign_in(hub, workos, organization_id=other))[1].status == 403
    assert (await sign_in(hub, workos))[1].status == 303
    # The same connection cannot be another org's as well.
    assert (await sign_in(hub, workos, "org_other"))[1].status == 403


async def test_code_and_state_of_sso_work_once_and_in_one_browser(
    hub: HubUnderTest, workos: WorkosServer
) -> None:
    await map_org(hub, workos)
    one, two = Visitor(hub), Visitor(hub)
    back = workos.authorize(await one.begin("/api/auth/sso/start", org_id=ORG))
    await two.begin("/api/auth/sso/start", org_id=ORG)
    oidc = back.replace("/sso/", "/oidc/")
    assert (await one.send("GET", oidc)).status == 404
    assert (await two.send("GET", back)).status == 403
    assert (await one.send("GET", back)).status == 403  # it was taken by the wrong browser
    back = workos.authorize(await one.begin("/api/auth/sso/start", org_id=ORG))
    assert (await one.send("GET", back)).status == 303
    assert (await one.send("GET", back)).status == 403


async def test_org_without_sso_answers_as_one_that_is_unknown(hub: HubUnderTest) -> None:
    answers = [
        await hub.get("/api/auth/sso/start", token=None, params={"org_id": org_id})
        for org_id in (ORG, "org_nobody", "x")
    ]
    assert {(one.status, one.json["detail"]) for one in answers} == {
        (404, "single sign-on is not set up for this organization")
    }


async def test_sso_leaves_no_secret_in_the_log(
    hub: HubUnderTest, workos: WorkosServer, caplog: pytest.LogCaptureFixture
) -> None:
    await map_org(hub, workos)
    caplog.set_level(logging.DEBUG, "radar_audit_hub")
    workos.faults = [500, None, 400]
    for _ in range(3):
        await hub.send("POST", PORTAL, json={})
    visitor, _ = await sign_in(hub, workos)
    written = "\n".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    assert "the SSO portal was not opened yet" in written
    for secret in ("canary-link", API_KEY, "code0", visitor.cookies[SESSION]):
        assert secret not in written
