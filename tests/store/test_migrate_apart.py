"""A starting server migrates in a process of its own, and hears why that failed."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from radar_audit_hub.store.database import Database
from radar_audit_hub.store.migrate_apart import MigrationFailedError, migrate_apart
from radar_audit_hub.store.revision import STEPS, head_revision, is_current, revisions
from sqlalchemy import text


def test_the_revisions_are_those_that_alembic_finds() -> None:
    config = Config()
    config.set_main_option("script_location", str(STEPS.parent))
    script = ScriptDirectory.from_config(config)
    steps = [step.revision for step in script.walk_revisions()]
    assert revisions() == ("base", *reversed(steps))
    assert head_revision() == script.get_current_head()


async def test_an_empty_database_gets_the_newest_schema(database_url: str) -> None:
    await migrate_apart(database_url)
    database = await Database.open(database_url)
    try:
        assert await is_current(database)
    finally:
        await database.close()


async def test_a_database_that_cannot_be_opened_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "hub.db").mkdir()
    with pytest.raises(MigrationFailedError) as failed:
        await migrate_apart(f"sqlite:///{tmp_path}/hub.db")
    assert str(failed.value).startswith("the schema cannot be brought up to date: ")
    assert "the database cannot be used (" in str(failed.value)


async def test_a_schema_of_a_newer_version_is_left_alone_and_told(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path}/hub.db"
    database = await Database.open(url)
    try:
        async with database.write() as connection:
            await connection.execute(text("CREATE TABLE alembic_version (version_num TEXT)"))
            await connection.execute(text("INSERT INTO alembic_version VALUES ('9999')"))
        with pytest.raises(MigrationFailedError, match="9999"):
            await migrate_apart(url)
        assert not await is_current(database)
    finally:
        await database.close()
    assert '"level": "error"' in capfd.readouterr().err


async def test_the_child_ends_with_a_caller_that_is_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A child that never ends: only its caller can.
    program, note = tmp_path / "python", tmp_path / "pid"
    os.mkfifo(note)
    program.write_text(f"#!/bin/sh\necho $$ >{note}\nexec sleep 600\n")
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    waiting = asyncio.create_task(migrate_apart("sqlite:////nowhere"))
    pid = int(await asyncio.to_thread(note.read_text))
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_what_serves_loads_no_library_that_it_may_never_need() -> None:
    code = "import sys, radar_audit_hub.main; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    assert "sqlalchemy" in loaded
    assert not {"alembic", "mako", "pygments", "joserfc", "cryptography"}.intersection(loaded)
