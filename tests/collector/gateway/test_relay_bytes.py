"""Guards that the relay is faithful to the byte, however the two ends behave."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import socket
import ssl
import threading
from pathlib import Path

import pytest

from tests.support.gateway_world import (
    SWITCHING,
    WAIT_SECONDS,
    BareClient,
    exec_head,
    read_all,
    read_head,
    running_world,
)

MIB = 1 << 20


def echo(conn: ssl.SSLSocket) -> None:
    while data := conn.recv(65536):
        conn.sendall(data)
    conn.unwrap()


def terminal_echo(conn: ssl.SSLSocket) -> None:
    read_head(conn)
    conn.sendall(SWITCHING)
    echo(conn)


def exchange(conn: ssl.SSLSocket, sent: bytes, seed: int) -> bytes:
    """Send `sent` in pieces of random sizes while reading back as much."""
    sizes = random.Random(seed)

    def send() -> None:
        at = 0
        while at < len(sent):
            size = sizes.choice([1, 5, 100, 16_383, 16_384, 16_385, 70_000])
            conn.sendall(sent[at : at + size])
            at += size

    sender = threading.Thread(target=send)
    sender.start()
    received = bytearray()
    while len(received) < len(sent):
        received += conn.recv(sizes.choice([1, 1000, 65536]))
    sender.join()
    return bytes(received)


@pytest.mark.parametrize("seed", range(3))
async def test_http2_is_relayed_blind_and_unchanged(seed: int, tmp_path: Path) -> None:
    sent = random.Random(seed).randbytes(2 * MIB + seed)

    def client() -> bytes:
        with world.connect("h2", "http/1.1") as conn:
            assert conn.selected_alpn_protocol() == "h2"
            return exchange(conn, sent, seed)

    async with running_world(tmp_path, echo) as world:
        assert await asyncio.to_thread(client) == sent
        assert world.journal.of("open") == []


@pytest.mark.parametrize("seed", range(2))
async def test_a_terminal_is_relayed_unchanged(seed: int, tmp_path: Path) -> None:
    sent = random.Random(seed).randbytes(MIB + seed)

    def client() -> bytes:
        with world.connect("http/1.1") as conn:
            conn.sendall(exec_head())
            assert read_head(conn) == SWITCHING
            return exchange(conn, sent, seed)

    async with running_world(tmp_path, terminal_echo) as world:
        assert await asyncio.to_thread(client) == sent


async def test_bytes_sent_with_the_head_arrive_behind_the_switch(tmp_path: Path) -> None:
    def client() -> bytes:
        with world.connect("http/1.1") as conn:
            conn.sendall(exec_head() + b"typed early")
            assert read_head(conn) == SWITCHING
            return conn.recv(100)

    async with running_world(tmp_path, terminal_echo) as world:
        assert await asyncio.to_thread(client) == b"typed early"


@pytest.mark.parametrize("protocol", ["h2", "http/1.1"])
async def test_nothing_is_lost_when_the_server_closes_before_a_slow_reader(
    protocol: str, tmp_path: Path
) -> None:
    content = os.urandom(3 * MIB)

    def serve(conn: ssl.SSLSocket) -> None:
        if conn.selected_alpn_protocol() == "http/1.1":
            read_head(conn)
            conn.sendall(SWITCHING)
        else:
            conn.recv(10)
        conn.sendall(content)
        conn.unwrap()

    def client() -> bytes:
        with world.connect(protocol) as conn:
            if protocol == "http/1.1":
                conn.sendall(exec_head())
                read_head(conn)
            else:
                conn.sendall(b"begin")
            slow.wait(0.5)
            return read_all(conn)

    slow = threading.Event()
    async with running_world(tmp_path, serve) as world:
        received = await asyncio.to_thread(client)
    assert hashlib.sha256(received).digest() == hashlib.sha256(content).digest()


async def test_an_answer_follows_although_the_client_has_ended_its_direction(
    tmp_path: Path,
) -> None:
    def serve(conn: ssl.SSLSocket) -> None:
        sent = read_all(conn)
        conn.sendall(b"got " + sent)
        conn.unwrap()

    def client() -> bytes:
        conn = BareClient(world.relay.port, world.ours.client_context("h2"))
        conn.send(b"all of it")
        conn.end_own_direction()
        answer = conn.receive_all()
        conn.close()
        return answer

    async with running_world(tmp_path, serve) as world:
        assert await asyncio.to_thread(client) == b"got all of it"
        await world.until(lambda: world.relay.stats()["connections"] == 0)


async def test_the_server_may_end_its_direction_first(tmp_path: Path) -> None:
    heard: list[bytes] = []

    def serve(conn: ssl.SSLSocket) -> None:
        conn.recv(5)
        conn.sendall(b"bye")
        conn.unwrap()

    def client() -> None:
        with world.connect("h2") as conn:
            conn.sendall(b"hello")
            heard.append(read_all(conn))
            conn.unwrap()

    async with running_world(tmp_path, serve) as world:
        await asyncio.to_thread(client)
        assert heard == [b"bye"]
        await world.until(lambda: world.relay.stats()["connections"] == 0)


async def test_an_end_without_notice_is_passed_on_as_one(tmp_path: Path) -> None:
    """A stream that was cut must not look like one that has ended."""
    seen: list[object] = []

    def serve(conn: ssl.SSLSocket) -> None:
        try:
            while data := conn.recv(100):
                seen.append(data)
            seen.append("clean")
        except ssl.SSLError as exc:  # SSLEOFError, in a newer Python
            seen.append("cut" if exc.reason == "UNEXPECTED_EOF_WHILE_READING" else exc)

    def client() -> None:
        context = world.ours.client_context("h2")
        conn = BareClient(world.relay.port, context)
        conn.send(b"half a thought")
        conn.end_without_notice()
        with pytest.raises(EOFError):
            conn.receive_all()
        conn.close()

    async with running_world(tmp_path, serve) as world:
        await asyncio.to_thread(client)
        await world.until(lambda: bool(seen) and seen[-1] in ("clean", "cut"))
    assert seen == [b"half a thought", "cut"]


async def test_an_end_right_behind_the_switch_is_passed_on(tmp_path: Path) -> None:
    """It may come while the 101 still waits for the journal."""

    def serve(conn: ssl.SSLSocket) -> None:
        read_head(conn)
        conn.sendall(SWITCHING + b"last words")
        conn.shutdown(socket.SHUT_RDWR)

    def client() -> bytes:
        conn = BareClient(world.relay.port, world.ours.client_context("http/1.1"))
        conn.send(exec_head())
        received = conn.receive()
        with pytest.raises(EOFError):
            conn.receive_all()
        conn.close()
        return received

    async with running_world(tmp_path, serve) as world:
        world.journal.answer = None
        received = asyncio.create_task(asyncio.to_thread(client))
        (opened,) = await world.journal.wait_for("open")
        await asyncio.sleep(0.1)  # the end arrives meanwhile
        world.journal.order("stored", ref=opened["ref"], ok=True)
        assert await received == SWITCHING + b"last words"
        (ended,) = await world.journal.wait_for("ended")
        assert ended["reason"] == "error"


async def test_a_reset_ends_the_other_side(tmp_path: Path) -> None:
    over = threading.Event()

    def serve(conn: ssl.SSLSocket) -> None:
        read_head(conn)
        conn.sendall(SWITCHING)
        try:
            read_all(conn)
        finally:
            over.set()

    def client() -> None:
        conn = BareClient(world.relay.port, world.ours.client_context("http/1.1"))
        conn.send(exec_head())
        conn.receive()
        conn.reset()
        assert over.wait(WAIT_SECONDS)

    async with running_world(tmp_path, serve) as world:
        await asyncio.to_thread(client)
        (ended,) = await world.journal.wait_for("ended")
        assert ended["reason"] == "client_closed"
        await world.until(lambda: world.relay.stats()["connections"] == 0)


async def test_an_early_answer_survives_the_reset_behind_it(tmp_path: Path) -> None:
    """A server may answer and close while its client is still sending."""
    refusal = b"HTTP/1.1 413 Too Large\r\nConnection: close\r\n\r\nno"

    def serve(conn: ssl.SSLSocket) -> None:
        read_head(conn)
        conn.sendall(refusal)
        conn.shutdown(socket.SHUT_RDWR)

    def client() -> bytes:
        conn = BareClient(world.relay.port, world.ours.client_context("http/1.1"))
        conn.send(b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n")
        answer = b""
        try:
            for _ in range(64):
                conn.send(bytes(65536))
        except OSError:
            pass
        try:
            while part := conn.receive():
                answer += part
        except (OSError, EOFError):
            pass
        conn.close()
        return answer

    async with running_world(tmp_path, serve) as world:
        assert await asyncio.to_thread(client) == refusal


async def test_a_reader_that_stops_costs_a_fixed_amount_of_memory(tmp_path: Path) -> None:
    served = 0

    def serve(conn: ssl.SSLSocket) -> None:
        nonlocal served
        if conn.recv(10) == b"ping":
            conn.sendall(b"pong")
            return
        block = bytes(65536)
        while not stop.is_set():
            conn.sendall(block)
            served += len(block)

    def other() -> bytes:
        with world.connect("h2") as conn:
            conn.sendall(b"ping")
            return conn.recv(10)

    def stalled() -> ssl.SSLSocket:
        conn = world.connect("h2")
        conn.sendall(b"go")
        return conn

    stop = threading.Event()
    async with running_world(tmp_path, serve) as world:
        conn = await asyncio.to_thread(stalled)
        before = -1
        while before != served or served == 0:
            before = served
            await asyncio.sleep(0.3)
        (pair,) = world.relay._connections
        backlog = sum(side.backlog_bytes() for side in (pair.client, pair.upstream) if side)
        assert backlog < 512 * 1024
        assert await asyncio.to_thread(other) == b"pong"
        stop.set()
        conn.close()
