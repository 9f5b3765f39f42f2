"""Clients that ask for large answers and do not read them: the memory for it is bounded."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from radar_audit_hub import protocol
from radar_audit_hub.streaming import sent
from radar_audit_hub.turns import Turns

SIZE_BYTES = 8 * 1024 * 1024  # more than the kernel's buffers of a connection hold
ASK = "GET {} HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n"


@pytest.fixture
def turns() -> Turns:
    """The turns in which pages are made."""
    return Turns()


@pytest.fixture
async def port(monkeypatch: pytest.MonkeyPatch, turns: Turns) -> AsyncIterator[int]:
    """The port of a listener that holds two large answers and no third."""
    monkeypatch.setattr(protocol, "UNREAD_BYTES", 2 * SIZE_BYTES + 1024)

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=bytes(SIZE_BYTES))

    async def page(request: web.Request) -> web.StreamResponse:
        async with turns.take("org"):
            return await sent(request, await answer(request), 30)

    app = web.Application()
    app.router.add_get("/", answer)
    app.router.add_get("/page", page)
    serving = protocol.listener(app, 100, 0.1)
    try:
        yield await serving.start("127.0.0.1", 0)
    finally:
        await serving.stop()


async def asked(port: int, path: str = "/") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Ask for the answer, wait for its head, and read no further."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=raw, limit=64 * 1024)
    writer.write(ASK.format(path).encode())
    await reader.readuntil(b"\r\n\r\n")
    return reader, writer


async def rest(reader: asyncio.StreamReader) -> int:
    """Read the body and return how many bytes came of it."""
    count = 0
    try:
        while data := await reader.read(64 * 1024):
            count += len(data)
    except ConnectionResetError:
        pass
    return count


async def test_answers_that_nobody_reads_are_cut_when_they_are_too_many(port: int) -> None:
    clients = [await asked(port) for _ in range(3)]
    try:
        first, second, third = (reader for reader, _ in clients)
        assert await rest(first) < SIZE_BYTES
        assert await rest(second) == SIZE_BYTES
        assert await rest(third) == SIZE_BYTES
    finally:
        for _, writer in clients:
            writer.close()


async def test_answers_that_are_read_make_room(port: int) -> None:
    for _ in range(3):
        reader, writer = await asked(port)
        try:
            assert await rest(reader) == SIZE_BYTES
        finally:
            writer.close()


async def test_page_holds_its_turn_until_it_is_taken(port: int, turns: Turns) -> None:
    reader, writer = await asked(port, "/page")
    try:
        assert len(turns) == 1
        assert await rest(reader) == SIZE_BYTES
        assert len(turns) == 0
    finally:
        writer.close()
