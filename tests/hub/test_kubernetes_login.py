"""Logging in by ServiceAccount: the API server is asked, rarely, and being away is no refusal."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from radar_audit_hub.auth import kubernetes_login
from radar_audit_hub.auth.kubernetes_login import CACHE_SECONDS, REFUSED_SECONDS, KubernetesLogin
from radar_audit_hub.auth.token_review import Account, NotGood, claims_verdict
from radar_audit_hub.bootstrap import CLUSTER_TOKEN_SCOPES
from radar_audit_hub.errors import UnavailableError
from radar_audit_hub.metrics import Metrics
from radar_audit_hub.outbound import Outbound
from radar_audit_hub.settings_kubernetes import KubernetesSettings
from radar_audit_hub.store.kubernetes_login import find_login, put_login

from tests.support.collector_posts import INGEST_PATH, a_batch, a_heartbeat, a_start
from tests.support.hub_builder import ORG, Answer, HubUnderTest, running_hub
from tests.support.token_review_server import (
    AUDIENCE,
    OWN_TOKEN,
    TokenReviewServer,
    account_token,
    token_review_server,
)

RADAR, OPERATOR = "radar/radar", "radar-audit/radar-audit-operator"
HEARTBEAT = "/api/agent/heartbeat"


def settings_of(server: TokenReviewServer, **changes: Any) -> KubernetesSettings:
    facts: dict[str, Any] = {
        "login": True,
        "collectors": (RADAR,),
        "operators": (OPERATOR,),
        "api_url": server.url,
        "ca_file": server.ca_file,
        "token_file": server.token_file,
    }
    return KubernetesSettings(**(facts | changes))


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[TokenReviewServer]:
    async with token_review_server(tmp_path) as running:
        yield running


@pytest.fixture
async def login_hub(server: TokenReviewServer, database_url: str) -> AsyncIterator[HubUnderTest]:
    async with with_login(server, database_url) as under_test:
        yield under_test


@pytest.fixture
async def lite_hub(server: TokenReviewServer, sqlite_url: str) -> AsyncIterator[HubUnderTest]:
    async with with_login(server, sqlite_url) as under_test:
        yield under_test


@asynccontextmanager
async def with_login(server: TokenReviewServer, url: str) -> AsyncIterator[HubUnderTest]:
    async with running_hub(url, migrated=True, kubernetes=settings_of(server)) as hub:
        await hub.add_cluster(scopes=CLUSTER_TOKEN_SCOPES)
        async with hub.hub.db.write() as connection:
            await put_login(connection, ORG, "cl_1", CLUSTER_TOKEN_SCOPES, hub.clock.now_ms)
        yield hub


async def beat(hub: HubUnderTest, token: str) -> Answer:
    return await hub.send("POST", HEARTBEAT, token=token, json=a_heartbeat())


async def test_a_collector_ingests_and_reports_with_its_accounts_token(
    login_hub: HubUnderTest, server: TokenReviewServer
) -> None:
    token = server.add(RADAR)
    answer = await login_hub.send("POST", INGEST_PATH, token=token, json=a_batch(a_start()))
    assert answer.status == 200, answer.json
    assert (await beat(login_hub, token)).status == 200
    page = await login_hub.get("")
    assert [event["metadata"]["cluster_id"] for event in page.json["events"]] == ["cl_1"]
    assert server.asked == [
        {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [AUDIENCE]},
        }
    ]
    await asyncio.sleep(0)
    await login_hub.hub.last_used.stop()
    async with login_hub.hub.db.read() as connection:
        row = await find_login(connection)
    assert row is not None
    assert row.last_used_at_ms == login_hub.clock.now_ms


async def test_only_an_operator_may_write_audit_settings(
    lite_hub: HubUnderTest, server: TokenReviewServer
) -> None:
    path = "/api/agent/owners/cl_1:radar-audit:default"
    collector = await lite_hub.send("PUT", path, token=server.add(RADAR), json={})
    assert (collector.status, collector.json["required_scope"]) == (403, "audit-settings:write")
    operator = await lite_hub.send("PUT", path, token=server.add(OPERATOR), json={})
    assert operator.status not in (401, 403)


async def test_what_an_owner_grants_the_cluster_is_its_operators_and_no_collectors(
    lite_hub: HubUnderTest, server: TokenReviewServer
) -> None:
    operator, collector = server.add(OPERATOR), server.add(RADAR)

    async def scopes() -> set[str]:
        answer = await lite_hub.get("/api/agent/settings", token=operator)
        assert answer.status == 200, answer.json
        return set(answer.json["scopes"])

    assert await scopes() == set(CLUSTER_TOKEN_SCOPES)
    grant = f"/api/orgs/{ORG}/audit/settings/grants/cl_1"
    assert (await lite_hub.send("PUT", grant)).status == 200
    assert await scopes() == {*CLUSTER_TOKEN_SCOPES, "audit-settings:write-org"}
    assert (await lite_hub.get("/api/agent/settings", token=collector)).status == 403
    assert (await lite_hub.send("DELETE", grant)).status == 200
    assert await scopes() == set(CLUSTER_TOKEN_SCOPES)


async def test_an_account_that_is_not_named_is_refused_without_asking(
    lite_hub: HubUnderTest, server: TokenReviewServer
) -> None:
    answer = await beat(lite_hub, server.add("default/thief"))
    assert answer.status == 403
    assert "default/thief may not log in here" in answer.json["detail"]
    assert server.asked == []


async def test_a_token_for_another_audience_is_refused_without_asking(
    lite_hub: HubUnderTest, server: TokenReviewServer
) -> None:
    for audiences in ([], ["https://kubernetes.default.svc"], ["other"]):
        answer = await beat(lite_hub, server.add(RADAR, audiences))
        assert answer.status == 401
        assert "audience radar-audit-hub" in answer.json["detail"]
    assert server.asked == []


async def test_a_token_that_the_api_server_does_not_vouch_for_is_refused(
    lite_hub: HubUnderTest, server: TokenReviewServer
) -> None:
    answer = await beat(lite_hub, account_token(RADAR))
    assert answer.status == 401
    assert "does not vouch" in answer.json["detail"]
    assert len(server.asked) == 1


async def test_a_server_that_knows_no_audiences_vouches_for_nobody(
    lite_hub: HubUnderTest, server: TokenReviewServer
) -> None:
    token = server.add(RADAR)
    server.knows_audiences = False
    assert (await beat(lite_hub, token)).status == 401


async def test_who_a_token_stands_for_is_what_the_api_server_says(
    lite_hub: HubUnderTest, server: TokenReviewServer
) -> None:
    claims_operator = account_token(OPERATOR)
    server.good[claims_operator] = ("system:serviceaccount:radar:radar", [AUDIENCE])
    assert (await beat(lite_hub, claims_operator)).status == 401
    claims_radar = account_token(RADAR)
    server.good[claims_radar] = ("alice@example.com", [AUDIENCE])
    assert (await beat(lite_hub, claims_radar)).status == 403


async def test_an_api_server_that_cannot_answer_is_no_refusal(
    lite_hub: HubUnderTest, server: TokenReviewServer
) -> None:
    token = server.add(RADAR)
    for status in (401, 403, 404, 429, 500, 503):
        server.status = status
        answer = await beat(lite_hub, token)
        assert (answer.status, answer.json["code"]) == (503, "unavailable")
        assert int(answer.headers["Retry-After"]) > 0
    server.status = 201
    for raw in (b"", b"<html>", b"[]", b'{"status": 5}', b"{}", b"x" * 400_000):
        server.raw = raw
        assert (await beat(lite_hub, token)).status == 503, raw[:20]
    server.raw = None
    assert (await beat(lite_hub, token)).status == 200


async def test_an_api_server_that_is_away_or_another_is_no_refusal(
    sqlite_url: str, server: TokenReviewServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    foreign = tmp_path / "foreign.crt"
    trustme.CA().cert_pem.write_to_path(foreign)
    token = server.add(RADAR)
    for changes in (
        {"api_url": "https://127.0.0.1:1"},
        {"ca_file": foreign},
        {"ca_file": tmp_path / "none"},
        {"token_file": tmp_path / "none"},
        {"token_file": foreign},
    ):
        settings = settings_of(server, **changes)
        async with AsyncExitStack() as stack:
            hub = await stack.enter_async_context(
                running_hub(sqlite_url, migrated=True, new=False, kubernetes=settings)
            )
            answer = await beat(hub, token)
        assert answer.status == 503, changes
    assert server.asked == []
    assert OWN_TOKEN not in caplog.text
    assert token not in caplog.text


async def test_without_a_cluster_to_log_in_to_it_is_told(
    sqlite_url: str, server: TokenReviewServer
) -> None:
    async with running_hub(sqlite_url, migrated=True, kubernetes=settings_of(server)) as hub:
        answer = await beat(hub, server.add(RADAR))
    assert answer.status == 401
    assert "RADAR_AUDIT_HUB_BOOTSTRAP_CLUSTER_ID" in answer.json["detail"]


async def test_where_it_is_off_or_for_people_an_accounts_token_is_nothing(
    hub: HubUnderTest, lite_hub: HubUnderTest, server: TokenReviewServer
) -> None:
    token = server.add(RADAR)
    off = await beat(hub, token)
    assert off.status == 401
    assert "RADAR_AUDIT_HUB_KUBERNETES_LOGIN" in off.json["detail"]
    assert (await lite_hub.get("/api/me", token=token)).status == 401
    assert (await lite_hub.get("", token=token)).status == 401
    assert server.asked == []


async def test_rotating_the_clusters_token_leaves_accounts_in_and_deleting_does_not(
    login_hub: HubUnderTest, server: TokenReviewServer
) -> None:
    token = server.add(RADAR)
    path = f"/api/orgs/{ORG}/clusters/cl_1"
    assert (await login_hub.send("POST", f"{path}/rotate-token")).status == 200
    assert (await beat(login_hub, token)).status == 200
    assert (await login_hub.send("DELETE", path)).status == 200
    assert (await beat(login_hub, token)).status == 401


class Steps:
    """A clock in seconds that is moved by hand."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def clock() -> Steps:
    return Steps()


@pytest.fixture
async def login(server: TokenReviewServer, clock: Steps) -> AsyncIterator[KubernetesLogin]:
    outbound = Outbound()
    yield KubernetesLogin(settings_of(server), outbound, Metrics(), clock)
    await outbound.close()


async def test_a_good_token_is_asked_about_again_after_half_a_minute(
    server: TokenReviewServer, login: KubernetesLogin, clock: Steps
) -> None:
    token = server.add(RADAR)
    for _ in range(3):
        assert await login.account(token) == Account(RADAR)
    assert len(server.asked) == 1
    assert CACHE_SECONDS <= 30
    del server.good[token]  # its pod is gone
    clock.now += CACHE_SECONDS
    assert isinstance(await login.account(token), NotGood)
    assert len(server.asked) == 2


async def test_a_refused_token_is_not_asked_about_at_every_try(
    server: TokenReviewServer, login: KubernetesLogin, clock: Steps
) -> None:
    token = account_token(RADAR)
    for _ in range(3):
        assert isinstance(await login.account(token), NotGood)
    assert len(server.asked) == 1
    server.good[token] = ("system:serviceaccount:radar:radar", [AUDIENCE])
    clock.now += REFUSED_SECONDS
    assert await login.account(token) == Account(RADAR)


async def test_many_at_once_ask_once_and_one_that_goes_away_does_not_end_it(
    server: TokenReviewServer, login: KubernetesLogin
) -> None:
    token = server.add(RADAR)
    server.gate.clear()
    asking = [asyncio.create_task(login.account(token)) for _ in range(5)]
    await asyncio.sleep(0)
    asking[0].cancel()
    server.gate.set()
    answers = await asyncio.gather(*asking[1:])
    assert answers == [Account(RADAR)] * 4
    assert len(server.asked) == 1


async def test_what_is_kept_and_what_waits_is_bounded(
    server: TokenReviewServer, login: KubernetesLogin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubernetes_login, "MAX_CACHED", 2)
    monkeypatch.setattr(kubernetes_login, "MAX_WAITING", 2)
    for _ in range(4):
        await login.account(account_token(RADAR))
    assert len(login._known) == 2
    server.gate.clear()
    waiting = [asyncio.create_task(login.account(account_token(RADAR))) for _ in range(2)]
    await asyncio.sleep(0)
    assert len(login._asking) == 2
    with pytest.raises(UnavailableError, match="too many"):
        await login.account(account_token(RADAR))
    server.gate.set()
    await asyncio.gather(*waiting)


async def test_the_hubs_own_token_and_the_ca_are_read_again(
    server: TokenReviewServer, login: KubernetesLogin, tmp_path: Path
) -> None:
    server.token_file.write_text("expired")
    with pytest.raises(UnavailableError):
        await login.account(server.add(RADAR))
    server.token_file.write_text(OWN_TOKEN)
    kept = server.ca_file.read_bytes()
    trustme.CA().cert_pem.write_to_path(server.ca_file)
    await login._outbound.close()
    with pytest.raises(UnavailableError):
        await login.account(server.add(RADAR))
    newer = tmp_path / "newer"
    newer.write_bytes(kept)
    newer.rename(server.ca_file)
    assert await login.account(server.add(RADAR)) == Account(RADAR)


async def test_reviews_are_counted_by_how_they_end(
    server: TokenReviewServer, login: KubernetesLogin
) -> None:
    await login.account(server.add(RADAR))
    await login.account(account_token(RADAR))
    server.status = 500
    with pytest.raises(UnavailableError):
        await login.account(account_token(RADAR))
    counts = {
        result: login._metrics.token_reviews.labels(result)._value.get()
        for result in ("accepted", "refused", "unavailable")
    }
    assert counts == {"accepted": 1, "refused": 1, "unavailable": 1}


@pytest.mark.parametrize("token", ["eyJ.!!.x", "eyJ.e30.x", "eyJ.W10.x", "eyJ.AAAA.x", "eyJ..x"])
def test_what_cannot_be_read_is_refused(token: str) -> None:
    assert isinstance(claims_verdict(token, AUDIENCE), NotGood)


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ({"collectors": ("radar",)}, "namespace/name"),
        ({"operators": ("A/b",)}, "namespace/name"),
        ({"collectors": ("a/b",), "operators": ("a/b",)}, "both have a/b"),
        ({"api_url": "http://10.0.0.1"}, "https://"),
        ({"login": True}, "name nobody"),
        ({"login": True, "collectors": ("a/b",), "audience": ""}, "AUDIENCE"),
    ],
)
def test_settings_that_can_never_work_are_refused(facts: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        KubernetesSettings(**facts)
