"""A hub that is killed at any moment leaves no change without its event, and no event alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.mutation_kills import kill_while_changing


@pytest.mark.timeout(180)  # a busy machine takes long to start a process
async def test_killed_hub_leaves_both_change_and_event_or_neither(tmp_path: Path) -> None:
    await kill_while_changing(f"sqlite:///{tmp_path}/hub.db", kills=1, seed=20261125)
