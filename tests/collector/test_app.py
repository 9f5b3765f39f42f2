"""A whole collector as a process: from an audit line to the hub, through restarts and kills."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.support.audit_lines import ARGV_SECRET, audit_line, event_list
from tests.support.collector_process import CollectorProcess
from tests.support.hub_shaped import HubShaped, running_hub, status_only

RECORDED_LOG = Path(__file__).parents[2] / "scripts" / "demo" / "audit-log.jsonl"
SESSIONS = ("9ab2aa80", "eefcd1ac", "fa8ecac8", "66984a8b", "264e3cbe")
DENIED = ("611a37a6", "efb9a133", "12c1a63c", "9272114c")
CANARY = "CANARY"


def rows(hub: HubShaped) -> list[tuple[str, str]]:
    return sorted((session[:8], kind) for session, kind in hub.taken)


EXPECTED = sorted(
    [(s, kind) for s in SESSIONS for kind in ("started", "ended")] + [(d, "denied") for d in DENIED]
)


@asynccontextmanager
async def collector(
    tmp_path: Path, hub: HubShaped, **settings: object
) -> AsyncIterator[CollectorProcess]:
    process = CollectorProcess(tmp_path / "data", hub.url, **settings)
    await process.start()
    try:
        yield process
    finally:
        await process.kill()


async def until_ready_says(process: CollectorProcess, text: str) -> None:
    while await process.ready() != text:  # noqa: ASYNC110 - another process announces nothing
        await asyncio.sleep(0.02)


async def until_counted(process: CollectorProcess, name: str) -> None:
    while await process.metric(f"radar_audit_collector_{name}") == 0:  # noqa: ASYNC110
        await asyncio.sleep(0.02)


def files_hold(folder: Path, word: str) -> list[Path]:
    return [f for f in folder.rglob("*") if f.is_file() and word.encode() in f.read_bytes()]


async def test_recorded_log_gives_exactly_its_rows_and_no_argv_anywhere(tmp_path: Path) -> None:
    async with running_hub() as hub, collector(tmp_path, hub, logfile_path=RECORDED_LOG) as process:
        await hub.until(lambda: len(hub.taken) == len(EXPECTED))
        assert await process.terminate() == 0
        assert rows(hub) == EXPECTED
        assert hub.duplicates == 0
        assert CANARY not in process.output
        assert files_hold(tmp_path / "data", CANARY) == []
        assert CANARY not in repr(hub.batches)


async def test_org_is_learnt_from_the_hub_and_kept_for_a_start_without_it(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.write_bytes(b"")
    async with running_hub() as hub:
        hub.capture, hub.capture_etag = {"attach": True}, "etag-1"
        process = CollectorProcess(
            tmp_path / "data", hub.url, logfile_path=log, heartbeat_seconds=0.1
        )
        await process.start()
        await hub.until(lambda: any(b.capture_hash == "etag-1" for b in hub.heartbeats))
        assert hub.heartbeats[0].sources == ["logfile"]
        assert hub.heartbeats[0].capture_hash is None
        assert await process.terminate() == 0
        port = int(hub.url.rsplit(":", 1)[1])
        await hub.stop()
        foreign = ("cloud:owner", "cloud:org:org_other", "cloud:user:user_x")
        log.write_bytes(b"\n".join([audit_line("mine"), audit_line("theirs", groups=foreign), b""]))
        await process.start()
        await until_counted(process, 'records_ignored_total{reason="org_mismatch"}')
        assert await process.ready() == "ok"  # a hub that is away loses nothing
        await hub.start(port)
        await hub.until(lambda: rows(hub) == [("mine", "started")])
        assert await process.terminate() == 0


async def test_capture_settings_of_the_cluster_count_from_the_next_line_on(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.write_bytes(b"")
    async with running_hub() as hub:
        hub.capture, hub.capture_etag = {"exclude_namespaces": ["payments"]}, "etag-1"
        process = CollectorProcess(
            tmp_path / "data", hub.url, logfile_path=log, heartbeat_seconds=0.1
        )
        await process.start()
        await hub.until(lambda: any(b.capture_hash == "etag-1" for b in hub.heartbeats))
        with log.open("ab") as file:
            file.write(audit_line("unseen", namespace="payments") + b"\n")
        await until_counted(process, 'records_ignored_total{reason="namespace_excluded"}')
        # A newer hub's settings, which this version cannot read, change nothing and are not echoed.
        hub.capture, hub.capture_etag = {"new_switch": True}, "etag-2"
        seen = len(hub.heartbeats)
        await hub.until(lambda: len(hub.heartbeats) > seen + 3)
        assert hub.heartbeats[-1].capture_hash == "etag-1"
        hub.capture, hub.capture_etag = None, None
        await hub.until(lambda: hub.heartbeats[-1].capture_hash is None)
        with log.open("ab") as file:
            file.write(audit_line("seen", namespace="payments") + b"\n")
        await hub.until(lambda: rows(hub) == [("seen", "started")])
        assert await process.terminate() == 0


async def test_refused_token_makes_it_unready_and_says_which_check(tmp_path: Path) -> None:
    async with running_hub() as hub:
        hub.token = "rhc_another"
        log = tmp_path / "audit.log"
        log.write_bytes(audit_line() + b"\n")
        async with collector(
            tmp_path, hub, logfile_path=log, org_id="org_x", token_retry_seconds=0.1
        ) as process:
            await until_ready_says(process, "failing: hub_auth")
            hub.token = "rhc_test"
            await hub.until(lambda: len(hub.taken) == 1)
            await until_ready_says(process, "ok")
            assert "rhc_test" not in process.output


async def test_log_that_is_not_there_yet_is_told_and_followed_when_it_comes(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    async with (
        running_hub() as hub,
        collector(tmp_path, hub, logfile_path=log, org_id="org_x") as process,
    ):
        while not process.said("the log is not there yet"):  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.02)
        await until_ready_says(process, "ok")
        log.write_bytes(audit_line() + b"\n")
        await hub.until(lambda: len(hub.taken) == 1)


async def test_log_that_cannot_be_read_makes_it_unready_and_is_told_once(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.mkdir()
    async with (
        running_hub() as hub,
        collector(tmp_path, hub, logfile_path=log, org_id="org_x") as process,
    ):
        await until_ready_says(process, "failing: sources")
        log.rmdir()
        log.write_bytes(audit_line() + b"\n")
        await hub.until(lambda: len(hub.taken) == 1)
        await until_ready_says(process, "ok")
        (told,) = process.said("the log is not followed")
        assert str(log) in told["cause"]


async def test_nothing_is_delivered_when_the_token_belongs_to_another_org(tmp_path: Path) -> None:
    async with running_hub() as hub:
        hub.org_id = "org_other"
        log = tmp_path / "audit.log"
        log.write_bytes(b"")
        async with collector(
            tmp_path, hub, logfile_path=log, org_id="org_x", heartbeat_seconds=0.1
        ) as process:
            await hub.until(lambda: len(hub.heartbeats) > 1)
            log.write_bytes(audit_line() + b"\n")
            await until_counted(process, 'deliveries_total{result="org_conflict"}')
            await until_ready_says(process, "failing: hub_auth")
            assert hub.taken == {}
            hub.org_id = "org_x"
            await hub.until(lambda: len(hub.taken) == 1)


async def test_drain_delivers_what_is_left_and_exits_with_zero(tmp_path: Path) -> None:
    async with running_hub() as hub:
        log = tmp_path / "audit.log"
        log.write_bytes(audit_line() + b"\n")
        hub.faults.extend([status_only(503)] * 3)
        async with collector(
            tmp_path, hub, logfile_path=log, org_id="org_x", drain_seconds=20
        ) as process:
            await hub.until(lambda: hub.requests > 0)
            assert await process.terminate() == 0
            assert len(hub.taken) == 1
            assert process.said("the collector has stopped")[0]["events_left"] == 0


async def test_drain_without_a_hub_keeps_events_for_the_next_start(tmp_path: Path) -> None:
    async with running_hub() as hub:
        port = int(hub.url.rsplit(":", 1)[1])
        await hub.stop()
        log = tmp_path / "audit.log"
        log.write_bytes(audit_line() + b"\n")
        async with collector(
            tmp_path, hub, logfile_path=log, org_id="org_x", drain_seconds=0.2
        ) as process:
            await until_counted(process, "spool_events")
            assert await process.terminate() == 0
            await hub.start(port)
            await process.start()
            await hub.until(lambda: len(hub.taken) == 1)


async def test_second_collector_on_the_same_data_is_refused_in_a_sentence(tmp_path: Path) -> None:
    async with running_hub() as hub, collector(tmp_path, hub, org_id="org_x"):
        second = CollectorProcess(tmp_path / "data", hub.url)
        await second.start()
        assert await second.wait() == 1
        assert "another running collector" in second.said("the collector ends")[0]["cause"]


def sessions_log(numbers: range) -> list[bytes]:
    return [
        audit_line(f"session-{n}", stage, received=n, after=after)
        for n in numbers
        for stage, after in (("ResponseStarted", 0.01), ("ResponseComplete", 2.0))
    ]


async def post_until_taken(process: CollectorProcess, body: bytes) -> None:
    """Send as the API server does: again and again until a 2xx."""
    async with aiohttp.ClientSession() as client:
        while True:
            try:
                async with client.post(process.webhook_url, data=body) as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.02)


@pytest.mark.timeout(120)
async def test_every_session_has_exactly_its_rows_after_kills_at_random_moments(
    tmp_path: Path,
) -> None:
    """Log file and webhook at once, a hub with faults, and kill -9 five times."""
    log = tmp_path / "audit.log"
    log.write_bytes(b"")
    by_log, by_webhook = sessions_log(range(150)), sessions_log(range(100, 200))
    async with running_hub() as hub:
        process = CollectorProcess(
            tmp_path / "data",
            hub.url,
            logfile_path=log,
            org_id="org_x",
            batch_events=7,
            webhook_enabled="true",
            webhook_listen="127.0.0.1:0",
            webhook_insecure_loopback="true",
        )
        await process.start()

        async def write_log() -> None:
            for line in by_log:
                with log.open("ab") as file:
                    file.write(line + b"\n")
                await asyncio.sleep(0.008)

        async def post() -> None:
            for start in range(0, len(by_webhook), 10):
                await post_until_taken(process, event_list(by_webhook[start : start + 10]))
                await asyncio.sleep(0.08)

        async def kill_and_restart() -> None:
            for kill_while_starting in (False, True, False, True, False):
                await asyncio.sleep(random.uniform(0.0, 0.3))
                hub.faults.append(status_only(503))
                await process.kill()
                if kill_while_starting:
                    await process.launch()
                    await asyncio.sleep(random.uniform(0.1, 0.7))
                    await process.kill()
                await process.start()

        await asyncio.gather(write_log(), post(), kill_and_restart())
        await hub.until(lambda: len(hub.taken) == 400)
        assert await process.terminate() == 0
        kinds = Counter(kind for _, kind in hub.taken)
        assert kinds == {"started": 200, "ended": 200}
        assert {session for session, _ in hub.taken} == {f"session-{n}" for n in range(200)}
        assert all(
            event.metadata["duration_ms"] == 1990
            for (_, kind), event in hub.taken.items()
            if kind == "ended"
        )
        assert process.said("events were lost") == []


async def test_webhook_batches_reach_the_hub(tmp_path: Path) -> None:
    async with (
        running_hub() as hub,
        collector(
            tmp_path,
            hub,
            org_id="org_x",
            webhook_enabled="true",
            webhook_listen="127.0.0.1:0",
            webhook_insecure_loopback="true",
            webhook_token="sesame",
        ) as process,
    ):
        async with aiohttp.ClientSession() as client:
            async with client.post(process.webhook_url, data=event_list([audit_line()])) as refused:
                assert refused.status == 401
            headers = {"Authorization": "Bearer sesame"}
            async with client.post(
                process.webhook_url, data=event_list([audit_line()]), headers=headers
            ) as response:
                assert response.status == 200
        await hub.until(lambda: len(hub.taken) == 1)
        assert "sesame" not in process.output
        assert ARGV_SECRET not in process.output
