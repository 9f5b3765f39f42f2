"""Outgoing work is done at least once, by one replica at a time, and given up in the end."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from radar_audit_hub.context import Hub
from radar_audit_hub.outbox.delivery import Delivery, DeliveryFailedError, Handlers
from radar_audit_hub.outbox.job import AT_ONCE, OutboxJob, run_forever
from radar_audit_hub.outbox.rules import next_due_ms
from radar_audit_hub.store import outbox
from radar_audit_hub.store.schema_outbox import outbox as table
from sqlalchemy import select

from tests.support.hub_builder import HubUnderTest

HOUR_MS = 3_600_000


async def _put(hub: HubUnderTest, key: str, kind: str = "k", **more: Any) -> bool:
    async with hub.hub.db.write() as conn:
        return await outbox.put(
            conn, kind=kind, dedup_key=key, payload={"key": key}, now_ms=hub.clock.now_ms, **more
        )


async def _rows(hub: HubUnderTest) -> list[Any]:
    async with hub.hub.db.read() as conn:
        return list((await conn.execute(select(table).order_by(table.c.id))).all())


class Recorder:
    """Handlers of the kind `k` that note what they were given, and fail while told to."""

    def __init__(self, *errors: Exception) -> None:
        self.seen: list[Delivery] = []
        self.errors = list(errors)

    async def __call__(self, _hub: Hub, delivery: Delivery) -> None:
        self.seen.append(delivery)
        if self.errors:
            raise self.errors.pop(0)

    @property
    def handlers(self) -> Handlers:
        return {"k": self}


async def test_work_is_done_once_and_its_key_is_remembered(any_hub: HubUnderTest) -> None:
    recorder = Recorder()
    job = OutboxJob(any_hub.hub, recorder.handlers)
    assert await _put(any_hub, "a", org_id="org_x")
    assert not await _put(any_hub, "a")
    await job.drain()
    await job.drain()
    assert [(d.payload, d.org_id, d.attempt) for d in recorder.seen] == [({"key": "a"}, "org_x", 1)]
    assert not await _put(any_hub, "a")
    any_hub.clock.now_ms += outbox.KEEP_DONE_MS
    await job.measure()
    assert await _put(any_hub, "a")


async def test_work_of_a_change_that_fails_is_never_done(any_hub: HubUnderTest) -> None:
    recorder = Recorder()
    with suppress(ConnectionError):
        async with any_hub.hub.db.write() as conn:
            await outbox.put(conn, kind="k", dedup_key="a", payload={}, now_ms=any_hub.clock.now_ms)
            raise ConnectionError
    await OutboxJob(any_hub.hub, recorder.handlers).drain()
    assert recorder.seen == []


async def test_failed_work_comes_back_with_the_same_id_after_a_pause(any_hub: HubUnderTest) -> None:
    recorder = Recorder(DeliveryFailedError("no answer", retry=True))
    job = OutboxJob(any_hub.hub, recorder.handlers)
    await _put(any_hub, "a")
    await job.drain()
    [row] = await _rows(any_hub)
    assert (row.last_error, row.done_at, row.claimed_until) == ("no answer", None, None)
    assert row.due_at > any_hub.clock.now_ms
    await job.drain()
    assert len(recorder.seen) == 1
    any_hub.clock.now_ms = row.due_at
    await job.drain()
    assert [d.attempt for d in recorder.seen] == [1, 2]
    assert len({d.id for d in recorder.seen}) == 1
    assert (await _rows(any_hub))[0].outcome == "done"


async def test_work_that_no_retry_can_help_is_given_up_at_once(hub: HubUnderTest) -> None:
    recorder = Recorder(DeliveryFailedError("refused", retry=False))
    await _put(hub, "a")
    await OutboxJob(hub.hub, recorder.handlers).drain()
    [row] = await _rows(hub)
    assert (row.outcome, row.last_error) == ("given_up", "refused")
    count = hub.hub.metrics.registry.get_sample_value(
        "radar_audit_hub_outbox_attempts_total", {"kind": "k", "outcome": "given_up"}
    )
    assert count == 1


async def test_work_is_given_up_after_72_hours(hub: HubUnderTest) -> None:
    recorder = Recorder(*(RuntimeError("secret") for _ in range(9)))
    job = OutboxJob(hub.hub, recorder.handlers)
    await _put(hub, "a")
    for later_ms in (0, 71 * HOUR_MS, HOUR_MS):
        hub.clock.now_ms += later_ms
        await job.drain()
    [row] = await _rows(hub)
    assert (row.outcome, row.attempts) == ("given_up", 3)
    assert row.last_error == "RuntimeError"  # never its text


async def test_a_claim_that_died_is_taken_up_again(any_hub: HubUnderTest) -> None:
    recorder = Recorder()
    job = OutboxJob(any_hub.hub, recorder.handlers)
    await _put(any_hub, "a")
    async with any_hub.hub.db.write() as conn:
        [lost] = await outbox.claim(conn, ["k"], any_hub.clock.now_ms, 10)
    await job.drain()
    assert recorder.seen == []
    any_hub.clock.now_ms += outbox.CLAIM_MS
    await job.drain()
    assert [d.attempt for d in recorder.seen] == [2]
    async with any_hub.hub.db.write() as conn:  # the dead one comes back to life
        assert not await outbox.put_back(conn, lost, any_hub.clock.now_ms, "late")
    assert (await _rows(any_hub))[0].outcome == "done"


async def test_replicas_never_work_on_one_row_at_once(any_hub: HubUnderTest) -> None:
    working: set[str] = set()
    done: list[str] = []

    async def handle(_hub: Hub, delivery: Delivery) -> None:
        assert delivery.id not in working
        working.add(delivery.id)
        await asyncio.sleep(0.001)
        working.discard(delivery.id)
        done.append(delivery.id)

    for number in range(60):
        await _put(any_hub, str(number))
    jobs = [OutboxJob(any_hub.hub, {"k": handle}) for _ in range(4)]
    await asyncio.gather(*(job.drain() for job in jobs))
    assert len(done) == len(set(done)) == 60


async def test_attempts_at_the_same_time_are_bounded(hub: HubUnderTest) -> None:
    running = most = 0

    async def handle(_hub: Hub, _delivery: Delivery) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    for number in range(3 * AT_ONCE):
        await _put(hub, str(number))
    await OutboxJob(hub.hub, {"k": handle}).drain()
    assert most == AT_ONCE


async def test_handler_may_write_while_it_works(any_hub: HubUnderTest) -> None:
    async def handle(hub: Hub, delivery: Delivery) -> None:
        async with hub.db.write() as conn:
            await outbox.put(
                conn, kind="other", dedup_key=delivery.id, payload={}, now_ms=hub.now_ms()
            )

    await _put(any_hub, "a")
    await OutboxJob(any_hub.hub, {"k": handle}).drain()
    assert {row.kind: row.outcome for row in await _rows(any_hub)} == {
        "k": "done",
        "other": None,  # no handler here: a newer replica may have one
    }


async def test_stopped_job_puts_its_work_back(any_hub: HubUnderTest) -> None:
    begun = asyncio.Event()

    async def handle(_hub: Hub, _delivery: Delivery) -> None:
        begun.set()
        await asyncio.Event().wait()

    await _put(any_hub, "a")
    task = asyncio.create_task(run_forever(any_hub.hub, {"k": handle}))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    recorder = Recorder()
    await OutboxJob(any_hub.hub, recorder.handlers).drain()
    assert [d.attempt for d in recorder.seen] == [2]


async def test_gauges_show_what_waits(hub: HubUnderTest) -> None:
    job = OutboxJob(hub.hub, {})
    await _put(hub, "a")
    await _put(hub, "b", due_ms=hub.clock.now_ms + 1000)
    hub.clock.now_ms += 5000
    await job.measure()
    registry = hub.hub.metrics.registry
    assert registry.get_sample_value("radar_audit_hub_outbox_pending") == 2
    assert registry.get_sample_value("radar_audit_hub_outbox_oldest_seconds") == 5


def test_pauses_double_to_an_hour_and_never_end_late() -> None:
    pauses = [next_due_ms(n, 10**12, 0, 0.0) for n in range(1, 40)]
    assert pauses[:3] == [5_000, 10_000, 20_000]
    assert pauses[-1] == HOUR_MS
    assert next_due_ms(1, 10**12, 0, 0.999) == 2502
    assert next_due_ms(1, 5_000, 0, 0.0) is None
