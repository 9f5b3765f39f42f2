"""A collector that is asked for an upgrade says that it knows, and goes on working."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from radar_audit_events.wire import UpgradeReport

from tests.support.collector_process import CollectorProcess
from tests.support.hub_shaped import HubShaped, running_hub


@asynccontextmanager
async def beating(hub: HubShaped, tmp_path: Path) -> AsyncIterator[CollectorProcess]:
    log = tmp_path / "audit.log"
    log.write_bytes(b"")
    process = CollectorProcess(tmp_path / "data", hub.url, logfile_path=log, heartbeat_seconds=0.1)
    await process.start()
    try:
        yield process
    finally:
        await process.kill()


async def more(hub: HubShaped, count: int = 2) -> list[UpgradeReport | None]:
    """Wait for heartbeats that began after this call; return what they said."""
    seen = len(hub.heartbeats) + 1
    await hub.until(lambda: len(hub.heartbeats) >= seen + count)
    return [beat.upgrade for beat in hub.heartbeats[seen : seen + count]]


async def test_requested_upgrade_is_logged_once_and_reported(tmp_path: Path) -> None:
    async with running_hub() as hub, beating(hub, tmp_path) as process:
        assert set(await more(hub)) == {None}
        hub.upgrade = "0.2.0"
        await hub.until(lambda: hub.heartbeats[-1].upgrade is not None)
        assert await more(hub) == [UpgradeReport(version="0.2.0")] * 2
        (told,) = process.said("the hub asks for an upgrade of this collector")
        assert told["to"] == "0.2.0"
        hub.upgrade = None
        await hub.until(lambda: hub.heartbeats[-1].upgrade is None)
        hub.upgrade = "no\nversion"
        assert set(await more(hub)) == {None}


async def test_hub_that_was_taken_back_to_an_older_version_is_not_lost(tmp_path: Path) -> None:
    async with running_hub() as hub, beating(hub, tmp_path):
        hub.upgrade = "0.2.0"
        await hub.until(lambda: bool(hub.heartbeats) and hub.heartbeats[-1].upgrade is not None)
        hub.is_older, hub.upgrade = True, None
        hub.heartbeats.clear()
        assert set(await more(hub)) == {None}
