"""Every test of this folder runs on SQLite and on PostgreSQL: one suite, two backends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from radar_audit_hub.store.database import Database


def pytest_configure(config: pytest.Config) -> None:
    """Load the fixtures of migrated databases."""
    config.pluginmanager.import_plugin("tests.support.migrated")


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


@pytest.fixture
def migrated_url(dialect: str, request: pytest.FixtureRequest) -> str:
    """The URL of a migrated database that only this test uses."""
    url: str = request.getfixturevalue("sqlite_url" if dialect == "sqlite" else "postgres_url")
    return url


@pytest_asyncio.fixture
async def database(migrated_url: str) -> AsyncIterator[Database]:
    """An open database with the newest schema."""
    opened = await Database.open(migrated_url)
    try:
        yield opened
    finally:
        await opened.close()
