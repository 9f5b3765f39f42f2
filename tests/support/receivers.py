"""A receiver of notifications on a loopback port, in TLS, which behaves as a test tells it to.

Owns `Receiver`: it keeps what it was sent, and answers, hangs, redirects, breaks off or never
ends. Called by the tests of deliveries.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web
from multidict import CIMultiDictProxy

MIB = 1024 * 1024


@dataclass(frozen=True)
class Got:
    """A request that came in; `name` is the server name of its TLS hello."""

    path: str
    headers: CIMultiDictProxy[str]
    body: bytes
    name: str | None

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return msgspec.json.decode(self.body)


@dataclass(frozen=True)
class Reply:
    """What is answered; `how` other than `answer` is misbehaviour."""

    status: int = 200
    text: str = "ok"
    headers: dict[str, str] = field(default_factory=dict)
    how: str = "answer"


@dataclass
class Receiver:
    """What came in, and what is answered: `replies` one after another, then `usual`."""

    port: int = 0
    got: list[Got] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)
    usual: Reply = field(default_factory=Reply)
    sent_bytes: int = 0
    names: list[str | None] = field(default_factory=list)
    _going: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"https://127.0.0.1:{self.port}/hooks/canary-path-5f3a"

    @property
    def ids(self) -> list[str]:
        """The webhook-ids that came in."""
        return [one.headers["webhook-id"] for one in self.got]

    async def wait_for(self, met: Callable[[], bool]) -> None:
        """Wait until something is so, two minutes at most."""
        async with asyncio.timeout(120):
            while not met():  # noqa: ASYNC110 - what it is changes in many places
                await asyncio.sleep(0.01)

    def release(self) -> None:
        """Answer all requests that hang, and those that would."""
        self._going.set()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Take one request and behave."""
        body = await request.read()
        name = self.names[-1] if self.names else None
        self.got.append(Got(request.path, request.headers, body, name))
        reply = self.replies.pop(0) if self.replies else self.usual
        match reply.how:
            case "hang":
                await self._going.wait()
            case "close":
                assert request.transport is not None
                request.transport.close()
            case "break":
                assert request.transport is not None
                request.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
                request.transport.close()
            case "garbage":
                assert request.transport is not None
                request.transport.write(b"\x00\xff not HTTP\r\n\r\n")
                request.transport.close()
            case "latin1":  # a header in an encoding of its own
                assert request.transport is not None
                head = b"HTTP/1.1 200 OK\r\nServer: caf\xe9\r\nConnection: close\r\n"
                request.transport.write(head + b"Content-Length: 2\r\n\r\nok")
                request.transport.close()
            case "echo":
                said = f"{request.path_qs} {body.decode()} {dict(request.headers)}"
                return web.Response(status=reply.status, text=said)
            case "gigabyte":
                return await self._gigabyte(request, reply)
        return web.Response(status=reply.status, text=reply.text, headers=reply.headers)

    async def _gigabyte(self, request: web.Request, reply: Reply) -> web.StreamResponse:
        answer = web.StreamResponse(status=reply.status)
        await answer.prepare(request)
        with contextlib.suppress(ConnectionError):
            for _ in range(1024):
                await answer.write(b"x" * MIB)
                self.sent_bytes += MIB
        return answer


@asynccontextmanager
async def receiver(tls: ssl.SSLContext | None, host: str = "127.0.0.1") -> AsyncIterator[Receiver]:
    """Serve a receiver; `tls` None: plain HTTP."""
    made = Receiver()
    if tls is not None:
        tls.sni_callback = lambda _socket, name, _context: made.names.append(name)
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", made.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, host, 0, ssl_context=tls).start()
    made.port = runner.addresses[0][1]
    try:
        yield made
    finally:
        made.release()
        await runner.cleanup()
