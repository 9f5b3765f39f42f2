"""Guards the PostgreSQL that the tests start: fresh databases, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import asyncpg
import psutil
import pytest

from tests.support import postgres
from tests.support.postgres import PostgresMissingError, Server, shared_postgres

_OWNER = """
import time
from tests.support.postgres import running_postgres
with running_postgres(fsync=False) as server:
    server.execute("SELECT 1")
    print("ready", flush=True)
    time.sleep(600)
"""


async def test_every_test_gets_an_empty_database_of_its_own(
    postgres_server: Server, postgres_dsn: str
) -> None:
    connection = await asyncpg.connect(postgres_dsn)
    await connection.execute("CREATE TABLE seen (id int)")
    with postgres_server.fresh_database() as other_dsn:
        other = await asyncpg.connect(other_dsn)
        assert await other.fetchval("SELECT to_regclass('seen')") is None
        await other.close()
    await connection.close()


async def test_a_database_can_be_a_copy_of_a_prepared_one(
    postgres_server: Server, postgres_dsn: str
) -> None:
    connection = await asyncpg.connect(postgres_dsn)
    await connection.execute("CREATE TABLE prepared AS SELECT 7 AS id")
    await connection.close()
    with postgres_server.fresh_database(template=postgres_dsn.rsplit("/", 1)[1]) as copy_dsn:
        copy = await asyncpg.connect(copy_dsn)
        assert await copy.fetchval("SELECT id FROM prepared") == 7
        await copy.close()


def test_server_and_folder_go_when_their_owner_is_killed() -> None:
    # The server's account must reach its folder, which it cannot below pytest's private one.
    folder = Path("/tmp") / f"radar-audit-guard-{os.getpid()}"
    folder.mkdir(mode=0o755)
    environ = {k: v for k, v in os.environ.items() if k != postgres.DSN_VARIABLE}
    owner = subprocess.Popen(
        [sys.executable, "-c", _OWNER],
        env=environ | {"TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
    )
    with owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"ready\n"
        (data,) = folder.glob("*/data/postmaster.pid")
        server_pid = int(data.read_text().split()[0])
        owner.send_signal(signal.SIGKILL)
    while list(folder.iterdir()):
        time.sleep(0.05)
    assert not psutil.pid_exists(server_pid)
    folder.rmdir()


def test_a_given_server_is_used_and_none_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(postgres.DSN_VARIABLE, "postgresql://someone@db.example/x")
    assert shared_postgres(tmp_path, os.getpid()).dsn == "postgresql://someone@db.example/x"
    assert not list(tmp_path.iterdir())


def test_without_a_server_the_error_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "_find_binaries", lambda: None)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(PostgresMissingError, match="apt-get install -y postgresql"):
        postgres._start(os.getpid(), fsync=False)
