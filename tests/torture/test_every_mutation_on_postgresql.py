"""Every mutation on PostgreSQL: under every fault, with connections that the server ends."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from tests.hub.mutation_playing import FAULTS, broken_connection, play
from tests.hub.mutation_stage import staged
from tests.hub.mutations import CASES, Case
from tests.support.hub_builder import running_hub
from tests.support.openid_provider import OpenIdProvider, openid_provider
from tests.support.visitor import CALLBACK

pytestmark = pytest.mark.torture
pytest_plugins = ("tests.support.migrated",)


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenIdProvider]:
    """A provider that all tests of this file share."""
    with openid_provider(tmp_path_factory.mktemp("openid"), CALLBACK) as running:
        yield running


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_a_fault_leaves_nothing_and_the_request_its_events(
    case: Case, postgres_url: str, provider: OpenIdProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with staged(partial(running_hub, postgres_url, migrated=True), provider) as opened:
        await play(opened, case, (*FAULTS, broken_connection), monkeypatch)
