"""Fixtures that every part's tests may use. Test code itself imports from `tests.support`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.postgres import Server, shared_postgres


def pytest_configure() -> None:
    """Let no property fail for its time: another process may have the processor just then."""
    settings.register_profile("without a deadline", deadline=None)
    settings.load_profile("without a deadline")


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Server:
    """The one PostgreSQL of this run; all xdist workers share it."""
    folder: Path = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # the controller started us and outlives every worker
        return shared_postgres(folder.parent, os.getppid())
    return shared_postgres(folder, os.getpid())


@pytest.fixture
def postgres_dsn(postgres_server: Server) -> Iterator[str]:
    """The DSN (`postgresql://…`) of an empty database that only this test uses."""
    with postgres_server.fresh_database() as dsn:
        yield dsn
