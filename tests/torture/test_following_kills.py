"""Alert rules judge each event once, however often whoever judges is killed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from radar_audit_hub.store.migrate import upgrade

from tests.support.following_kills import kill_followers


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_followers_killed_many_times_tell_each_event_once(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = (
        f"sqlite:///{tmp_path}/hub.db"
        if kind == "sqlite"
        else str(request.getfixturevalue("postgres_dsn"))
    )
    asyncio.run(upgrade(url))
    asyncio.run(kill_followers(url, events=350, kills=25, seed=20261126))
