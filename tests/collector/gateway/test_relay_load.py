"""Guards the relay under load, in small; the torture tests have the full size."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.gateway_load import (
    KIB,
    Load,
    connect_again_and_again,
    hold_terminals,
    leave_half_open,
    running_load,
    stall_readers,
    write_slowly,
)


@pytest.fixture
async def load(tmp_path: Path) -> AsyncIterator[Load]:
    async with running_load(tmp_path) as running:
        yield running


async def test_nothing_fails_and_nothing_is_left_behind(load: Load) -> None:
    await connect_again_and_again(load, 300)
    assert await hold_terminals(load, 100) < 256
    assert await stall_readers(load, 3, until_closed=False) < 4 * KIB


async def test_slow_and_half_open_peers_hold_up_nobody(load: Load) -> None:
    await write_slowly(load, 20, 5)
    await leave_half_open(load, 20)
