"""Deliveries survive a hundred deaths of whoever makes them."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
import trustme
from radar_audit_hub.store.migrate import upgrade

from tests.support.notify_kills import kill_deliveries
from tests.support.notify_world import notify_settings, notify_world
from tests.support.receivers import receiver


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("kind", "kills"), [("sqlite", 100), ("postgresql", 40)])
def test_replicas_killed_a_hundred_times_lose_no_message_and_no_attempt(
    kind: str, kills: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = (
        f"sqlite:///{tmp_path}/hub.db"
        if kind == "sqlite"
        else str(request.getfixturevalue("postgres_dsn"))
    )
    asyncio.run(upgrade(url))
    asyncio.run(_kill(url, tmp_path, kills))


async def _kill(url: str, folder: Path, kills: int) -> None:
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    async with (
        receiver(tls) as inbox,
        notify_world(url, notify_settings(authority, folder)) as world,
    ):
        await kill_deliveries(world, url, inbox, messages=9 * kills, kills=kills, seed=20261125)
