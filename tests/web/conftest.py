"""Fixtures of the pages' tests: a hub over SQLite, as browsers reach it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.hub_builder import HubUnderTest, sqlite_hub


def pytest_configure(config: pytest.Config) -> None:
    """Load the fixtures of migrated databases."""
    config.pluginmanager.import_plugin("tests.support.migrated")


@pytest.fixture
async def hub(template: Path, tmp_path: Path) -> AsyncIterator[HubUnderTest]:
    """A hub with one org; `user_1` is its owner."""
    async with sqlite_hub(template, tmp_path) as under_test:
        yield under_test
