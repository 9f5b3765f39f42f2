"""Two replicas on one PostgreSQL, and two hundred people who change one organization at once."""

from __future__ import annotations

import pytest

from tests.support.hub_builder import running_hub
from tests.support.mixed_changes import change_at_once, check_log


@pytest.mark.timeout(600)  # five hundred requests, on a busy machine
async def test_many_changes_at_once_make_one_log_without_gap_or_double(postgres_url: str) -> None:
    async with (
        running_hub(postgres_url, migrated=True) as one,
        running_hub(postgres_url, migrated=True) as other,
    ):
        outcome = await change_at_once((one, other), clients=200, rounds=1)
        assert await check_log(one, outcome) >= 200
