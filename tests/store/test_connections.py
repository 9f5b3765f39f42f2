"""Connections that a server has closed are replaced before anybody is given one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from radar_audit_hub.store import database as database_module
from radar_audit_hub.store.database import Database, fetch

from tests.support.postgres import Server


@pytest_asyncio.fixture
async def pooled(postgres_dsn: str) -> AsyncIterator[Database]:
    """A database whose pool holds two idle connections."""
    opened = await Database.open(postgres_dsn)
    async with opened.read() as one, opened.read() as two:
        await one.exec_driver_sql("SELECT 1")
        await two.exec_driver_sql("SELECT 1")
    yield opened
    await opened.close()


def _cut_all(server: Server, dsn: str) -> None:
    """End every connection to the database, without giving our event loop a turn."""
    name = dsn.rpartition("/")[2]
    wait_ms = 60_000  # without it a busy server ends them some time later
    server.execute(
        f"SELECT pg_terminate_backend(pid, {wait_ms}) FROM pg_stat_activity "
        f"WHERE datname = '{name}'"
    )


async def _answers(database: Database) -> bool:
    async with database.write() as connection:
        await connection.exec_driver_sql("SELECT 1")
    async with database.read() as connection:
        return bool((await fetch(connection, "SELECT true", ()))[0][0])


async def test_every_transaction_waits_for_the_disk(database: Database) -> None:
    """What a loss of power would take cannot be tried here: this is what keeps it from doing so."""
    full = 2
    if database.dialect == "sqlite":
        sql = "PRAGMA synchronous"
        good: set[object] = {full}
    else:  # as the server's own administrator has set it
        sql = "SELECT source FROM pg_settings WHERE name = 'synchronous_commit'"
        good = {"default", "configuration file", "command line", "database", "user"}
    async with database.write() as connection:
        assert (await connection.exec_driver_sql(sql)).scalar_one() in good


async def test_connections_that_were_seen_to_close_are_replaced(
    pooled: Database, postgres_server: Server, postgres_dsn: str
) -> None:
    _cut_all(postgres_server, postgres_dsn)
    await asyncio.sleep(0.05)  # the loop sees them close
    assert await _answers(pooled)


async def test_connections_that_died_unseen_are_replaced_after_a_pause(
    pooled: Database,
    postgres_server: Server,
    postgres_dsn: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(database_module, "PING_AFTER_SECONDS", -1.0)
    _cut_all(postgres_server, postgres_dsn)
    assert await _answers(pooled)


async def test_connections_in_use_are_not_pinged(
    pooled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "PING_AFTER_SECONDS", 600.0)
    async with pooled.read() as connection:
        adapted = (await connection.get_raw_connection()).dbapi_connection
    pings = []
    monkeypatch.setattr(type(adapted), "ping", lambda _self: pings.append(1))
    assert await _answers(pooled)
    assert not pings
