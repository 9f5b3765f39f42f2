"""An HTTP listener that strangers cannot fill up and that never repeats what it could not parse.

Owns `Listener` and the `ClientConnection` it serves. Used by the probes, the hub's API and the
collector's webhook sink. Never keeps more connections than files may be open: without a free one
a program cannot even read its own database.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import ssl
import time
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

KEEPALIVE_SECONDS = 75.0  # also for a first head that does not come
_HANDSHAKE_SECONDS = 10.0
_QUIET_SECONDS = 60.0
_BUSY = "too many connections: idle ones are closed for new ones"
_logger = logging.getLogger(__name__)


class ClientConnection(RequestHandler):
    """One client's connection.

    Errors outside of the handlers get an answer without a cause: aiohttp would quote the bytes
    that it does not understand.
    """

    def __init__(self, manager: web.Server, bound: _Bound, **options: Any) -> None:
        """Pass `options` on to aiohttp."""
        super().__init__(manager, loop=asyncio.get_running_loop(), **options)
        self._bound = bound

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a place, or that of a connection which does nothing."""
        super().connection_made(transport)
        self._bound.add(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Give the place back."""
        self._bound.open.pop(self, None)
        super().connection_lost(exc)

    def idleness(self) -> int:
        """Return 2 if nothing was ever asked here, 1 between two requests, 0 during one."""
        waits = self._waiter is not None and not self._waiter.done()
        return waits * (2 if self._request_count == 0 else 1)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer with the status alone; the log has the error's type, no text of it."""
        if isinstance(exc, ConnectionError) or request.writer.output_size > 0:
            raise ConnectionResetError("the answer was cut short") from None
        facts = {"status": status, "error": type(exc).__name__}
        _logger.log(logging.ERROR if status >= 500 else logging.INFO, "bad request", extra=facts)
        response = web.Response(status=status, text="the request cannot be answered\n")
        response.force_close()
        return response


class _Bound:
    """The open connections, the oldest first: at most `limit` of them."""

    def __init__(self, limit: int) -> None:
        self._limit, self._quiet_until = limit, 0.0
        self.open: dict[ClientConnection, None] = {}

    def add(self, connection: ClientConnection) -> None:
        self.open[connection] = None
        if len(self.open) <= self._limit:
            return
        # The oldest of the idlest; the new one, which has no task yet, only if all are at work.
        victim = max(self.open, key=ClientConnection.idleness)
        victim = victim if victim.idleness() else connection
        del self.open[victim]
        victim.force_close()
        if time.monotonic() >= self._quiet_until:  # strangers must not fill the log either
            self._quiet_until = time.monotonic() + _QUIET_SECONDS
            _logger.warning(_BUSY, extra={"limit": self._limit})


class Listener:
    """Serves an application on one address; `options` are aiohttp's for each connection."""

    def __init__(
        self,
        app: web.Application,
        max_connections: int,
        shutdown_seconds: float,
        connection: type[ClientConnection] = ClientConnection,
        **options: Any,
    ) -> None:
        """Listen nowhere yet; `shutdown_seconds` is how long `stop` lets running requests go on."""
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._bound = _Bound(min(max_connections, files * 3 // 4))
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=shutdown_seconds)
        self._connection = connection
        self._options = {"access_log": None, "keepalive_timeout": KEEPALIVE_SECONDS} | options
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Listen; return the port (port 0 takes a free one). OSError when it is taken."""
        await self._runner.setup()
        manager = self._runner.server
        assert manager is not None
        self._server = await asyncio.get_running_loop().create_server(
            lambda: self._connection(manager, self._bound, **self._options),
            host,
            port,
            ssl=tls,
            ssl_handshake_timeout=None if tls is None else _HANDSHAKE_SECONDS,
        )
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Take no new connection, let running requests end, then cut what is left."""
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()
