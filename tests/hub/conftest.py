"""Fixtures of the hub's tests: hubs that serve over migrated databases of both kinds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.hub.mutation_stage import Stage, staged
from tests.support.hub_builder import HubUnderTest, running_hub, sqlite_hub
from tests.support.openid_provider import OpenIdProvider, openid_provider
from tests.support.visitor import CALLBACK


def pytest_configure(config: pytest.Config) -> None:
    """Load the fixtures of migrated databases."""
    config.pluginmanager.import_plugin("tests.support.migrated")


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
