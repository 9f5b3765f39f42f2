"""Who may read what: tokens, roles, scopes, orgs."""

from __future__ import annotations

import json

import pytest
from radar_audit_events.ids import format_ms
from radar_audit_hub.auth.access import RECHECK_SECONDS
from radar_audit_hub.auth.limiter import MAX_ADDRESSES, WINDOW_MS, FailureLimiter
from radar_audit_hub.errors import TooManyRequestsError
from radar_audit_hub.store.schema import cluster, cluster_token, org, pat
from sqlalchemy import select, update

from tests.support.hub_builder import ORG, Answer, HubUnderTest, log_path
from tests.support.log_rows import DAY_MS, NOW_MS, make_event

READS = ["", "facets", "follow?wait=0", "gaps", "ae_01ARZ3NDEKTSV4RRFFQ69G5FAV", "?format=csv"]
UNKNOWN = "rhp_" + "A" * 43


def without_id(answer: Answer) -> dict[str, object]:
    """The problem document but for the request's id."""
    body: dict[str, object] = answer.json
    return {key: value for key, value in body.items() if key != "request_id"}


async def test_me_says_who_the_token_stands_for(any_hub: HubUnderTest) -> None:
    token = await any_hub.add_person(
        role="member", scopes=["audit:read"], expires_at_ms=NOW_MS + DAY_MS
    )
    answer = await any_hub.get("/api/me", token=token)
    assert answer.json == {
        "user_id": "user_2",
        "email": "p2@acme.com",
        "org_id": ORG,
        "org_name": "Name of org_x",
        "role": "member",
        "scopes": ["audit:read"],
        "pat": {"id": "pat_2", "name": "token 2", "expires_at": format_ms(NOW_MS + DAY_MS)},
    }


@pytest.mark.parametrize("path", READS)
async def test_owner_and_auditor_may_read(hub: HubUnderTest, path: str) -> None:
    auditor = await hub.add_person(role="auditor")
    for token in (hub.owner, auditor):
        answer = await hub.get(path, token=token)
        assert answer.status == (404 if path.startswith("ae_") else 200)


@pytest.mark.parametrize("role", ["member", "viewer"])
@pytest.mark.parametrize("path", READS)
async def test_member_and_viewer_are_refused_with_the_role_that_is_needed(
    hub: HubUnderTest, path: str, role: str
) -> None:
    token = await hub.add_person(role=role)
    answer = await hub.get(path, token=token)
    assert (answer.status, answer.json["code"]) == (403, "forbidden")
    assert answer.json["required_role"] == "owner"
    assert answer.json["required_roles"] == ["owner", "auditor"]


async def test_token_without_the_read_scope_is_refused(hub: HubUnderTest) -> None:
    token = await hub.add_person(scopes=["policy:write"])
    answer = await hub.get("", token=token)
    assert (answer.status, answer.json["required_scope"]) == (403, "audit:read")
    assert (await hub.get("", token=await hub.add_person(scopes=["audit:read"]))).status == 200


@pytest.mark.parametrize("path", READS)
async def test_foreign_and_unknown_org_answer_alike(hub: HubUnderTest, path: str) -> None:
    await hub.add_org("org_other")
    await hub.append(make_event(0), org_id="org_other")
    foreign = await hub.get(log_path("org_other", path))
    unknown = await hub.get(log_path("org_nobody", path))
    assert foreign.status == unknown.status == 404
    assert without_id(foreign) == without_id(unknown)
    varying = {"x-request-id", "date"}
    one, two = (
        {k.lower(): v for k, v in answer.headers.items() if k.lower() not in varying}
        for answer in (foreign, unknown)
    )
    assert one == two


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer ", "Basic YTpi", "Bearer rhp_short", f"Bearer {UNKNOWN}", "Bear"],
)
async def test_anything_but_a_known_token_is_unauthorized(
    hub: HubUnderTest, header: str | None
) -> None:
    headers = {} if header is None else {"Authorization": header}
    answer = await hub.get("", token=None, headers=headers)
    assert (answer.status, answer.json["code"]) == (401, "unauthorized")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_cluster_token_does_not_read_the_log(hub: HubUnderTest) -> None:
    token = await hub.add_cluster()
    answer = await hub.get("", token=token)
    assert (answer.status, answer.json["code"]) == (401, "unauthorized")
    assert "/api/ingest" in answer.json["detail"]


@pytest.mark.parametrize(
    "scope, other", [("ingest", "/api/agent/heartbeat"), ("agent", "/api/ingest/events")]
)
async def test_cluster_token_reaches_what_its_scope_says_only(
    hub: HubUnderTest, scope: str, other: str
) -> None:
    token = await hub.add_cluster(scopes=[scope])
    refused = await hub.send("POST", other, token=token, json={})
    assert (refused.status, refused.json["code"]) == (403, "forbidden")
    own = {"ingest": "/api/ingest/events", "agent": "/api/agent/heartbeat"}[scope]
    assert (await hub.send("POST", own, token=token, json={})).status == 422


@pytest.mark.parametrize("column", ["revoked_at", "deleted"])
async def test_token_of_a_cluster_that_is_gone_is_refused(hub: HubUnderTest, column: str) -> None:
    token = await hub.add_cluster()
    async with hub.hub.db.write() as connection:
        if column == "deleted":
            await connection.execute(update(cluster).values(deleted_at=NOW_MS))
        else:
            await connection.execute(update(cluster_token).values(revoked_at=NOW_MS))
    for path in ("/api/ingest/events", "/api/agent/heartbeat"):
        answer = await hub.send("POST", path, token=token, json={})
        assert (answer.status, answer.json["code"]) == (401, "unauthorized")


async def test_personal_token_does_not_ingest(hub: HubUnderTest) -> None:
    answer = await hub.send("POST", "/api/ingest/events", json={})
    assert answer.status == 401


async def test_revoked_token_is_refused_from_the_next_request_on(any_hub: HubUnderTest) -> None:
    assert (await any_hub.get("")).status == 200
    await any_hub.revoke(any_hub.owner)
    answer = await any_hub.get("")
    assert (answer.status, answer.json["detail"]) == (401, "the token is revoked")


async def test_expired_token_is_refused_from_the_millisecond_on(hub: HubUnderTest) -> None:
    token = await hub.add_person(expires_at_ms=NOW_MS + 1000)
    hub.clock.now_ms = NOW_MS + 999
    assert (await hub.get("", token=token)).status == 200
    hub.clock.now_ms = NOW_MS + 1000
    answer = await hub.get("", token=token)
    assert (answer.status, answer.json["detail"]) == (401, "the token has expired")


async def test_removed_member_is_refused_from_the_next_request_on(hub: HubUnderTest) -> None:
    assert (await hub.get("")).status == 200
    await hub.remove_members()
    assert (await hub.get("")).status == 401


async def test_deleted_org_is_not_found(hub: HubUnderTest) -> None:
    async with hub.hub.db.write() as connection:
        await connection.execute(update(org).values(deleted_at=NOW_MS))
    gone = await hub.get("")
    assert gone.status == 404
    async with hub.hub.db.write() as connection:
        await connection.execute(update(org).values(deleted_at=None))
    assert without_id(gone) == without_id(await hub.get(log_path("org_nobody")))


async def test_last_use_is_stamped_once_a_minute(any_hub: HubUnderTest) -> None:
    async def stamp() -> int | None:
        await any_hub.hub.last_used.stop()
        async with any_hub.hub.db.read() as connection:
            found: int | None = (await connection.execute(select(pat.c.last_used_at))).scalar()
            return found

    assert await stamp() is None
    await any_hub.get("/api/me")
    assert await stamp() == NOW_MS
    any_hub.clock.now_ms += 59_000
    await any_hub.get("/api/me")
    assert await stamp() == NOW_MS
    any_hub.clock.now_ms += 1_000
    await any_hub.get("/api/me")
    assert await stamp() == NOW_MS + 60_000


async def test_no_token_is_in_any_answer_or_metric(hub: HubUnderTest) -> None:
    for token in (hub.owner, UNKNOWN):
        answer = await hub.get("", token=token, params={"q": f"{token}"})
        assert token not in answer.body.decode() + str(answer.headers)
    series = [str(m) for m in hub.hub.metrics.registry.collect()]
    assert hub.owner not in "".join(series)
    assert ORG not in json.dumps(series)


async def test_many_refused_tokens_get_429_and_a_good_one_still_passes(hub: HubUnderTest) -> None:
    limit = hub.hub.settings.failed_auth_per_minute
    for _ in range(limit):
        assert (await hub.get("/api/me", token=UNKNOWN)).status == 401
    refused = await hub.get("/api/me", token=UNKNOWN)
    assert (refused.status, refused.json["code"]) == (429, "too_many_requests")
    assert 1 <= int(refused.headers["Retry-After"]) <= WINDOW_MS // 1000
    assert (await hub.get("/api/me")).status == 200
    hub.clock.now_ms += WINDOW_MS
    assert (await hub.get("/api/me", token=UNKNOWN)).status == 401


def test_failure_limiter_keeps_a_bounded_number_of_addresses() -> None:
    limiter = FailureLimiter(1)
    for number in range(MAX_ADDRESSES + 50):
        limiter.count(f"10.0.{number // 256}.{number % 256}", NOW_MS)
    assert len(limiter) == MAX_ADDRESSES
    with pytest.raises(TooManyRequestsError):
        limiter.count(f"10.0.{(MAX_ADDRESSES + 49) // 256}.{(MAX_ADDRESSES + 49) % 256}", NOW_MS)


def test_addresses_of_one_ipv6_host_are_one_to_the_limit() -> None:
    limiter = FailureLimiter(2)
    for host in ("2001:db8:1:2::1", "2001:DB8:1:2:ffff::", "::ffff:10.0.0.1", "10.0.0.1"):
        limiter.count(host, NOW_MS)
    limiter.count("2001:db8:1:3::1", NOW_MS)
    for again in ("2001:db8:1:2:3:4:5:6", "10.0.0.1"):
        with pytest.raises(TooManyRequestsError):
            limiter.count(again, NOW_MS)


def test_running_tails_are_checked_again_within_seconds() -> None:
    assert RECHECK_SECONDS <= 5
