"""Guards the bounds of the relay and what it does when the API server is not as expected."""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path

import pytest

from tests.support.gateway_world import (
    OK,
    Certificates,
    World,
    read_all,
    read_head,
    running_world,
    tls_server,
)

VERSION = b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n"


def serve(conn: ssl.SSLSocket) -> None:
    if conn.selected_alpn_protocol() == "h2":
        while data := conn.recv(65536):
            conn.sendall(data)
        return
    read_head(conn)
    conn.sendall(OK)
    read_all(conn)


def ask_version(world: World) -> bytes:
    with world.connect("http/1.1") as conn:
        conn.sendall(VERSION)
        return conn.recv(65536)


def is_closed(world: World, sent: bytes, protocol: str | None = None) -> bool:
    """Connect, send, and tell whether the relay closes without an answer."""
    if protocol is None:
        with socket.create_connection(("127.0.0.1", world.relay.port), 10) as sock:
            sock.sendall(sent)
            try:
                return sock.recv(10) == b""
            except ConnectionError:
                return True
    try:
        with world.connect(protocol) as conn:
            conn.sendall(sent)
            return conn.recv(10) == b""
    except (ssl.SSLError, OSError):
        return True


@pytest.mark.parametrize(
    ("sent", "protocol"),
    [(b"", None), (b"\x16\x03\x01", None), (b"", "http/1.1"), (VERSION[:-2], "http/1.1")],
    ids=["silence", "half a handshake", "no head", "half a head"],
)
async def test_who_does_not_get_to_the_relay_in_time_is_closed(
    sent: bytes, protocol: str | None, tmp_path: Path
) -> None:
    async with running_world(tmp_path, serve, opening_seconds=0.3) as world:
        assert await asyncio.to_thread(is_closed, world, sent, protocol)
        await world.until(lambda: world.relay.stats()["connections"] == 0)
        assert world.counted("opening_timed_out") == 1


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x05hello"])
async def test_what_is_no_tls_is_closed(sent: bytes, tmp_path: Path) -> None:
    def client() -> bytes:
        with socket.create_connection(("127.0.0.1", world.relay.port), 10) as sock:
            sock.sendall(sent)
            received = b""
            while part := sock.recv(100):
                received += part
            return received

    async with running_world(tmp_path, serve) as world:
        assert (await asyncio.to_thread(client))[:1] in (b"", b"\x15")  # at most an alert
        await world.until(lambda: world.relay.stats()["connections"] == 0)
        assert world.counted("handshake_failed") == 1


async def test_half_open_connections_are_bounded(tmp_path: Path) -> None:
    async with running_world(tmp_path, serve, max_opening=3) as world:
        silent = [socket.create_connection(("127.0.0.1", world.relay.port)) for _ in range(3)]
        await world.until(lambda: world.relay.stats()["opening"] == 3)
        assert await asyncio.to_thread(is_closed, world, VERSION, "http/1.1")
        assert world.counted("refused_half_open") == 1
        for sock in silent:
            sock.close()
        await world.until(lambda: world.relay.stats()["opening"] == 0)
        assert await asyncio.to_thread(ask_version, world) == OK


async def test_connections_are_bounded(tmp_path: Path) -> None:
    async with running_world(tmp_path, serve, max_connections=2) as world:
        taken = [await asyncio.to_thread(world.connect, "h2") for _ in range(2)]
        await world.until(lambda: world.relay.stats()["opening"] == 0)
        assert await asyncio.to_thread(is_closed, world, VERSION, "http/1.1")
        assert world.counted("refused_full") == 1
        taken.pop().close()
        await world.until(lambda: world.relay.stats()["connections"] == 1)
        assert await asyncio.to_thread(ask_version, world) == OK
        taken.pop().close()


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def test_no_descriptor_is_left_behind(tmp_path: Path) -> None:
    def clients() -> None:
        for number in range(18):
            match number % 3:
                case 0:
                    assert ask_version(world) == OK
                case 1:
                    with world.connect("h2") as conn:
                        conn.sendall(b"x")
                        assert conn.recv(1) == b"x"
                case 2:
                    sock = socket.create_connection(("127.0.0.1", world.relay.port))
                    sock.sendall(b"\x16\x03\x01")
                    sock.close()

    async with running_world(tmp_path, serve) as world:
        before = open_descriptors()
        await asyncio.to_thread(clients)
        await world.until(lambda: world.relay.stats()["connections"] == 0)
        await world.until(lambda: open_descriptors() <= before)


async def test_no_descriptor_of_who_says_nothing_is_left_behind(tmp_path: Path) -> None:
    async with running_world(tmp_path, serve, opening_seconds=0.3) as world:
        before = open_descriptors()
        assert await asyncio.to_thread(is_closed, world, b"", None)
        await world.until(lambda: world.relay.stats()["connections"] == 0)
        await world.until(lambda: open_descriptors() <= before)


@pytest.mark.parametrize(
    ("spoken", "offered", "expected"),
    [
        (("h2", "http/1.1"), ("h2", "http/1.1"), "h2"),
        (("h2", "http/1.1"), ("http/1.1",), "http/1.1"),
        (("http/1.1",), ("h2", "http/1.1"), "http/1.1"),
        ((), ("h2", "http/1.1"), None),
    ],
)
async def test_radar_is_offered_what_the_api_server_speaks(
    spoken: tuple[str, ...], offered: tuple[str, ...], expected: str | None, tmp_path: Path
) -> None:
    def client() -> str | None:
        with world.connect(*offered) as conn:
            return conn.selected_alpn_protocol()

    async with running_world(tmp_path, serve, protocols=spoken) as world:
        await world.until(lambda: bool(world.relay.stats()["reachable"]))
        assert world.relay.stats()["protocols"] == list(spoken or ("",))
        assert await asyncio.to_thread(client) == expected


async def test_a_protocol_that_cannot_be_mirrored_closes_and_is_learnt(tmp_path: Path) -> None:
    async with running_world(tmp_path, serve) as world:
        world.server.context.set_alpn_protocols(["http/1.1"])
        assert await asyncio.to_thread(is_closed, world, b"PRI", "h2")
        assert world.counted("alpn_mismatch") == 1
        await world.until(lambda: world.relay.stats()["protocols"] == ["http/1.1"])


async def test_an_api_server_that_is_away_is_counted_and_found_again(tmp_path: Path) -> None:
    async with running_world(tmp_path, serve) as world:
        port = world.server.port
        world.server.close()
        assert await asyncio.to_thread(is_closed, world, VERSION, "http/1.1")
        assert world.counted("upstream_failed") == 1
        with tls_server(world.server.context, serve, port=port) as server:
            server.accepted = 1  # the relay's first connection, for its protocols, came before
            assert await asyncio.to_thread(ask_version, world) == OK


async def test_an_api_server_that_cannot_be_trusted_hears_nothing(tmp_path: Path) -> None:
    async with running_world(tmp_path, serve) as world:
        stranger = Certificates(tmp_path / "stranger")
        world.server.context = stranger.server_context()
        accepted = world.server.accepted
        assert await asyncio.to_thread(is_closed, world, VERSION, "http/1.1")
        assert world.counted("upstream_failed") == 1
        assert world.server.accepted == accepted + 1
        await world.until(lambda: bool(world.server.faults))
        assert isinstance(world.server.faults[-1], ssl.SSLError | OSError)


async def test_a_certificate_for_another_name_is_not_taken(tmp_path: Path) -> None:
    async with running_world(
        tmp_path, serve, protocols=(), upstream_server_name="10.0.0.1"
    ) as world:
        assert await asyncio.to_thread(is_closed, world, VERSION, "http/1.1")
        assert world.counted("upstream_failed") == 1
