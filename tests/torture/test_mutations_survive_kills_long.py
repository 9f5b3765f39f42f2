"""A hub that is killed many times leaves no change without its event, and no event alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.mutation_kills import kill_while_changing

pytestmark = [pytest.mark.torture, pytest.mark.timeout(300)]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_many_kills_leave_both_change_and_event_or_neither(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = f"sqlite:///{tmp_path}/hub.db"
    if kind == "postgresql":
        url = str(request.getfixturevalue("postgres_dsn"))
    assert await kill_while_changing(url, kills=12, seed=7) > 100
