"""Guards the rules of HTTP/1 connections: one request only, unless the API server switches."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
from radar_audit_collector.capture.gateway.heads import MAX_HEAD_BYTES

from tests.support.gateway_world import (
    FORBIDDEN,
    OK,
    SWITCHING,
    BareClient,
    World,
    exec_head,
    read_all,
    read_head,
    running_world,
)

VERSION = b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n"
PORT_FORWARD = exec_head().replace(b"/exec?", b"/portforward?")


class Upstream:
    """Answers each head with what it was given, and keeps what it heard."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.heads: list[bytes] = []
        self.behind = b""

    def __call__(self, conn: ssl.SSLSocket) -> None:
        for answer in self.answers:
            self.heads.append(read_head(conn))
            conn.sendall(answer)
        self.behind = read_all(conn)
        conn.unwrap()


async def ask(world: World, *parts: bytes, protocol: str = "http/1.1") -> bytes:
    """Send parts, end the own direction, and return everything that comes back."""

    def client() -> bytes:
        conn = BareClient(world.relay.port, world.ours.client_context(protocol))
        try:
            for part in parts:
                conn.send(part)
            conn.end_own_direction()
            return conn.receive_all()
        finally:
            conn.close()

    return await asyncio.to_thread(client)


async def test_an_ordinary_request_passes_with_connection_close(tmp_path: Path) -> None:
    upstream = Upstream(OK)
    async with running_world(tmp_path, upstream) as world:
        assert await ask(world, VERSION + b"later bytes") == OK
        assert world.counted("closed_off") == 1
    assert upstream.heads == [VERSION.replace(b"Host", b"Connection: close\r\nHost")]
    assert upstream.behind == b"later bytes"


async def test_a_connection_without_alpn_is_watched_too(tmp_path: Path) -> None:
    upstream = Upstream(SWITCHING)

    def client() -> bytes:
        with world.connect() as conn:
            assert conn.selected_alpn_protocol() is None
            conn.sendall(exec_head())
            return read_head(conn)

    async with running_world(tmp_path, upstream) as world:
        assert await asyncio.to_thread(client) == SWITCHING
        await world.journal.wait_for("ended")


@pytest.mark.parametrize("head", [exec_head(), exec_head(method="GET"), PORT_FORWARD])
async def test_nothing_passes_behind_a_refused_upgrade(head: bytes, tmp_path: Path) -> None:
    upstream = Upstream(FORBIDDEN)

    def client() -> bytes:
        conn = BareClient(world.relay.port, world.ours.client_context("http/1.1"))
        conn.send(head + exec_head(pod="pipelined"))
        answer = conn.receive()
        conn.send(exec_head(pod="later"))
        answer += conn.receive_all()
        conn.close()
        return answer

    async with running_world(tmp_path, upstream) as world:
        assert await asyncio.to_thread(client) == FORBIDDEN
        await world.until(lambda: world.relay.stats()["connections"] == 0)
        assert world.counted("later_request_cut") == 1
    assert len(upstream.heads) == 1
    assert upstream.behind == b""


async def test_another_upgrade_is_relayed_once_it_is_switched(tmp_path: Path) -> None:
    upstream = Upstream(SWITCHING)
    async with running_world(tmp_path, upstream) as world:

        def client() -> None:
            with world.connect("http/1.1") as conn:
                conn.sendall(PORT_FORWARD + b"early")
                assert read_head(conn) == SWITCHING
                conn.sendall(b" and late")
                conn.unwrap()

        await asyncio.to_thread(client)
        await world.until(lambda: upstream.behind == b"early and late")
        assert world.journal.of("open") == []
    assert upstream.heads == [PORT_FORWARD]


async def test_interim_answers_pass_and_do_not_count(tmp_path: Path) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    upstream = Upstream(interim + SWITCHING)

    def client() -> bytes:
        with world.connect("http/1.1") as conn:
            conn.sendall(exec_head())
            return b"".join(read_head(conn) for _ in range(3))

    async with running_world(tmp_path, upstream) as world:
        assert await asyncio.to_thread(client) == interim + SWITCHING
        assert len(await world.journal.wait_for("ended")) == 1


async def test_an_interim_answer_does_not_wait_for_the_final_one(tmp_path: Path) -> None:
    def serve(conn: ssl.SSLSocket) -> None:
        read_head(conn)
        conn.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert conn.recv(1) == b""  # the client gives up

    def client() -> bytes:
        with world.connect("http/1.1") as conn:
            conn.sendall(exec_head("Expect: 100-continue"))
            return read_head(conn)

    async with running_world(tmp_path, serve) as world:
        assert await asyncio.to_thread(client) == b"HTTP/1.1 100 Continue\r\n\r\n"


async def test_a_status_may_arrive_byte_by_byte(tmp_path: Path) -> None:
    def serve(conn: ssl.SSLSocket) -> None:
        read_head(conn)
        for byte in SWITCHING:
            conn.sendall(bytes([byte]))
        read_all(conn)

    def client() -> bytes:
        with world.connect("http/1.1") as conn:
            for byte in exec_head():
                conn.sendall(bytes([byte]))
            return read_head(conn)

    async with running_world(tmp_path, serve) as world:
        assert await asyncio.to_thread(client) == SWITCHING
        assert len(await world.journal.wait_for("ended")) == 1


@pytest.mark.parametrize(
    "answer", [b"SSH-2.0-x\r\n", b"HTTP/2 101 x\r\n\r\n", b"HTTP/1.1 1011 x\r\n"]
)
async def test_an_answer_that_is_no_http_is_no_switch(answer: bytes, tmp_path: Path) -> None:
    def serve(conn: ssl.SSLSocket) -> None:
        read_head(conn)
        conn.sendall(answer)
        conn.unwrap()

    async with running_world(tmp_path, serve) as world:
        received = await asyncio.to_thread(_exchange, world, exec_head())
        assert received == answer
        assert world.journal.of("open") == []
        (answered,) = await world.journal.wait_for("answered")
        assert answered["facts"]["code"] == 0


def _exchange(world: World, sent: bytes) -> bytes:
    with world.connect("http/1.1") as conn:
        conn.sendall(sent)
        return read_all(conn)


@pytest.mark.parametrize(
    ("code", "method", "verb"), [(403, "POST", "create"), (403, "GET", "get"), (404, "GET", "get")]
)
async def test_a_refused_exec_is_told_with_its_status(
    code: int, method: str, verb: str, tmp_path: Path
) -> None:
    upstream = Upstream(FORBIDDEN.replace(b"403", str(code).encode()))
    async with running_world(tmp_path, upstream) as world:

        def client() -> None:
            with world.connect("http/1.1") as conn:
                conn.sendall(exec_head(method=method))
                conn.recv(100)

        await asyncio.to_thread(client)
        (answered,) = await world.journal.wait_for("answered")
        assert (answered["facts"]["code"], answered["facts"]["verb"]) == (code, verb)
        assert answered["facts"]["impersonated_user"] == "user_01"
        assert world.journal.of("open") == []


async def test_an_exec_over_64_kib_is_answered_431_and_never_reaches_the_server(
    tmp_path: Path,
) -> None:
    upstream = Upstream()
    head = exec_head(query="tty=true&stdin=true&command=" + "a" * MAX_HEAD_BYTES)
    async with running_world(tmp_path, upstream) as world:
        answer = await asyncio.to_thread(_exchange, world, head)
        assert answer.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
        assert answer.endswith(b'"code": 431}')
        assert world.counted("exec_oversized") == 1
    assert upstream.heads == []


async def test_a_spoilt_exec_is_answered_400(tmp_path: Path) -> None:
    async with running_world(tmp_path, Upstream()) as world:
        answer = await asyncio.to_thread(_exchange, world, exec_head("No colon"))
        assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")


@pytest.mark.parametrize("where", ["field", "line"])
async def test_another_long_head_passes_closed_off(where: str, tmp_path: Path) -> None:
    long = b"a" * 100_000
    head = VERSION.replace(b"\r\n\r\n", b"\r\nX: " + long + b"\r\n\r\n")
    if where == "line":
        head = VERSION.replace(b"/version", b"/version?x=" + long)
    got: list[bytes] = []

    def serve(conn: ssl.SSLSocket) -> None:
        data = b""
        while not data.endswith(b"\r\n\r\n"):
            data += conn.recv(65536)
        got.append(data)
        conn.sendall(OK)
        conn.unwrap()

    async with running_world(tmp_path, serve) as world:
        assert await asyncio.to_thread(_exchange, world, head) == OK
        assert world.counted("head_unparsed") == 1
    assert got == [head.replace(b"Host", b"Connection: close\r\nHost")]
