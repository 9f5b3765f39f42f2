"""Outgoing work survives the death of whoever does it, at any moment."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.outbox_kills import kill_workers


@pytest.mark.timeout(240)  # a busy machine takes long to start a process
async def test_killed_replicas_lose_no_work(database_url: str, tmp_path: Path) -> None:
    await kill_workers(database_url, tmp_path / "done", rows=30, kills=1, seed=5)
