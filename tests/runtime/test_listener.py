"""Strangers can neither fill a listener up nor get their bytes back from it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from radar_audit_runtime.listener import Listener

LIMIT = 4
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Gate:
    """Before it requests wait until it is opened."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.waiting = 0


@asynccontextmanager
async def listening(gate: Gate | None = None) -> AsyncIterator[int]:
    """Serve `ok` at every path, once `gate` is open; yield the port."""

    async def answer(_: web.Request) -> web.Response:
        if gate is not None:
            gate.waiting += 1
            await gate.opened.wait()
        return web.Response(text="ok")

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    listener = Listener(app, LIMIT, 1)
    port = await listener.start("127.0.0.1", 0)
    try:
        yield port
    finally:
        await listener.stop()


@asynccontextmanager
async def clients(port: int, count: int, sent: bytes) -> AsyncIterator[list[Streams]]:
    """Open connections one after another and send the same on each."""
    opened: list[Streams] = []
    try:
        for _ in range(count):
            streams = await asyncio.open_connection("127.0.0.1", port)
            streams[1].write(sent)
            opened.append(streams)
            await asyncio.sleep(0.01)  # so that the server sees them in this order
        yield opened
    finally:
        for _, writer in opened:
            writer.close()


async def reply(streams: Streams) -> bytes:
    """Return the first line of an answer, nothing if the connection was closed without one."""
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(30):
            return (await streams[0].readline()).strip()
    return b""


async def ask(port: int) -> bytes:
    """Send one request on a connection of its own."""
    async with clients(port, 1, GET) as [streams]:
        return await reply(streams)


@pytest.mark.parametrize(
    "sent", [b"", b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "], ids=["idle", "head"]
)
async def test_strangers_who_ask_nothing_keep_nobody_out(sent: bytes) -> None:
    async with listening() as port, clients(port, LIMIT * 3, sent) as strangers:
        assert await ask(port) == b"HTTP/1.1 200 OK"
        assert [await reply(stranger) for stranger in strangers[: LIMIT * 2]] == [b""] * LIMIT * 2


async def test_connection_that_has_asked_before_outlives_one_that_never_did() -> None:
    async with listening() as port, clients(port, 1, GET) as [friend]:
        assert await reply(friend) == b"HTTP/1.1 200 OK"
        async with clients(port, LIMIT * 2, b""):
            friend[1].write(GET)
            assert b"ok" in await friend[0].readuntil(b"ok")
            assert b"ok" in await friend[0].readuntil(b"ok")


async def test_running_requests_are_not_cut_for_new_ones() -> None:
    gate = Gate()
    async with listening(gate) as port, clients(port, LIMIT, GET) as busy:
        while gate.waiting < LIMIT:  # noqa: ASYNC110 - the handler tells nobody
            await asyncio.sleep(0.005)
        assert await ask(port) == b""
        gate.opened.set()
        assert [await reply(one) for one in busy] == [b"HTTP/1.1 200 OK"] * LIMIT
        assert await ask(port) == b"HTTP/1.1 200 OK"


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /CANARY HTTP/9.9\r\n\r\n",
        b"CANARY\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: \0CANARY\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: CANARY\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nCANARY\r\n",
    ],
)
async def test_what_cannot_be_parsed_is_repeated_nowhere(
    sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        async with listening() as port, clients(port, 1, sent) as [(reader, _)]:
            answer = await reader.read()
    assert answer.startswith(b"HTTP/1.0 400 ")
    assert b"CANARY" not in answer
    assert "CANARY" not in caplog.text
