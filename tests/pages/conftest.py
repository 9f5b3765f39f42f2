"""Fixtures of the tests with a real browser: one hub and one Chromium for all of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.chromium import Chromium, chromium
from tests.support.page_world import PageWorld, page_world


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageWorld]:
    """A hub that serves an org with a week of log, and an empty one."""
    with page_world(tmp_path_factory.mktemp("world")) as found:
        yield found


@pytest.fixture(scope="session")
def browser(world: PageWorld) -> Iterator[Chromium]:
    """Debian's Chromium."""
    with chromium(world) as found:
        yield found
