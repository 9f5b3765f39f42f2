"""An HTTP hop that misbehaves on purpose: what a hub behind a bad network looks like.

Owns `ChaosProxy`. Called by the torture tests. It forwards most requests
unharmed; the others it refuses, garbles, hangs or (worst) forwards and then
swallows the answer, so that the sender cannot know what was stored.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp import web

FAULTS = ("refuse_429", "refuse_503", "garbage", "hang", "cut_before", "cut_after", "wrong_count")
_HANG_SECONDS = 1.0


class ChaosProxy:
    """Listens on a loopback port and forwards to `target()`; `seed` decides its moods."""

    def __init__(self, target: str, seed: int, fault_share: float) -> None:
        """Keep the facts; `fault_share` is the part of requests that meet a fault."""
        self.faults: Counter[str] = Counter()
        self.port = 0
        self._target = target
        self._random = random.Random(seed)
        self._share = fault_share

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._client = aiohttp.ClientSession(auto_decompress=False)
        self._runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._runner.cleanup()
        await self._client.close()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def calm(self) -> None:
        """Forward everything unharmed from now on."""
        self._share = 0

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        fault = self._random.choice(FAULTS) if self._random.random() < self._share else None
        if fault is not None:
            self.faults[fault] += 1
        if fault == "refuse_429":
            return web.Response(status=429, headers={"Retry-After": "0"})
        if fault == "refuse_503":
            return web.Response(status=503)
        if fault == "garbage":
            return web.Response(body=b"<html>\xff not the hub", content_type="text/html")
        if fault in ("hang", "cut_before"):
            await asyncio.sleep(_HANG_SECONDS if fault == "hang" else 0)
            return self._cut(request)
        answer = await self._forward(request)
        if fault == "cut_after":
            return self._cut(request)
        if fault == "wrong_count":
            return web.Response(body=b'{"results":[]}', content_type="application/json")
        return answer

    def _cut(self, request: web.Request) -> web.Response:
        if request.transport is not None:
            request.transport.abort()
        return web.Response()

    async def _forward(self, request: web.Request) -> web.Response:
        skipped = {"host", "content-length", "transfer-encoding", "connection"}
        headers = {k: v for k, v in request.headers.items() if k.lower() not in skipped}
        # The server half has decompressed the body already.
        headers = {k: v for k, v in headers.items() if k.lower() != "content-encoding"}
        try:
            async with self._client.request(
                request.method,
                self._target + request.path_qs,
                data=await request.read(),
                headers=headers,
            ) as answer:
                return web.Response(
                    status=answer.status,
                    body=await answer.read(),
                    content_type=answer.content_type,
                )
        except (aiohttp.ClientError, OSError):
            return self._cut(request)
