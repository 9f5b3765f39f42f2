"""Every error has one form, and no input reaches a 500."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import sqlite3

import asyncpg
import pytest
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from radar_audit_events.errors import FieldError
from radar_audit_hub import errors
from radar_audit_hub.http_errors import problem
from radar_audit_hub.protocol import MAX_HEADER_BYTES, MAX_HEADERS, MAX_TARGET_BYTES
from sqlalchemy.exc import OperationalError

from tests.support.hub_builder import ORG, HubUnderTest, log_path, running_hub
from tests.support.log_rows import make_event
from tests.support.raw_http import RawAnswer, exchange

AUTH = "Authorization: Bearer {}\r\n"


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (errors.UnauthorizedError("x"), 401, "unauthorized"),
        (errors.ForbiddenError("x", ["owner"]), 403, "forbidden"),
        (errors.NotFoundError("x"), 404, "not_found"),
        (errors.InvalidParametersError([FieldError("a", "b")]), 400, "invalid_parameter"),
        (errors.InvalidCursorError("x"), 400, "invalid_cursor"),
        (errors.InvalidQueryError(3, "a key"), 400, "invalid_query"),
        (errors.InvalidBodyError([FieldError("a", "b")]), 422, "invalid_body"),
        (errors.BodyTooLargeError(5), 413, "body_too_large"),
        (errors.UnsupportedMediaTypeError("x"), 415, "unsupported_media_type"),
        (errors.MalformedRequestError("x"), 400, "invalid_request"),
        (errors.TooManyRequestsError("x", 7), 429, "too_many_requests"),
        (errors.UnavailableError("x"), 503, "unavailable"),
        (web.HTTPNotFound(), 404, "not_found"),
        (web.HTTPMethodNotAllowed("PUT", ["GET"]), 405, "method_not_allowed"),
        (web.HTTPRequestEntityTooLarge(5, 6), 413, "body_too_large"),
        (web.HTTPInternalServerError(text="secret"), 500, "internal"),
        (ConnectionRefusedError("secret"), 503, "unavailable"),
        (TimeoutError("secret"), 503, "unavailable"),
        (sqlite3.OperationalError("secret"), 503, "unavailable"),
        (OperationalError("secret", {}, Exception()), 503, "unavailable"),
        (asyncpg.CannotConnectNowError("secret"), 503, "unavailable"),
        (asyncpg.QueryCanceledError("secret"), 503, "unavailable"),
        (KeyError("secret"), 500, "internal"),
        (sqlite3.IntegrityError("secret"), 500, "internal"),
    ],
)
def test_each_error_has_its_status_and_code(error: Exception, status: int, code: str) -> None:
    response = problem(error).response("req_1")
    assert isinstance(response.body, bytes)
    body = json.loads(response.body)
    assert response.content_type == "application/problem+json"
    assert (response.status, body["status"], body["code"]) == (status, status, code)
    assert body["request_id"] == "req_1"
    assert body["type"] == f"urn:radar-audit:problem:{code}"
    assert "secret" not in response.body.decode()


def test_every_hub_error_is_in_the_table() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    hub_errors = [k for k in kinds if issubclass(k, errors.HubError) and k is not errors.HubError]
    assert len(hub_errors) >= 12
    for kind in hub_errors:
        error = kind.__new__(kind)
        Exception.__init__(error, "x")
        error.__dict__ |= {"errors": (), "position": 0, "expected": "", "retry_after_seconds": 1}
        error.__dict__ |= {"required_roles": (), "required_scope": None, "limit": 1}
        assert problem(error).status != 500


def test_retry_after_and_allow_are_headers() -> None:
    assert problem(errors.TooManyRequestsError("x", 7)).headers == {"Retry-After": "7"}
    assert problem(errors.UnavailableError("x", 3)).headers == {"Retry-After": "3"}
    allowed = problem(web.HTTPMethodNotAllowed("PUT", ["POST", "GET"]))
    assert allowed.headers == {"Allow": "GET, POST"}


async def ask(hub: HubUnderTest, path: str, more: str = "", method: str = "GET") -> RawAnswer:
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\n" + AUTH.format(hub.owner) + more + "\r\n"
    return await exchange(hub.port, head.encode("utf-8", "surrogateescape"))


def assert_problem(answer: RawAnswer, *statuses: int) -> None:
    assert answer.status in statuses
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["request_id"] == answer.headers["x-request-id"]
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "aiohttp" not in answer.headers["server"].lower()
    assert "python" not in answer.headers["server"].lower()


@pytest.mark.parametrize(
    "path",
    [
        f"{log_path(ORG)}?q=%00",
        f"{log_path(ORG)}?q=%ff%fe",
        f"{log_path(ORG)}?q=%ED%A0%80",
        f"{log_path(ORG)}?%00=1",
        f"{log_path(ORG)}?=&=&&;",
        f"{log_path(ORG)}?q=%",
        f"{log_path(ORG)}?q=%zz",
        f"{log_path(ORG)}?actor=%00&target=%00&action=%00",
        f"{log_path(ORG)}?cursor=%00",
        f"{log_path(ORG)}?cursor=%C3%A9",
        f"{log_path(ORG)}?limit=99999999999999999999999999",
        f"{log_path(ORG)}?from=9999-12-31T23:59:60Z",
        f"{log_path(ORG)}?to=1970-01-01T00:00:00Z",
        f"{log_path(ORG)}/follow?after_seq=9223372036854775807",
        log_path(ORG, "%00"),
        log_path(ORG, "ae_%ff"),
        log_path(ORG, "\udcff\udcfe"),
        log_path("%00"),
        log_path("org_%F0%9F%98%80"),
        log_path("org_ü"),
        "/api/schemas/audit/%2e%2e%2f",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/api//orgs",
        "//",
        "*",
        "http://[::1",
        "http://x:99999999/",
        "/\x7f",
        "/a b",
        "/a#b?c",
        "\\",
    ],
)
async def test_weird_addresses_get_a_problem_or_an_answer(hub: HubUnderTest, path: str) -> None:
    answer = await ask(hub, path)
    assert answer.status in {200, 400, 404}
    if answer.status != 200:
        assert_problem(answer, 400, 404)


@pytest.mark.parametrize(
    "head",
    [
        b"GET /api/me HTTP/1.1\r\n\r\n",
        b"GET /api/me HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /api/me HTTP/1.1\r\nHost: \x00\r\n\r\n",
        b"GET /api/me HTTP/9.9\r\nHost: x\r\n\r\n",
        b"GET /api/me\r\n\r\n",
        b"G\x00T / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nNo colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: \x00\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n : a\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET /" + b"a" * MAX_TARGET_BYTES + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * (MAX_HEADER_BYTES + 1) + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * (MAX_HEADERS + 1) + b"\r\n",
    ],
)
async def test_malformed_head_gets_a_problem(hub: HubUnderTest, head: bytes) -> None:
    answer = await exchange(hub.port, head)
    assert_problem(answer, 400, 401)
    if answer.status == 400:
        assert answer.json["code"] == "invalid_request"


async def test_malformed_head_with_a_token_is_neither_echoed_nor_logged(
    hub: HubUnderTest, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for bad in (b"A\x00: b", b"x" * 9000, b"bad header"):
        head = b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\n%b\r\n\r\n"
        answer = await exchange(hub.port, head % (hub.owner.encode(), bad))
        assert_problem(answer, 400)
        assert hub.owner.encode() not in answer.body
    assert hub.owner not in caplog.text


async def test_unknown_expectation_gets_a_problem(hub: HubUnderTest) -> None:
    for path in ("/api/me", "/nowhere"):
        assert_problem(await ask(hub, path, "Expect: coffee\r\n"), 417)


async def test_page_that_is_not_read_does_not_wait_for_ever(sqlite_url: str) -> None:
    async with running_hub(sqlite_url, migrated=True, write_timeout_seconds=0.3) as hub:
        await _leave_a_page_unread(hub)


async def _leave_a_page_unread(hub: HubUnderTest) -> None:
    wide = {"labels": {f"k{n}": "v" * 1500 for n in range(10)}}
    rows = [make_event(n, action="cluster.created", metadata=wide) for n in range(500)]
    await hub.append(*rows)
    head = f"GET {log_path('org_x')}?limit=500 HTTP/1.1\r\nHost: x\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", hub.port, limit=4096)
    try:
        writer.write(f"{head}Authorization: Bearer {hub.owner}\r\n\r\n".encode())
        answer = await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(1)
        length = int(re.search(rb"Content-Length: (\d+)", answer)[1])  # type: ignore[index]
        assert length > 7_000_000
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await reader.readexactly(length)
    finally:
        writer.close()


async def test_unknown_path_and_method_get_problems(hub: HubUnderTest) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"):
        answer = await ask(hub, "/api/me", method=method)
        assert_problem(answer, 405)
        assert answer.headers["allow"] == "GET"
    assert_problem(await ask(hub, "/nowhere"), 404)
    assert "PROPFIND" not in str([list(m.samples) for m in hub.hub.metrics.registry.collect()])


async def test_head_is_not_answered_by_running_an_export(hub: HubUnderTest) -> None:
    answer = await hub.send("HEAD", "", params={"format": "csv"})
    assert answer.status == 405


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ("Transfer-Encoding: chunked\r\n", b"zz\r\nabc\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n", b"5\r\nabc"),
        ("Content-Length: 50\r\n", b"{"),
        ("Content-Encoding: gzip\r\nContent-Length: 5\r\n", b"\x1f\x8b\x08\x00x"),
        ("Content-Length: 4\r\n", b"\xff\xfe{}"),
    ],
)
async def test_broken_body_gets_a_problem(hub: HubUnderTest, head: str, body: bytes) -> None:
    token = await hub.add_cluster()
    start = "POST /api/ingest/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    data = (start + AUTH.format(token) + head + "\r\n").encode() + body
    answer = await exchange(hub.port, data, half_close=True)
    if answer.status != 0:  # the client itself has hung up: nobody is there to be answered
        assert_problem(answer, 400, 422)


async def test_request_id_of_the_caller_is_kept_if_it_is_plain(hub: HubUnderTest) -> None:
    kept = await hub.get("/api/me", headers={"X-Request-Id": "trace-12345678"})
    assert kept.headers["X-Request-Id"] == "trace-12345678"
    for odd in ("short", "a" * 65, "two words here", "x;y=zzzzzzz"):
        answer = await hub.get("/api/me", headers={"X-Request-Id": odd})
        assert answer.headers["X-Request-Id"].startswith("req_")


async def test_internal_error_hides_its_cause_and_logs_it_under_the_request_id(
    hub: HubUnderTest, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> int:
        raise RuntimeError("what really broke")

    object.__setattr__(hub.hub, "now_ms", broken)
    answer = await hub.get("/api/me")
    assert (answer.status, answer.json["code"]) == (500, "internal")
    assert "what really broke" not in answer.body.decode()
    record = next(r for r in caplog.records if r.message == "request failed")
    assert record.__dict__["request_id"] == answer.json["request_id"]
    assert record.exc_info is not None
    assert "what really broke" in str(record.exc_info[1])


async def test_database_that_is_away_gets_503_with_retry_after(
    hub: HubUnderTest, caplog: pytest.LogCaptureFixture
) -> None:
    async with hub.hub.db.write() as connection:
        await connection.exec_driver_sql("ALTER TABLE pat RENAME TO pat_away")
    answer = await hub.get("/api/me")
    assert (answer.status, answer.json["code"]) == (503, "unavailable")
    assert int(answer.headers["Retry-After"]) >= 1
    assert "pat_away" not in answer.body.decode()


async def test_access_log_has_no_query_string_path_or_token(
    hub: HubUnderTest, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await hub.get("", params={"q": "canary-in-query"})
    await hub.get("/canary-in-path")
    records = [r.__dict__ for r in caplog.records if r.name == "radar_audit_hub.access"]
    assert [(r["route"], r["status"]) for r in records] == [
        ("/api/orgs/{org_id}/audit", 200),
        ("unmatched", 404),
    ]
    text = str(records) + caplog.text
    assert "canary" not in text
    assert hub.owner not in text


raw = st.binary(max_size=60)
targets = st.builds(
    lambda parts, q: b"/" + b"/".join(parts) + b"?" + q,
    st.lists(raw | st.sampled_from([b"api", b"orgs", ORG.encode(), b"audit", b"follow"])),
    raw | st.builds(lambda n, v: n + b"=" + v, st.sampled_from([b"q", b"cursor", b"actor"]), raw),
)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(targets)
async def test_no_bytes_in_the_address_reach_a_500(hub: HubUnderTest, target: bytes) -> None:
    clean = target.replace(b"\r", b"").replace(b"\n", b"")
    head = b"GET %b HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\nConnection: close\r\n\r\n"
    answer = await exchange(hub.port, head % (clean, hub.owner.encode()))
    # 401 where it is a page: a token opens none.
    assert answer.status in {200, 400, 401, 404}
