"""Two replicas on one PostgreSQL, and two hundred people who go on changing one organization."""

from __future__ import annotations

import pytest

from tests.support.hub_builder import running_hub
from tests.support.mixed_changes import change_at_once, check_log

pytestmark = [pytest.mark.torture, pytest.mark.timeout(300)]
CLIENTS = 200
ROUNDS = 6


async def test_minute_of_changes_at_once_makes_one_log_without_gap_or_double(
    postgres_dsn: str,
) -> None:
    async with (
        running_hub(postgres_dsn, migrated=False) as one,
        running_hub(postgres_dsn, migrated=True) as other,
    ):
        outcome = await change_at_once((one, other), clients=CLIENTS, rounds=ROUNDS)
        assert await check_log(one, outcome) >= CLIENTS * ROUNDS
