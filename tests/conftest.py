"""Fixtures that every part's tests may use. Test code itself imports from `tests.support`."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.postgres import Server, shared_postgres

RANDOM = "RADAR_AUDIT_TESTS_RANDOM"


def pytest_configure() -> None:
    """Let a property fail for the change alone: not for its time, not for the luck of the draw.

    Another process may have the processor just then, and a new example that fails belongs to no
    change in particular. RADAR_AUDIT_TESTS_RANDOM=1 draws new examples, to go and look for such.
    """
    same = os.environ.get(RANDOM, "") != "1"
    settings.register_profile("house", deadline=None, derandomize=same)
    settings.load_profile("house")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Let no collection of garbage look at the thousands of tests, now or again.

    That was a tenth of all CPU. Later ones are rarer than is usual, too: a request makes thousands
    of objects that live for a moment.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000, 10, 10)


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
