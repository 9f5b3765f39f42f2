"""Databases with the newest schema: one of each kind is migrated, and copied for every test.

Owns the fixtures of both, as a plugin of pytest: the conftest of a folder loads it by
`import_plugin`, a test module names it in `pytest_plugins`. So the folders share what takes longer
than most tests do, and the tests of other parts import nothing of the hub for it.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from radar_audit_hub.store.migrate import upgrade

from tests.support.postgres import Server


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file, to be copied."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    asyncio.run(upgrade(f"sqlite:///{path}"))
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
    return f"sqlite:///{shutil.copyfile(template, tmp_path / 'migrated.db')}"


@pytest.fixture
def postgres_url(postgres_server: Server, postgres_template: str) -> Iterator[str]:
    """The URL of a migrated PostgreSQL database that only this test uses."""
    with postgres_server.fresh_database(postgres_template) as dsn:
        yield dsn
