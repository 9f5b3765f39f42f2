"""Every test of this folder runs on SQLite and on PostgreSQL: one suite, two backends.

A database with the newest schema is made once of each kind and copied: migrating takes longer
than most tests do.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from radar_audit_hub.store.database import Database
from radar_audit_hub.store.migrate import upgrade

from tests.support.hub_builder import sqlite_template
from tests.support.postgres import Server


@pytest.fixture(params=["sqlite", "postgresql"])
def dialect(request: pytest.FixtureRequest) -> str:
    """The kind of database."""
    name: str = request.param
    return name


@pytest.fixture
def database_url(dialect: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database."""
    if dialect == "sqlite":
        return f"sqlite:///{tmp_path}/hub.db"
    dsn: str = request.getfixturevalue("postgres_dsn")
    return dsn


@pytest.fixture(scope="session")
def sqlite_schema(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file, to be copied."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    asyncio.run(sqlite_template(path))
    return path


@pytest.fixture(scope="session")
def postgres_schema(postgres_server: Server) -> Iterator[str]:
    """The name of a migrated PostgreSQL database, to be copied."""
    with postgres_server.fresh_database() as dsn:
        asyncio.run(upgrade(dsn))
        yield urlsplit(dsn).path.lstrip("/")


@pytest.fixture
def migrated_postgres_url(postgres_server: Server, postgres_schema: str) -> Iterator[str]:
    """The URL of a migrated PostgreSQL database that only this test uses."""
    with postgres_server.fresh_database(postgres_schema) as dsn:
        yield dsn


@pytest.fixture
def migrated_url(dialect: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a migrated database that only this test uses."""
    name = "sqlite_schema" if dialect == "sqlite" else "migrated_postgres_url"
    made = request.getfixturevalue(name)
    if isinstance(made, str):
        return made
    return f"sqlite:///{shutil.copyfile(made, tmp_path / 'migrated.db')}"


@pytest_asyncio.fixture
async def database(migrated_url: str) -> AsyncIterator[Database]:
    """An open database with the newest schema."""
    opened = await Database.open(migrated_url)
    try:
        yield opened
    finally:
        await opened.close()
