"""The SQLite file holds the whole log: nobody but its owner may read it."""

from __future__ import annotations

import os
from pathlib import Path

from radar_audit_hub.store.database import Database
from radar_audit_hub.store.migrate import migrate


async def test_database_and_its_side_files_are_the_owners_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        database = await Database.open(f"sqlite:///{tmp_path}/hub.db")
        await migrate(database)
        modes = {e.name: e.stat().st_mode & 0o777 for e in os.scandir(tmp_path)}
        await database.close()
    finally:
        os.umask(before)
    assert "hub.db" in modes
    assert set(modes.values()) == {0o600}
