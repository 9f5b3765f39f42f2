"""Intake: one transaction a call, nothing kept of a refused one, nothing lost or doubled by it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from radar_audit_collector.capture.logfile import CHECKPOINT_KEY
from radar_audit_collector.capture.record import Skipped, parse_line
from radar_audit_collector.classify import ClassifyRules
from radar_audit_collector.errors import SpoolUnavailableError
from radar_audit_collector.intake import Intake
from radar_audit_collector.metrics import Metrics
from radar_audit_collector.spool import Spool
from radar_audit_events.wire import WireEvent

from tests.support.audit_lines import audit_line

RULES = ClassifyRules("radar/radar", "org_x")
MIB = 1024 * 1024


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[tuple[Spool, Intake, Metrics]]:
    spool, metrics = Spool(folder / "spool", 64 * MIB), Metrics(CollectorRegistry())
    await spool.open()
    try:
        yield spool, Intake(spool, metrics, RULES, now_ms=lambda: 1_795_489_870_000), metrics
    finally:
        await spool.close()


async def take(intake: Intake, lines: Sequence[bytes], checkpoint: bytes | None = None) -> None:
    await intake.accept([parse_line(line) for line in lines], "webhook", checkpoint=checkpoint)


async def stored(spool: Spool) -> list[tuple[str, str]]:
    events = [
        msgspec.json.decode(e.payload, type=WireEvent) for e in await spool.peek(10_000, 1 << 30)
    ]
    return [(e.session_id, e.action.rsplit("_", 1)[1]) for e in events]


async def fill_disk(spool: Spool) -> None:
    def work(database: object) -> None:
        conn = database.conn  # type: ignore[attr-defined]
        pages = conn.execute("PRAGMA page_count").fetchone()[0]
        conn.execute(f"PRAGMA max_page_count={pages}")

    await spool._order(work)


async def free_disk(spool: Spool) -> None:
    await spool._order(
        lambda database: database.conn.execute("PRAGMA max_page_count=1000000").fetchone()
    )


def session(number: int) -> list[bytes]:
    return [
        audit_line(f"s{number}", received=number),
        audit_line(f"s{number}", "ResponseComplete", received=number, after=2.0),
    ]


async def test_checkpoint_and_events_are_one_transaction(tmp_path: Path) -> None:
    async with opened(tmp_path) as (spool, intake, _):
        await take(intake, session(1), checkpoint=b"here")
        assert await stored(spool) == [("s1", "started"), ("s1", "ended")]
        assert (await spool.load_state(CHECKPOINT_KEY)).values == {CHECKPOINT_KEY: b"here"}


async def test_fault_of_the_log_file_leaves_a_gap_record(tmp_path: Path) -> None:
    async with opened(tmp_path) as (spool, intake, metrics):
        await intake.accept([Skipped("checkpoint_lost"), Skipped("not_exec")], "logfile")
        (gap,) = await spool.gaps()
        assert gap.reason == "logfile_checkpoint_lost"
        assert metrics.losses == {"logfile_checkpoint_lost": 1}


async def test_refused_call_can_be_offered_again_without_loss_or_double(tmp_path: Path) -> None:
    async with opened(tmp_path) as (spool, intake, metrics):
        await take(intake, session(1), checkpoint=b"one")
        await fill_disk(spool)
        many = [line for n in range(2, 60) for line in session(n)]
        with pytest.raises(SpoolUnavailableError):
            await take(intake, many, checkpoint=b"two")
        assert (await spool.load_state(CHECKPOINT_KEY)).values == {CHECKPOINT_KEY: b"one"}
        await free_disk(spool)
        await take(intake, many, checkpoint=b"two")
        await take(intake, many, checkpoint=b"two")
        assert await stored(spool) == [
            (f"s{n}", kind) for n in range(1, 60) for kind in ("started", "ended")
        ]
        counted = metrics.registry.get_sample_value(
            "radar_audit_collector_events_total",
            {"action": "pod.exec_started", "source": "webhook"},
        )
        assert counted == 59


async def test_repeat_is_not_acknowledged_before_what_it_repeats_is_durable(
    tmp_path: Path,
) -> None:
    """The API server sends a batch again after a timeout: 200 to the second must not come alone."""
    async with opened(tmp_path) as (spool, intake, _):
        await take(intake, session(1))
        await fill_disk(spool)
        many = [line for n in range(2, 60) for line in session(n)]
        outcomes = await asyncio.gather(
            *(take(intake, many) for _ in range(3)), return_exceptions=True
        )
        assert [type(o) for o in outcomes] == [SpoolUnavailableError] * 3
        await free_disk(spool)
        await take(intake, many)
        assert len(await stored(spool)) == 2 * 59


async def test_many_sources_at_once_give_each_fact_once(tmp_path: Path) -> None:
    async with opened(tmp_path) as (spool, intake, _):
        lines = [line for n in range(40) for line in session(n)]
        await asyncio.gather(
            *(take(intake, lines[start : start + 9]) for start in range(0, 80, 5)),
            take(intake, lines[::-1]),
        )
        assert sorted(await stored(spool)) == sorted(
            (f"s{n}", kind) for n in range(40) for kind in ("started", "ended")
        )


async def test_pairing_goes_on_after_a_restart(tmp_path: Path) -> None:
    start, end = session(1)
    async with opened(tmp_path) as (spool, intake, _):
        await take(intake, [start])
        assert await intake.open_session_ids() == ["s1"]
    async with opened(tmp_path) as (spool, intake, _):
        assert await intake.open_session_ids() == ["s1"]
        await take(intake, [start, end])
        assert await stored(spool) == [("s1", "started"), ("s1", "ended")]


async def test_cancelled_call_leaves_memory_and_disk_agreeing(tmp_path: Path) -> None:
    async with opened(tmp_path) as (spool, intake, _):
        await take(intake, session(0))
        call = asyncio.create_task(take(intake, session(1)))
        await asyncio.sleep(0)
        call.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await call
        await take(intake, session(1))
        assert (await stored(spool)).count(("s1", "started")) == 1
        assert (await stored(spool)).count(("s1", "ended")) == 1


async def test_time_lets_a_refusal_go_and_the_loop_mends_readiness(tmp_path: Path) -> None:
    async with opened(tmp_path) as (spool, _, metrics):
        now = [1_795_489_870_000]
        intake = Intake(spool, metrics, RULES, now_ms=lambda: now[0])
        running = asyncio.create_task(intake.run())
        try:
            await take(intake, [audit_line("d1", code=403)])
            now[0] += 10_000
            while not await stored(spool):  # noqa: ASYNC110 - the loop under test does it
                await asyncio.sleep(0.05)
            assert await stored(spool) == [("d1", "denied")]
            await fill_disk(spool)
            with pytest.raises(SpoolUnavailableError):
                await take(intake, [line for n in range(99) for line in session(n)])
            await free_disk(spool)
            while not spool.is_writable:  # noqa: ASYNC110 - the loop under test mends it
                await asyncio.sleep(0.05)
        finally:
            running.cancel()
            await asyncio.wait([running])
