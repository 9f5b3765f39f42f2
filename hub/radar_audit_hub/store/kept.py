"""Reading connections that stay checked out between uses: a checkout costs as much as a page.

Owns `KeptConnections`. Used by `database.py` for `read()` only. Each is handed to one user
at a time, the last used first. What ends with an error gives its connection up; a sound
one is kept without a word to the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

TRY_AFTER_SECONDS = 10.0  # one that was idle for longer is tried before it is handed out
_TRY_SECONDS = 5.0
_logger = logging.getLogger(__name__)


class KeptConnections:
    """At most `limit` connections of `engine`; `is_closed` tells of one that the server ended."""

    def __init__(
        self, engine: AsyncEngine, limit: int, is_closed: Callable[[AsyncConnection], bool]
    ) -> None:
        """Hold none yet."""
        self._engine, self._is_closed = engine, is_closed
        self._places = asyncio.Semaphore(limit)
        self._idle: list[tuple[AsyncConnection, float]] = []

    @contextlib.asynccontextmanager
    async def use(self) -> AsyncIterator[AsyncConnection]:
        """Hand out a connection. Raises what the engine raises when the database is away."""
        async with self._places:
            connection = await self._take()
            try:
                yield connection
                if connection.in_transaction():
                    await connection.rollback()
            except BaseException:
                await connection.close()
                raise
            self._idle.append((connection, time.monotonic()))

    async def close(self) -> None:
        """Give all idle connections back to the pool."""
        while self._idle:
            await self._idle.pop()[0].close()

    async def _take(self) -> AsyncConnection:
        while self._idle:
            connection, since = self._idle.pop()
            if await self._is_sound(connection, since):
                return connection
            await connection.invalidate()
            await connection.close()
        return await self._engine.connect()

    async def _is_sound(self, connection: AsyncConnection, since: float) -> bool:
        if self._is_closed(connection):
            return False
        if time.monotonic() - since <= TRY_AFTER_SECONDS:
            return True
        try:
            async with asyncio.timeout(_TRY_SECONDS):
                await connection.exec_driver_sql("SELECT 1")
                await connection.rollback()
        except Exception:  # whatever it is, this connection is of no use
            _logger.info("an idle database connection had died")
            return False
        return True
