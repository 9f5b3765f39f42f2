"""The deletion of expired events: in steps, under a lease, with receipts, exactly to the floor."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from radar_audit_hub.retention.job import (
    LEASE,
    LEASE_MS,
    Lease,
    Purger,
    PurgeReport,
    expired_now,
    run_forever,
    run_round,
)
from radar_audit_hub.retention.policy import RECEIPT_ACTION
from radar_audit_hub.store.collectors import GapRow, list_gaps, save_gaps
from radar_audit_hub.store.database import Database
from radar_audit_hub.store.leases import take_lease

from tests.support.collector_posts import stored_rows
from tests.support.hub_builder import HubUnderTest
from tests.support.log_rows import DAY_MS, NOW_MS, make_event

PLANS = {"org_free": 7, "org_team": 30, "org_ent": 365}


async def fill(hub: HubUnderTest) -> None:
    """Three orgs, one a plan; each with three events a second too old and two just young enough."""
    for org_id, days in PLANS.items():
        await hub.add_org(org_id, {7: "free", 30: "team", 365: "enterprise"}[days])
        floor_ms = NOW_MS - days * DAY_MS
        times = [floor_ms - 2000, floor_ms - 1000, floor_ms - 1, floor_ms, NOW_MS]
        events = [make_event(n, created_at_ms=at, org_id=org_id) for n, at in enumerate(times)]
        await hub.append(*events, org_id=org_id)


def a_purger(db: Database, **changes: Any) -> Purger:
    plain = Purger(
        db=db,
        now_ms=lambda: NOW_MS,
        random_bytes=os.urandom,
        batch_rows=2,
        pause_seconds=0,
        removed=lambda _org_id, _rows: None,
    )
    return replace(plain, **changes)


async def purge(hub: HubUnderTest, **changes: Any) -> PurgeReport | None:
    db = hub.hub.db
    return await run_round(a_purger(db, **changes), Lease(db, lambda: NOW_MS, "me"))


async def test_round_deletes_what_a_dry_run_counted_and_no_more(any_hub: HubUnderTest) -> None:
    await fill(any_hub)
    db = any_hub.hub.db
    counted = await expired_now(db, NOW_MS)
    steps: list[tuple[str, int]] = []
    report = await purge(any_hub, removed=lambda org_id, rows: steps.append((org_id, rows)))
    assert report is not None
    assert report.rows == counted.rows == dict.fromkeys(PLANS, 3)
    assert report.total == 9
    assert sorted(steps) == sorted([(org, 2) for org in PLANS] + [(org, 1) for org in PLANS])
    assert (await expired_now(db, NOW_MS)).rows == {}
    for org_id, days in PLANS.items():
        rows = await stored_rows(db, org_id)
        events = [row for row in rows if row["action"] != RECEIPT_ACTION]
        assert [row["created_at"] for row in events] == [NOW_MS - days * DAY_MS, NOW_MS]
        receipts = [row["metadata"] for row in rows if row["action"] == RECEIPT_ACTION]
        assert [(r["from_seq"], r["to_seq"], r["count"]) for r in receipts] == [
            (0, 1, 2),
            (2, 2, 1),
        ]
        assert {r["policy"] for r in receipts} == {
            f"plan:{'enterprise' if days == 365 else org_id.removeprefix('org_')}"
        }
        assert [row["seq"] for row in rows] == [3, 4, 5, 6]


async def test_second_round_has_nothing_to_do(any_hub: HubUnderTest) -> None:
    await fill(any_hub)
    await purge(any_hub)
    before = {org: await stored_rows(any_hub.hub.db, org) for org in PLANS}
    report = await purge(any_hub)
    assert report is not None
    assert report.rows == {}
    assert {org: await stored_rows(any_hub.hub.db, org) for org in PLANS} == before


async def test_two_replicas_delete_each_row_once(any_hub: HubUnderTest) -> None:
    await fill(any_hub)
    db = any_hub.hub.db

    async def always() -> bool:
        return True

    reports = await asyncio.gather(*(a_purger(db, batch_rows=1).round(always) for _ in range(3)))
    assert sum(report.total for report in reports) == 9
    for org_id in PLANS:
        receipts = [r for r in await stored_rows(db, org_id) if r["action"] == RECEIPT_ACTION]
        assert sum(row["metadata"]["count"] for row in receipts) == 3


async def test_round_is_left_to_the_holder_of_the_lease(any_hub: HubUnderTest) -> None:
    await fill(any_hub)
    db = any_hub.hub.db
    async with db.write() as conn:
        await take_lease(conn, LEASE, "other", now_ms=NOW_MS, until_ms=NOW_MS + 1)
    assert await purge(any_hub) is None
    assert (await expired_now(db, NOW_MS)).total == 9


async def test_round_ends_when_the_lease_is_lost(any_hub: HubUnderTest) -> None:
    await fill(any_hub)
    left = iter([True, True, False])

    async def may_go_on() -> bool:
        return next(left)

    report = await a_purger(any_hub.hub.db, batch_rows=1).round(may_go_on)
    assert report.total == 2
    assert (await expired_now(any_hub.hub.db, NOW_MS)).total == 7


async def test_lease_is_prolonged_at_half_time_and_given_back(hub: HubUnderTest) -> None:
    db, clock = hub.hub.db, hub.clock
    mine, other = Lease(db, clock, "mine"), Lease(db, clock, "other")
    assert await mine.keep()
    clock.now_ms += LEASE_MS // 2
    assert await mine.keep()
    clock.now_ms += LEASE_MS // 2 + 1
    assert not await other.keep(), "prolonged"
    await mine.release()
    assert await other.keep()
    assert not await mine.keep()


def value(hub: HubUnderTest, name: str) -> float:
    return hub.hub.metrics.registry.get_sample_value(f"radar_audit_hub_{name}") or 0


async def test_background_job_deletes_counts_and_wakes_followers(hub: HubUnderTest) -> None:
    await fill(hub)
    signal = hub.hub.signal
    following = asyncio.create_task(signal.wait_past("org_team", 4, 60))
    job = asyncio.create_task(run_forever(hub.hub))
    assert await following, "the receipt is a new event"
    while not value(hub, "prune_last_success_timestamp_seconds"):  # noqa: ASYNC110 - a metric
        await asyncio.sleep(0.01)
    await ended(job)
    assert value(hub, "prune_rows_total") == 9
    assert (await expired_now(hub.hub.db, NOW_MS)).total == 0


async def test_broken_round_is_logged_and_the_next_one_tried(
    hub: HubUnderTest, caplog: pytest.LogCaptureFixture
) -> None:
    await fill(hub)
    broken = replace(
        hub.hub,
        random_bytes=lambda count: os.urandom(min(count, 8)),  # too short for a receipt's salt
        settings=replace(hub.hub.settings, purge_interval_seconds=0.0),
    )
    job = asyncio.create_task(run_forever(broken))
    while caplog.text.count("a round of deletion failed") < 2:  # noqa: ASYNC110 - a log
        await asyncio.sleep(0.01)
    assert not job.done()
    await ended(job)
    assert (await expired_now(hub.hub.db, NOW_MS)).total == 9


async def ended(job: asyncio.Task[None]) -> None:
    job.cancel()
    with suppress(asyncio.CancelledError):
        await job


async def test_old_gaps_go_with_the_events(any_hub: HubUnderTest) -> None:
    await any_hub.add_org("org_free", "free")
    gaps = [a_gap("old", NOW_MS - 7 * DAY_MS - 1), a_gap("young", NOW_MS - 7 * DAY_MS)]
    async with any_hub.hub.db.write() as conn:
        await save_gaps(conn, gaps)
    await purge(any_hub)
    async with any_hub.hub.db.read() as conn:
        assert await list_gaps(conn, "org_free", since_ms=0, limit=9) == gaps[1:]


def a_gap(gap_id: str, recorded_at_ms: int) -> GapRow:
    return GapRow(
        org_id="org_free",
        cluster_id="cl_1",
        gap_id=gap_id,
        collector_id="c-1",
        from_at_ms=1,
        to_at_ms=2,
        count=1,
        reason="expired",
        recorded_at_ms=recorded_at_ms,
    )
