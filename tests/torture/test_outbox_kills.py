"""Outgoing work survives many deaths of whoever does it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from radar_audit_hub.store.migrate import upgrade

from tests.support.outbox_kills import kill_workers


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_replicas_killed_many_times_lose_no_work(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = (
        f"sqlite:///{tmp_path}/hub.db"
        if kind == "sqlite"
        else str(request.getfixturevalue("postgres_dsn"))
    )
    asyncio.run(upgrade(url))
    asyncio.run(kill_workers(url, tmp_path / "done", rows=300, kills=12, seed=20261125))
