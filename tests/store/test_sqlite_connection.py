"""A SQLite file that cannot be opened leaves nothing behind but the error."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path

import pytest
from radar_audit_hub.store.sqlite_connection import connect


def test_failed_connection_needs_no_event_loop_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken: list[object] = []
    monkeypatch.setattr(threading, "excepthook", broken.append)
    for _ in range(50):
        with pytest.raises(sqlite3.OperationalError):
            asyncio.run(connect(str(tmp_path / "missing" / "hub.db")))
    for thread in threading.enumerate():
        if "worker" in thread.name:
            thread.join(5)
    assert broken == []


async def test_connection_works_and_closes(tmp_path: Path) -> None:
    connection = await connect(str(tmp_path / "hub.db"))
    cursor = await connection.execute("SELECT 7")
    assert await cursor.fetchone() == (7,)
    await connection.close()
