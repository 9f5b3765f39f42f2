"""Fixtures of the pages' tests: a hub over SQLite, as browsers reach it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.hub_builder import HubUnderTest, sqlite_hub, sqlite_template


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file, to be copied."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    asyncio.run(sqlite_template(path))
    return path


@pytest.fixture
async def hub(template: Path, tmp_path: Path) -> AsyncIterator[HubUnderTest]:
    """A hub with one org; `user_1` is its owner."""
    async with sqlite_hub(template, tmp_path) as under_test:
        yield under_test
