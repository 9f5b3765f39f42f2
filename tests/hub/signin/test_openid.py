"""Signing in with a real OpenID provider, over TLS: who one is then, what works only once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
from radar_audit_hub.settings_signin import OidcSettings
from radar_audit_hub.store.members import set_domains
from radar_audit_hub.store.schema import org_member
from radar_audit_hub.store.schema_signin import identity, login
from sqlalchemy import func, select

from tests.support.hub_builder import ORG, HubUnderTest, running_hub
from tests.support.openid_provider import (
    CLIENT_ID,
    CLIENT_SECRET,
    PASSWORD,
    OpenIdProvider,
    openid_provider,
)
from tests.support.visitor import CALLBACK, LOGIN, PUBLIC_URL, SESSION, Visitor

# A machine that never built the provider fetches and builds it first.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenIdProvider]:
    """A provider that all tests of this file share."""
    with openid_provider(tmp_path_factory.mktemp("openid"), CALLBACK) as running:
        yield running


def settings_of(provider: OpenIdProvider) -> OidcSettings:
    return OidcSettings(
        issuer=provider.issuer,
        client_id=CLIENT_ID,
        client_secret=CLIENT_SECRET,
        ca_file=provider.ca_file,
    )


@pytest.fixture
async def hub(database_url: str, provider: OpenIdProvider) -> AsyncIterator[HubUnderTest]:
    """A hub that this provider signs people in to, by a real clock."""
    async with running_hub(
        database_url, migrated=True, public_url=PUBLIC_URL, oidc=settings_of(provider)
    ) as under_test:
        under_test.clock.now_ms = time.time_ns() // 1_000_000
        yield under_test


async def arrive(hub: HubUnderTest, provider: OpenIdProvider, name: str) -> Visitor:
    """Sign somebody in."""
    visitor = Visitor(hub, tls=provider.tls())
    back = await visitor.log_in(await visitor.begin(), name, PASSWORD)
    answer = await visitor.send("GET", back)
    assert answer.status == 303, answer.body
    return visitor


async def test_person_signs_in_and_comes_back_as_the_same_user(
    hub: HubUnderTest, provider: OpenIdProvider
) -> None:
    visitor = Visitor(hub, tls=provider.tls())
    visitor.cookies[SESSION] = planted = "rhs_" + "B" * 43
    address = await visitor.begin(return_to="/orgs/org_x?tab=log")
    asked = parse_qs(urlsplit(address).query)
    assert asked["code_challenge_method"] == ["S256"]
    assert asked["redirect_uri"] == [CALLBACK]
    back = await visitor.log_in(address, "alice", PASSWORD)
    answer = await visitor.send("GET", back)
    assert (answer.status, answer.headers["Location"]) == (303, PUBLIC_URL + "/orgs/org_x?tab=log")
    assert visitor.cookies[SESSION] != planted
    assert LOGIN not in visitor.cookies
    first = await visitor.me()
    assert (first["email"], first["email_verified"], first["orgs"]) == ("alice@acme.com", True, [])
    again = await arrive(hub, provider, "alice")
    assert (await again.me())["user_id"] == first["user_id"]
    # Neither the code nor the state works twice, here or in another browser.
    for browser in (visitor, Visitor(hub, dict(visitor.cookies))):
        assert (await browser.send("GET", back)).status == 403


async def test_cookies_are_kept_from_scripts_plain_pages_and_other_hosts(
    hub: HubUnderTest, provider: OpenIdProvider
) -> None:
    visitor = Visitor(hub, tls=provider.tls())
    begun = await visitor.send("GET", "/api/auth/oidc/start")
    back = await visitor.log_in(begun.headers["Location"], "alice", PASSWORD)
    ended = await visitor.send("GET", back)
    lines = [begun.headers["Set-Cookie"], *ended.headers.getall("Set-Cookie")]
    assert {line.partition("=")[0] for line in lines} == {SESSION, LOGIN}
    for line in lines:
        parts = {part.strip() for part in line.split(";")}
        assert {"HttpOnly", "Secure", "SameSite=Lax", "Path=/"} <= parts
        assert "domain" not in line.lower()


async def test_auth_signin_row_is_written(hub: HubUnderTest, provider: OpenIdProvider) -> None:
    visitor = await arrive(hub, provider, "alice")
    person = await visitor.me()
    async with hub.hub.db.write() as connection:
        row = {"org_id": ORG, "user_id": person["user_id"], "role": "viewer", "created_at": 0}
        await connection.execute(org_member.insert().values(**row))
    await arrive(hub, provider, "alice")
    (event,) = (await hub.get("?action=auth.signin")).json["events"]
    assert (event["actor_email"], event["target_id"]) == ("alice@acme.com", person["user_id"])
    assert event["metadata"]["method"] == "oidc"
    assert event["metadata"]["ip"] == "127.0.0.1"


async def test_org_member_auto_joined_row_is_written(
    hub: HubUnderTest, provider: OpenIdProvider
) -> None:
    async with hub.hub.db.write() as connection:
        await set_domains(connection, ORG, ["acme.com"], 0)
    visitor = await arrive(hub, provider, "alice")
    me = await visitor.me()
    assert [(one["org_id"], one["role"]) for one in me["orgs"]] == [(ORG, "viewer")]
    (event,) = (await hub.get("?action=org_member.auto_joined")).json["events"]
    assert event["metadata"] == {
        "role": "viewer",
        "domain": "acme.com",
        "provisioned_by": "domain_auto_join",
    }
    assert event["actor_user_id"] == event["target_id"] == me["user_id"]
    # The sign-in that made them a member is a row of that org as well.
    assert len((await hub.get("?action=auth.signin")).json["events"]) == 1


async def test_first_sign_ins_at_once_make_one_user(
    hub: HubUnderTest, provider: OpenIdProvider
) -> None:
    async with hub.hub.db.write() as connection:
        await set_domains(connection, ORG, ["acme.com"], 0)
    visitors = await asyncio.gather(*(arrive(hub, provider, "alice") for _ in range(6)))
    users = {(await visitor.me())["user_id"] for visitor in visitors}
    assert len(users) == 1
    joined = (await hub.get("?action=org_member.auto_joined")).json["events"]
    signed = (await hub.get("?action=auth.signin")).json["events"]
    assert (len(joined), len(signed)) == (1, 6)


async def test_email_that_nobody_vouches_for_opens_nobodys_account(
    hub: HubUnderTest, provider: OpenIdProvider
) -> None:
    visitor = Visitor(hub, tls=provider.tls())
    back = await visitor.log_in(await visitor.begin(), "mallory", PASSWORD)
    answer = await visitor.send("GET", back)
    assert (answer.status, answer.json["code"]) == (403, "forbidden")
    assert "does not vouch" in answer.json["detail"]
    assert SESSION not in visitor.cookies
    async with hub.hub.db.read() as connection:
        assert (await connection.execute(select(func.count()).select_from(identity))).scalar() == 0


async def test_answer_to_another_browser_is_refused(
    hub: HubUnderTest, provider: OpenIdProvider
) -> None:
    attacker, victim = Visitor(hub, tls=provider.tls()), Visitor(hub, tls=provider.tls())
    back = await attacker.log_in(await attacker.begin(), "alice", PASSWORD)
    await victim.begin()
    assert (await victim.send("GET", back)).status == 403
    assert (await Visitor(hub).send("GET", back)).status == 403
    assert SESSION not in victim.cookies


async def test_sign_in_that_took_too_long_is_refused(
    hub: HubUnderTest, provider: OpenIdProvider
) -> None:
    visitor = Visitor(hub, tls=provider.tls())
    back = await visitor.log_in(await visitor.begin(), "alice", PASSWORD)
    hub.clock.now_ms += 600_000
    assert (await visitor.send("GET", back)).status == 403
    async with hub.hub.db.read() as connection:
        assert (await connection.execute(select(login))).all() == []


async def test_signing_in_leaves_no_secret_in_the_log(
    hub: HubUnderTest, provider: OpenIdProvider, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    visitor = Visitor(hub, tls=provider.tls())
    address = await visitor.begin()
    back = await visitor.log_in(address, "alice", PASSWORD)
    browser = visitor.cookies[LOGIN]
    caplog.clear()  # what the test's own client wrote is not the hub's
    assert (await visitor.send("GET", back)).status == 303
    assert (await visitor.send("GET", back)).status == 403
    sent = parse_qs(urlsplit(back).query)
    asked = parse_qs(urlsplit(address).query)
    secrets = [browser, CLIENT_SECRET, visitor.cookies[SESSION], asked["nonce"][0]]
    written = "\n".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    assert written
    for secret in [*secrets, *sent["code"], *sent["state"]]:
        assert secret not in written


async def test_without_a_provider_there_is_nothing_to_sign_in_with(
    sqlite_url: str,
) -> None:
    async with running_hub(sqlite_url, migrated=True) as plain:
        for path in ("start", "callback?state=a&code=b"):
            assert (await plain.get(f"/api/auth/oidc/{path}", token=None)).status == 404
