"""The probe server: /livez, /readyz and /metrics on a port of its own.

Owns one aiohttp listener; each part's `app.py` starts it first and stops it last. Never answers
with anything but names of checks and metrics, so it needs no credential.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web
from prometheus_client import CollectorRegistry, Info, disable_created_metrics
from prometheus_client.exposition import choose_encoder

from .listener import Listener

Check = Callable[[], bool | Awaitable[bool]]
BUILD_INFO = "radar_audit_build"  # scraped as radar_audit_build_info
_MAX_CONNECTIONS = 50  # of kubelets and a few scrapers
_CHECK_SECONDS = 2.0  # a check that hangs is a failing one
_logger = logging.getLogger(__name__)


class Probes:
    """The server; `checks` (name to a function, async or not) decide readiness at each request."""

    def __init__(
        self, component: str, version: str, registry: CollectorRegistry, checks: Mapping[str, Check]
    ) -> None:
        """Put radar_audit_build_info into `registry`; nothing listens yet."""
        disable_created_metrics()  # type: ignore[no-untyped-call] # twice the series, no use
        info = Info(BUILD_INFO, "Version of the running program", registry=registry)
        info.info({"version": version, "component": component})
        self._registry, self._checks = registry, dict(checks)
        app = web.Application()
        app.add_routes([web.get("/livez", self._livez), web.get("/readyz", self._readyz)])
        app.add_routes([web.get("/metrics", self._metrics)])
        self._listener = Listener(app, _MAX_CONNECTIONS, _CHECK_SECONDS)

    async def start(self, host: str, port: int) -> int:
        """Listen; return the port (port 0 takes a free one). OSError when it is taken."""
        return await self._listener.start(host, port)

    async def stop(self) -> None:
        """Stop listening; harmless when nothing was started."""
        await self._listener.stop()

    async def _livez(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        passed = await asyncio.gather(*(self._passes(name) for name in self._checks))
        failing = [name for name, good in zip(self._checks, passed, strict=True) if not good]
        text = f"failing: {', '.join(failing)}\n" if failing else "ok\n"
        return web.Response(text=text, status=503 if failing else 200)

    async def _passes(self, name: str) -> bool:
        try:
            async with asyncio.timeout(_CHECK_SECONDS):
                result = self._checks[name]()
                return bool(await result if inspect.isawaitable(result) else result)
        except Exception:  # a check that breaks is a failing one; the server goes on
            _logger.warning("readiness check failed", extra={"check": name}, exc_info=True)
            return False

    async def _metrics(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self._registry), headers={"Content-Type": content_type})
