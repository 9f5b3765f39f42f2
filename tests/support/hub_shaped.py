"""A server on loopback that answers a collector as the hub does, or in any of its bad ways.

Keeps what it took by source key, so that a test can ask for exactly-once. A real
socket and real HTTP: only the store behind it is missing.
"""

from __future__ import annotations

import asyncio
import gzip
import ssl
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec
from aiohttp import web
from radar_audit_events.wire import (
    HeartbeatAnswer,
    HeartbeatRequest,
    IngestAnswer,
    IngestRequest,
    IngestResult,
    WireEvent,
    kind_of,
)

TOKEN = "rhc_test"
Fault = Callable[[web.Request, bytes], Awaitable[web.StreamResponse]]
Judge = Callable[[WireEvent], IngestResult | None]


class HubShaped:
    """`faults` are used up, one a request; `judge` may override the result of an event."""

    def __init__(self) -> None:
        self.faults: deque[Fault] = deque()
        self.judge: Judge = lambda _: None
        self.refuses_whole: Callable[[IngestRequest], int | None] = lambda _: None
        self.token = TOKEN
        self.org_id = "org_x"
        self.capture: dict[str, object] | None = None
        self.capture_etag: str | None = None
        self.upgrade: str | None = None
        self.is_older = False  # it knows no reports about upgrades
        self.taken: dict[tuple[str, str], WireEvent] = {}
        self.order: list[str] = []
        self.duplicates = 0
        self.gaps: dict[str, msgspec.Struct] = {}
        self.batches: list[IngestRequest] = []
        self.heartbeats: list[HeartbeatRequest] = []
        self.requests = 0
        self.url = ""
        self.stopping = asyncio.Event()
        self._runner: web.AppRunner | None = None

    async def start(self, port: int = 0, context: ssl.SSLContext | None = None) -> None:
        self.stopping.clear()
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/api/ingest/events", self._ingest)
        app.router.add_post("/api/agent/heartbeat", self._heartbeat)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port, ssl_context=context)
        await site.start()
        scheme = "http" if context is None else "https"
        self.url = f"{scheme}://localhost:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        self.stopping.set()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something is true; the test's own time limit ends it otherwise."""
        while True:
            if condition():
                return
            await asyncio.sleep(0.01)

    async def _ingest(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        body = await request.read()
        if self.faults:
            return await self.faults.popleft()(request, body)
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return problem(401, "unauthorized", "the token is not known")
        batch = msgspec.json.decode(body, type=IngestRequest)
        status = self.refuses_whole(batch)
        if status is not None:
            return problem(status, "invalid_body", "something in it is wrong")
        self.batches.append(batch)
        results = [self.judge(event) or self._store(event) for event in batch.events]
        self.gaps.update({gap.gap_id: gap for gap in batch.gaps})
        return as_json(IngestAnswer(results=results))

    def _store(self, event: WireEvent) -> IngestResult:
        key = (event.session_id, kind_of(event.action, event.metadata))
        if key in self.taken:
            self.duplicates += 1
            return IngestResult(result="duplicate")
        self.taken[key] = event
        self.order.append(event.session_id)
        return IngestResult(result="accepted")

    async def _heartbeat(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return problem(401, "unauthorized", "the token is not known")
        beat = msgspec.json.decode(await request.read(), type=HeartbeatRequest)
        if self.is_older and beat.upgrade is not None:
            return problem(422, "invalid_body", "upgrade: is not a known field")
        self.heartbeats.append(beat)
        return as_json(
            HeartbeatAnswer(
                now=beat.sent_at,
                org_id=self.org_id,
                cluster_id="cl_1",
                cluster_name="prod",
                capture=self.capture,
                capture_etag=self.capture_etag,
                upgrade=self.upgrade,
            )
        )


def as_json(value: object, status: int = 200) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(value), status=status, content_type="application/json"
    )


def problem(status: int, code: str, detail: str) -> web.Response:
    return as_json({"status": status, "code": code, "detail": detail, "title": code}, status)


def status_only(status: int, **headers: str) -> Fault:
    async def answer(request: web.Request, body: bytes) -> web.StreamResponse:
        del request, body
        return web.Response(status=status, headers=headers)

    return answer


def raw(body: bytes) -> Fault:
    async def answer(request: web.Request, received: bytes) -> web.StreamResponse:
        del request, received
        return web.Response(body=body, content_type="application/json")

    return answer


def hang(hub: HubShaped) -> Fault:
    """Give no answer as long as the hub lives."""

    async def answer(request: web.Request, body: bytes) -> web.StreamResponse:
        del request, body
        await hub.stopping.wait()
        return web.Response(status=503)

    return answer


async def cut(request: web.Request, body: bytes) -> web.StreamResponse:
    """Close the connection in the middle of the answer."""
    del body
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"results":[')
    assert request.transport is not None
    request.transport.abort()
    return response


def endless_answer(total_bytes: int) -> Fault:
    async def answer(request: web.Request, body: bytes) -> web.StreamResponse:
        del body
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            for _ in range(total_bytes // 65536):
                await response.write(b"x" * 65536)
        except ConnectionError:
            pass
        return response

    return answer


def store_then_lose_the_answer(hub: HubShaped) -> Fault:
    """Commit the batch as the hub does, then cut the connection before the answer."""

    async def answer(request: web.Request, body: bytes) -> web.StreamResponse:
        batch = msgspec.json.decode(body, type=IngestRequest)
        for event in batch.events:
            hub._store(event)
        return await cut(request, body)

    return answer


@asynccontextmanager
async def running_hub() -> AsyncIterator[HubShaped]:
    hub = HubShaped()
    await hub.start()
    try:
        yield hub
    finally:
        await hub.stop()


def unzip(body: bytes) -> bytes:
    return gzip.decompress(body)
