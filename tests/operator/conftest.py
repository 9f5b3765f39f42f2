"""Fixtures of the operator's tests: the real validator once, a fresh world for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.crd_checker import CrdChecker, running_checker
from tests.support.operator_world import OperatorWorld, operator_world


@pytest.fixture(scope="session")
def checker() -> Iterator[CrdChecker]:
    with running_checker() as running:
        yield running


@pytest_asyncio.fixture
async def world(checker: CrdChecker, tmp_path: Path) -> AsyncIterator[OperatorWorld]:
    async with operator_world(checker, tmp_path) as running:
        yield running


@pytest_asyncio.fixture
async def org_world(checker: CrdChecker, tmp_path: Path) -> AsyncIterator[OperatorWorld]:
    async with operator_world(checker, tmp_path, speaks_for_org=True) as running:
        yield running
