"""Guards the life of the relay: renewal without a broken stream, kill switch, drain."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import ssl
import threading
from pathlib import Path

import pytest
from radar_audit_collector.capture.gateway import pair

from tests.support.gateway_world import (
    OK,
    SWITCHING,
    WAIT_SECONDS,
    BareClient,
    Certificates,
    World,
    exec_head,
    read_all,
    read_head,
    running_world,
    tls_server,
)

VERSION = b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n"


def serve(conn: ssl.SSLSocket) -> None:
    if conn.selected_alpn_protocol() != "h2":
        head = read_head(conn)
        conn.sendall(SWITCHING if b"/exec?" in head else OK)
    while data := conn.recv(65536):
        conn.sendall(data)
    conn.unwrap()


def opened_terminal(world: World) -> BareClient:
    conn = BareClient(world.relay.port, world.ours.client_context("http/1.1"))
    conn.send(exec_head())
    assert conn.receive() == SWITCHING
    return conn


def echoes(conn: BareClient) -> bool:
    conn.send(b"still there?")
    return conn.receive() == b"still there?"


def serial(world: World) -> object:
    with world.connect("h2") as conn:
        certificate = conn.getpeercert()
        assert certificate is not None
        return certificate["serialNumber"]


async def test_a_renewed_certificate_breaks_no_stream(tmp_path: Path) -> None:
    async with running_world(tmp_path, serve, watch_files_seconds=0.05) as world:
        conn = await asyncio.to_thread(opened_terminal, world)
        before = await asyncio.to_thread(serial, world)
        world.ours.renew()
        await world.journal.wait_for("log", 2)
        assert await asyncio.to_thread(serial, world) != before
        assert await asyncio.to_thread(echoes, conn)
        conn.close()


async def test_a_spoilt_certificate_is_reported_and_not_taken(tmp_path: Path) -> None:
    async with running_world(tmp_path, serve, watch_files_seconds=0.05) as world:
        before = await asyncio.to_thread(serial, world)
        world.ours.leaf_file.write_text("-----BEGIN CERTIFICATE-----\nnone\n")
        told = await world.journal.wait_for("log", 2)
        assert told[-1]["sentence"] == "the renewed certificate cannot be used"
        assert await asyncio.to_thread(serial, world) == before


async def test_a_new_ca_of_the_api_server_counts_for_new_connections(tmp_path: Path) -> None:
    async with running_world(tmp_path, serve, watch_files_seconds=0.05) as world:
        conn = await asyncio.to_thread(opened_terminal, world)
        renewed = Certificates(tmp_path / "renewed")
        world.server.context = renewed.server_context()
        shutil.copyfile(renewed.ca_file, world.relay.config.upstream_ca_file)

        def ask() -> bytes:
            with world.connect("http/1.1") as fresh:
                fresh.sendall(VERSION)
                return fresh.recv(100)

        await world.journal.wait_for("log", 2)
        assert await asyncio.to_thread(ask) == OK
        assert await asyncio.to_thread(echoes, conn)
        conn.close()


async def test_another_endpoint_counts_for_new_connections(tmp_path: Path) -> None:
    def serve_elsewhere(conn: ssl.SSLSocket) -> None:
        read_head(conn)
        conn.sendall(OK.replace(b"ok", b"OK"))
        read_all(conn)

    async with running_world(tmp_path, serve) as world:
        conn = await asyncio.to_thread(opened_terminal, world)
        with tls_server(world.server.context, serve_elsewhere) as elsewhere:
            world.journal.order(
                "upstream", host="127.0.0.1", port=elsewhere.port, server_name="127.0.0.1"
            )
            await world.until(lambda: elsewhere.accepted == 1)

            def ask() -> bytes:
                with world.connect("http/1.1") as fresh:
                    fresh.sendall(VERSION)
                    return fresh.recv(100)

            assert (await asyncio.to_thread(ask)).endswith(b"OK")
        assert await asyncio.to_thread(echoes, conn)
        conn.close()


async def test_the_kill_switch_relays_everything_blind(tmp_path: Path) -> None:
    heads: list[bytes] = []

    def keep_alive(conn: ssl.SSLSocket) -> None:
        for _ in range(2):
            heads.append(read_head(conn))
            conn.sendall(OK)

    def client() -> None:
        with world.connect("http/1.1") as conn:
            for _ in range(2):
                conn.sendall(exec_head())
                assert conn.recv(len(OK)) == OK

    async with running_world(tmp_path, keep_alive) as world:
        world.journal.order("capture", on=False)
        await world.until(lambda: not world.relay.capture)
        await asyncio.to_thread(client)
        assert world.counted("connections_unwatched") == 1
        assert world.journal.of("open") == []
    assert heads == [exec_head(), exec_head()]


async def test_drain_goes_on_relaying_and_takes_no_new_connection(tmp_path: Path) -> None:
    async with running_world(tmp_path, serve) as world:
        conn = await asyncio.to_thread(opened_terminal, world)
        world.journal.order("drain", seconds=30)
        async with asyncio.timeout(WAIT_SECONDS):
            while not await asyncio.to_thread(_refuses, world):
                pass
        assert await asyncio.to_thread(echoes, conn)
        conn.end_own_direction()
        await asyncio.to_thread(conn.receive_all)
        conn.close()
        # With its last connection it ends, long before the 30 s are over.
        async with asyncio.timeout(WAIT_SECONDS):
            await world.relay.drained.wait()
        (ended,) = world.journal.of("ended")
        assert ended["reason"] == "client_closed"


def _refuses(world: World) -> bool:
    try:
        BareClient(world.relay.port, world.ours.client_context("h2")).close()
    except OSError:
        return True
    return False


@pytest.mark.parametrize("protocol", ["http/1.1", "h2"])
async def test_what_is_left_after_the_drain_is_closed_and_said(
    protocol: str, tmp_path: Path
) -> None:
    ended_clean = threading.Event()

    def client() -> None:
        with world.connect(protocol) as conn:
            if protocol == "http/1.1":
                conn.sendall(exec_head())
                assert read_head(conn) == SWITCHING
            ready.set()
            assert read_all(conn) == b""
            ended_clean.set()

    ready = threading.Event()
    async with running_world(tmp_path, serve) as world:
        session = asyncio.create_task(asyncio.to_thread(client))
        await asyncio.to_thread(ready.wait, WAIT_SECONDS)
        world.relay.drain(0.1)
        await world.relay.drained.wait()
        await session
        assert ended_clean.is_set()
        reasons = [message["reason"] for message in world.journal.of("ended")]
        assert reasons == (["collector_shutdown"] if protocol == "http/1.1" else [])
        await world.journal.wait_for("bye")


async def test_without_a_collector_the_relay_drains(tmp_path: Path) -> None:
    async with running_world(tmp_path, serve, drain_seconds=0.1) as world:
        conn = await asyncio.to_thread(opened_terminal, world)
        assert await asyncio.to_thread(echoes, conn)
        world.journal.close()
        assert await asyncio.to_thread(conn.receive_all) == b""
        conn.close()
        async with asyncio.timeout(WAIT_SECONDS):
            await world.relay.drained.wait()


async def test_without_a_collector_no_terminal_begins(tmp_path: Path) -> None:
    """It would be seen by nobody: the journal of the next collector knows nothing of it."""

    def begin() -> BareClient:
        conn = BareClient(world.relay.port, world.ours.client_context("http/1.1"))
        conn.send(exec_head()[:-2])
        return conn

    async with running_world(tmp_path, serve, drain_seconds=30) as world:
        open_before = await asyncio.to_thread(opened_terminal, world)
        conn = await asyncio.to_thread(begin)
        await world.until(lambda: world.relay.stats()["opening"] == 1)
        world.journal.close()
        with pytest.raises((EOFError, OSError)):
            await asyncio.to_thread(conn.receive)
        conn.close()
        assert await asyncio.to_thread(_refuses, world)
        assert await asyncio.to_thread(echoes, open_before)
        open_before.close()


@pytest.mark.parametrize("gone", ["client", "server"])
async def test_who_sends_without_end_to_a_peer_that_is_gone_is_cut_off(
    gone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else one abandoned download of a GiB would be read to its end, for nobody."""
    monkeypatch.setattr(pair, "_LINGER_SECONDS", 0.2)

    def pour(conn: ssl.SSLSocket | BareClient) -> None:
        with contextlib.suppress(OSError, ssl.SSLError):
            while True:
                conn.send(bytes(65536))

    def pour_or_leave(conn: ssl.SSLSocket) -> None:
        read_head(conn)
        conn.sendall(SWITCHING)
        conn.recv(1)
        if gone == "client":
            pour(conn)
        else:
            conn.shutdown(socket.SHUT_RDWR)

    def client() -> None:
        conn = opened_terminal(world)
        conn.send(b"x")
        if gone == "server":
            pour(conn)
        else:
            conn.reset()
        conn.close()

    async with running_world(tmp_path, pour_or_leave) as world:
        await asyncio.to_thread(client)
        await world.until(lambda: world.relay.stats()["connections"] == 0)
        counters = world.relay.stats()["counters"]
        assert counters["bytes_up"] + counters["bytes_down"] < 64 << 20
