"""Reading connections are kept open, one user at a time, and given up when anything goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from radar_audit_hub.store import kept
from radar_audit_hub.store.database import Database, driver, fetch
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError


@pytest_asyncio.fixture(params=["sqlite", "postgresql"])
async def database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Database]:
    """A database with five connections: on PostgreSQL two of them are kept for reading."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('kept') / 'hub.db'}"
    else:
        url = request.getfixturevalue("postgres_dsn")
    opened = await Database.open(url, pool_size=5)
    yield opened
    await opened.close()


async def identity(database: Database) -> int:
    """Name the driver's connection that a read gets."""
    async with database.read() as connection:
        return id(await driver(connection))


async def test_reads_one_after_another_share_a_connection(database: Database) -> None:
    assert len({await identity(database) for _ in range(5)}) == 1


async def test_reads_side_by_side_have_connections_of_their_own(database: Database) -> None:
    async with database.read() as one, database.read() as two:
        assert await driver(one) is not await driver(two)


async def test_reader_waits_for_a_free_connection(database: Database) -> None:
    places = 2 if database.dialect == "postgresql" else 5
    inside, leave = asyncio.Semaphore(0), asyncio.Event()

    async def hold() -> None:
        async with database.read():
            inside.release()
            await leave.wait()

    holders = [asyncio.create_task(hold()) for _ in range(places)]
    for _ in holders:
        await inside.acquire()
    late = asyncio.create_task(identity(database))
    await asyncio.sleep(0.02)
    assert not late.done()
    async with database.write() as writer:  # writers have connections of their own
        await writer.exec_driver_sql("SELECT 1")
    leave.set()
    await asyncio.gather(*holders)
    assert await late


async def test_read_that_began_a_transaction_leaves_none_behind(database: Database) -> None:
    async with database.read() as connection:
        await connection.execute(text("SELECT 1"))
        assert connection.in_transaction()
    async with database.read() as connection:
        assert not connection.in_transaction()
        assert (await fetch(connection, "SELECT 1", ()))[0][0] == 1


async def test_read_sees_what_was_committed_since_the_last_one(database: Database) -> None:
    async with database.write() as writer:
        await writer.exec_driver_sql("CREATE TABLE t (n INTEGER)")
    for expected in range(3):
        async with database.read() as connection:
            count = (await connection.execute(text("SELECT count(*) FROM t"))).scalar_one()
        assert count == expected
        async with database.write() as writer:
            await writer.exec_driver_sql("INSERT INTO t VALUES (1)")


async def test_connection_is_given_up_after_an_error_and_reading_goes_on(
    database: Database,
) -> None:
    async def fail() -> None:
        async with database.read() as connection:
            await connection.execute(text("SELECT * FROM nowhere"))

    for _ in range(8):  # more often than there are places: none is lost
        with pytest.raises(DBAPIError):
            await fail()
    assert await identity(database)


async def test_cancelled_read_loses_no_place(database: Database) -> None:
    slow = "SELECT pg_sleep(50)" if database.dialect == "postgresql" else "SELECT 1"

    async def read() -> None:
        async with database.read() as connection:
            await fetch(connection, slow, ())
            await asyncio.sleep(50)

    for _ in range(8):
        task = asyncio.create_task(read())
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    async with asyncio.timeout(40):  # less than what was given up takes
        async with database.read() as connection:
            assert (await fetch(connection, "SELECT 1", ()))[0][0] == 1


async def test_connection_that_was_idle_for_long_is_tried_before_use(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await identity(database)
    monkeypatch.setattr(kept, "TRY_AFTER_SECONDS", -1.0)
    assert await identity(database) == first
