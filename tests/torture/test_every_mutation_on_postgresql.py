"""Every mutation on PostgreSQL: under every fault, with connections that the server ends."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from urllib.parse import urlsplit

import pytest
from radar_audit_hub.store.migrate import upgrade

from tests.hub.mutation_playing import FAULTS, broken_connection, play
from tests.hub.mutation_stage import staged
from tests.hub.mutations import CASES, Case
from tests.support.hub_builder import running_hub
from tests.support.openid_provider import OpenIdProvider, openid_provider
from tests.support.postgres import Server
from tests.support.visitor import CALLBACK

pytestmark = pytest.mark.torture


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenIdProvider]:
    """A provider that all tests of this file share."""
    with openid_provider(tmp_path_factory.mktemp("openid"), CALLBACK) as running:
        yield running


@pytest.fixture(scope="module")
def migrated(postgres_server: Server) -> Iterator[str]:
    """The name of a migrated database, to be copied for each case."""
    with postgres_server.fresh_database() as dsn:
        asyncio.run(upgrade(dsn))
        yield urlsplit(dsn).path.lstrip("/")


@pytest.fixture
def database(postgres_server: Server, migrated: str) -> Iterator[str]:
    """The URL of a copy."""
    with postgres_server.fresh_database(migrated) as dsn:
        yield dsn


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_a_fault_leaves_nothing_and_the_request_its_events(
    case: Case, database: str, provider: OpenIdProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with staged(partial(running_hub, database, migrated=True), provider) as opened:
        await play(opened, case, (*FAULTS, broken_connection), monkeypatch)
