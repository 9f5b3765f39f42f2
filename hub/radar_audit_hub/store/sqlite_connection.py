"""Opens a connection to a SQLite file so that a failure leaves no thread behind.

Owns the making of the driver's connections. Called by `database.py` for its engines. Never sets
a pragma and never runs a statement.
"""

from __future__ import annotations

import asyncio
import sqlite3
from functools import partial

import aiosqlite

_ROWS_A_TRIP = 64  # the driver's own default: rows that its iteration fetches at once


class _Connection(aiosqlite.Connection):
    """The driver's connection, which tells when its thread was asked to end."""

    stopping: asyncio.Future[None] | None = None

    def stop(self) -> asyncio.Future[None] | None:
        self.stopping = super().stop()
        return self.stopping


async def connect(path: str) -> aiosqlite.Connection:
    """Open the file at `path`. Raises sqlite3.Error when the connection's thread has ended.

    The driver ends the thread of a connection that failed without waiting for it: it would write
    a traceback if the event loop ended first.
    """
    # The driver has one thread a connection, but some of its properties are set from outside.
    connection = _Connection(partial(sqlite3.connect, path, check_same_thread=False), _ROWS_A_TRIP)
    connection._thread.daemon = True  # noqa: SLF001 - as SQLAlchemy's own creator does
    try:
        return await connection
    except BaseException:
        if connection.stopping is not None:
            await connection.stopping
        raise
