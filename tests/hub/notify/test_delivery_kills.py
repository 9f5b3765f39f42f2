"""Deliveries survive the death of whoever makes them: at least once, each attempt on record."""

from __future__ import annotations

from tests.support.notify_kills import kill_deliveries
from tests.support.notify_world import NotifyWorld
from tests.support.receivers import Receiver


async def test_killed_replicas_lose_no_message_and_no_attempt(
    world: NotifyWorld, sqlite_url: str, inbox: Receiver
) -> None:
    await kill_deliveries(world, sqlite_url, inbox, messages=36, kills=3, seed=5)
