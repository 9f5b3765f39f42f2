"""Fixtures of the hub's tests: migrated databases of both kinds, and hubs that serve over them."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from radar_audit_hub.store.migrate import upgrade

from tests.hub.mutation_stage import Stage, staged
from tests.support.hub_builder import HubUnderTest, running_hub, sqlite_hub, sqlite_template
from tests.support.openid_provider import OpenIdProvider, openid_provider
from tests.support.postgres import Server
from tests.support.visitor import CALLBACK


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file, to be copied."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    asyncio.run(sqlite_template(path))
    return path


@pytest.fixture(scope="session")
def postgres_template(postgres_server: Server) -> Iterator[str]:
    """The name of a migrated PostgreSQL database, to be copied."""
    with postgres_server.fresh_database() as dsn:
        asyncio.run(upgrade(dsn))
        yield urlsplit(dsn).path.lstrip("/")


@pytest.fixture
def sqlite_url(template: Path, tmp_path: Path) -> str:
    """The URL of a migrated SQLite database that only this test uses."""
    path = tmp_path / "hub.db"
    shutil.copyfile(template, path)
    return f"sqlite:///{path}"


@pytest.fixture
def postgres_url(postgres_server: Server, postgres_template: str) -> Iterator[str]:
    """The URL of a migrated PostgreSQL database that only this test uses."""
    with postgres_server.fresh_database(postgres_template) as dsn:
        yield dsn


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a migrated database, once of each kind."""
    name = "sqlite_url" if request.param == "sqlite" else "postgres_url"
    url: str = request.getfixturevalue(name)
    return url


@pytest.fixture
async def hub(template: Path, tmp_path: Path) -> AsyncIterator[HubUnderTest]:
    """A hub over SQLite, for what does not depend on the database."""
    async with sqlite_hub(template, tmp_path) as under_test:
        yield under_test


@pytest.fixture
async def any_hub(database_url: str) -> AsyncIterator[HubUnderTest]:
    """A hub, once over each kind of database."""
    async with running_hub(database_url, migrated=True) as under_test:
        yield under_test


@pytest.fixture(scope="session")
def provider_of_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenIdProvider]:
    """A provider that all stages share."""
    with openid_provider(tmp_path_factory.mktemp("openid"), CALLBACK) as running:
        yield running


@pytest.fixture
async def stage(
    template: Path, tmp_path: Path, provider_of_stage: OpenIdProvider
) -> AsyncIterator[Stage]:
    """A hub with somebody and something in it, on which one mutation is played."""
    async with staged(partial(sqlite_hub, template, tmp_path), provider_of_stage) as opened:
        yield opened
