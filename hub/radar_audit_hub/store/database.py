"""The connection to SQLite or PostgreSQL.

Owns engines, pools, pragmas and session settings. Called by every module of
this folder and by app start-up. Never puts a database URL (it holds a
password) into a log or an exception.

SQLite: WAL, synchronous=FULL, one writer connection whose transactions begin
IMMEDIATE, a pool of readers. PostgreSQL: readers run without a transaction.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Table, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from .kept import KeptConnections
from .scans import Scans
from .sqlite_connection import connect

Dialect = Literal["postgresql", "sqlite"]
Connection = AsyncConnection  # what `read` and `write` hand out, for callers outside this folder
PING_AFTER_SECONDS = 10.0  # a connection that was idle for longer is tried before it is used
_IDLE_SINCE = "radar_audit_idle_since"
BUSY_TIMEOUT_MS = 10_000  # another process (the admin command) may hold SQLite's write lock
_PG_SETTINGS = {
    "application_name": "radar-audit-hub",
    "statement_timeout": "60s",
    "lock_timeout": "20s",
    "idle_in_transaction_session_timeout": "60s",
    # A generic plan made while a table was empty reads the whole org: measured 5-7x slower.
    "plan_cache_mode": "force_custom_plan",
    "jit": "off",
}


class DatabaseUrlError(ValueError):
    """The database URL is of no kind that the hub can open."""


def parse_url(url: str) -> URL:
    """Read `sqlite:///absolute/path` or `postgresql://…` and name the async driver.

    Raises DatabaseUrlError, which never repeats the URL.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # the latter for a port that is no number
        raise DatabaseUrlError(_EXPECTED) from None
    backend = parsed.get_backend_name()
    if backend == "sqlite" and parsed.database:
        return parsed.set(drivername="sqlite+aiosqlite")
    if backend in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+asyncpg")
    raise DatabaseUrlError(_EXPECTED)


_EXPECTED = "a database URL is sqlite:////absolute/path/file.db or postgresql://user@host/name"


class Database:
    """One open database: `read()` and `write()` hand out connections."""

    def __init__(
        self,
        dialect: Dialect,
        reader: AsyncEngine,
        writer: AsyncEngine,
        *,
        kept: int,
        max_long_reads: int,
    ) -> None:
        """Take engines that `open` made; `kept` connections stay open for short reads.

        More than `max_long_reads` at once would leave no connection to the writers.
        """
        self.dialect: Dialect = dialect
        self.max_long_reads = max_long_reads
        self._reader = reader
        self._writer = writer
        self._kept = KeptConnections(reader, kept, _is_closed)
        # The other half is for reads that take a millisecond, sign-ins among them.
        self.scans = Scans(max(1, kept // 2), max(1, kept // 4))

    @classmethod
    async def open(cls, url: str, *, pool_size: int = 10) -> Database:
        """Open a database by URL; nothing is connected before the first use.

        Raises DatabaseUrlError.
        """
        parsed = parse_url(url)
        if parsed.get_backend_name() == "sqlite":
            engines = _sqlite_engines(parsed, pool_size)
            # The writer is an engine of its own there.
            return cls("sqlite", *engines, kept=pool_size, max_long_reads=pool_size)
        engine = create_async_engine(
            parsed,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=20,
            hide_parameters=True,
            connect_args={"server_settings": _PG_SETTINGS, "timeout": 10},
        )
        event.listen(engine.sync_engine, "checkin", _note_idle)
        event.listen(engine.sync_engine, "checkout", _refuse_dead)
        reader = engine.execution_options(isolation_level="AUTOCOMMIT")
        # The rest of the pool is for writers and exports, which hold theirs for longer.
        kept = max(1, pool_size * 2 // 5)
        long_reads = max(1, pool_size - kept - 1)
        return cls("postgresql", reader, engine, kept=kept, max_long_reads=long_reads)

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """Hand out a connection for reading (on SQLite one snapshot, on PostgreSQL none)."""
        async with self._kept.use() as connection:
            yield connection

    @contextlib.asynccontextmanager
    async def read_long(self) -> AsyncIterator[AsyncConnection]:
        """Hand out a connection for a statement that may run for long, such as a COPY.

        Short reads are not made to wait for it: it comes from the share of the writers, so the
        caller sees to it that there are never more than `max_long_reads`.
        """
        async with self._reader.connect() as connection:
            yield connection

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """Hand out a connection inside one transaction: commit at the end, roll back on error."""
        async with self._writer.begin() as connection:
            yield connection

    async def ping(self) -> None:
        """Run a trivial statement; raises the driver's error if the database is not there."""
        async with self.read() as connection:
            await connection.exec_driver_sql("SELECT 1")

    async def close(self) -> None:
        """Close all connections."""
        await self._kept.close()
        await self._writer.dispose()
        if self.dialect == "sqlite":
            await self._reader.dispose()


def _note_idle(_connection: Any, record: ConnectionPoolEntry) -> None:
    record.info[_IDLE_SINCE] = time.monotonic()


def _refuse_dead(connection: Any, record: ConnectionPoolEntry, _proxy: object) -> None:
    """Keep a dead connection from being handed out: the pool then opens a new one.

    SQLAlchemy's own way, a ping at each checkout, takes three round trips, which is more than
    a page. A server that ends closes its connections, so that costs a look at ours; one that
    vanished without a word is found by a ping after a pause.
    """
    since = record.info.get(_IDLE_SINCE)
    if since is None:
        return  # opened just now
    if connection.driver_connection.is_closed():
        raise InvalidatePoolError
    if time.monotonic() - since > PING_AFTER_SECONDS:
        try:
            connection.ping()
        except Exception:  # whatever it is, this connection is of no use
            raise InvalidatePoolError from None


def _sqlite_engines(url: URL, pool_size: int) -> tuple[AsyncEngine, AsyncEngine]:
    path = Path(str(url.database))
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # It holds the whole log; SQLite gives its side files the same mode.
    path.touch(mode=0o600)
    engines = []
    for begin, size in (("BEGIN", pool_size), ("BEGIN IMMEDIATE", 1)):
        engine = create_async_engine(
            url,
            pool_size=size,
            max_overflow=0,
            pool_timeout=60,
            hide_parameters=True,
            async_creator=partial(connect, str(path)),
        )
        event.listen(engine.sync_engine, "connect", _sqlite_connected)
        event.listen(engine.sync_engine, "begin", _beginner(begin))
        engines.append(engine)
    return engines[0], engines[1]


def _sqlite_connected(connection: Any, _record: object) -> None:
    # The driver must not open transactions of its own: a DEFERRED one can fail at commit.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout={BUSY_TIMEOUT_MS}",
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        # Per connection, so small: the pages are in the system's cache anyway. No mmap: it would
        # count the whole file as the hub's memory.
        "cache_size=-4096",
        "mmap_size=0",
        "temp_store=MEMORY",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _beginner(statement: str) -> Any:
    def begin(connection: Any) -> None:
        connection.exec_driver_sql(statement)

    return begin


def _driver(connection: AsyncConnection) -> Any:
    sync = connection.sync_connection
    if sync is None:
        raise RuntimeError("this connection was given back already")
    # Checked out long since: SQLAlchemy's own asynchronous way would cost a greenlet for nothing.
    return sync.connection.driver_connection


def _is_closed(connection: AsyncConnection) -> bool:
    return connection.dialect.name == "postgresql" and bool(_driver(connection).is_closed())


async def driver(connection: AsyncConnection) -> Any:
    """Return the asyncpg or aiosqlite connection beneath: for COPY and bulk statements."""
    return _driver(connection)


def insert_into(connection: AsyncConnection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """Return an INSERT in the dialect of a connection; SQLAlchemy's own has no `on_conflict_…`."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)


async def fetch(connection: AsyncConnection, sql: str, args: Sequence[Any]) -> Sequence[Any]:
    """Run a statement on the driver connection and return all rows (indexable by position).

    The hot read paths use it: it halves the CPU of a page against SQLAlchemy's
    result layer. `sql` has the dialect's numbered placeholders.
    """
    raw = await driver(connection)
    if connection.dialect.name == "postgresql":
        rows: Sequence[Any] = await raw.fetch(sql, *args)
        return rows
    found: Sequence[Any] = list(await raw.execute_fetchall(sql, args))
    return found
