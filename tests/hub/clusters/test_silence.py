"""Collectors that fall silent: their terminals are taken as ended, once, and gaps recorded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from radar_audit_events import ids
from radar_audit_events.ids import format_ms
from radar_audit_hub.clusters import silence
from radar_audit_hub.clusters.silence import (
    LEASE,
    MAX_DEAF_MS,
    SILENT_MS,
    Listening,
    end_sessions_of,
    run_round,
)
from radar_audit_hub.retention.job import Lease
from radar_audit_hub.store import collectors
from radar_audit_hub.store.silence import silent_instances
from sqlalchemy import text

from tests.support.collector_posts import (
    CLUSTER,
    Poster,
    a_heartbeat,
    a_start,
    an_end,
    fates,
    posting,
)
from tests.support.hub_builder import ORG
from tests.support.log_rows import NOW_MS

MINUTE_MS = 60_000
EMPTY = {"events": 0, "bytes": 0, "oldest_at": None, "dead_letters": 0}


@pytest.fixture
async def collector(database_url: str) -> AsyncIterator[Poster]:
    async with posting(database_url) as poster:
        yield poster


@pytest.fixture
async def small(sqlite_url: str) -> AsyncIterator[Poster]:
    async with posting(sqlite_url) as poster:
        yield poster


async def beat(poster: Poster, *sessions: str, **changes: Any) -> None:
    words = {"spool": EMPTY, "open_sessions": list(sessions)} | changes
    status, answer = await poster.post("/api/agent/heartbeat", a_heartbeat(**words))
    assert status == 200, answer


async def a_round(poster: Poster, holder: str = "me") -> int:
    hub = poster.under_test.hub
    return await run_round(hub, Lease(hub.db, hub.now_ms, holder, LEASE))


async def ends(poster: Poster) -> list[dict[str, Any]]:
    return [row for row in await poster.rows() if row["action"] == "pod.exec_ended"]


async def gaps(poster: Poster) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await poster.under_test.get("gaps")).json["gaps"]
    return found


def pass_time(poster: Poster, ms: int = SILENT_MS + 1) -> None:
    poster.under_test.clock.now_ms += ms


async def test_terminals_of_a_silent_collector_are_taken_as_ended(collector: Poster) -> None:
    began_ms = NOW_MS - MINUTE_MS
    await collector.send(a_start("s-1", at_ms=began_ms), a_start("s-2"), an_end("s-2"))
    await beat(collector, "s-1", "s-2")
    pass_time(collector, SILENT_MS)
    assert await a_round(collector) == 0
    pass_time(collector, 1)
    assert await a_round(collector) == 1
    end = (await ends(collector))[-1]
    key = ids.source_key(CLUSTER, "s-1", "assumed")
    assert (end["id"], bytes(end["source_key"])) == (ids.event_id(NOW_MS, key), key)
    assert (end["created_at"], end["recorded_at"]) == (NOW_MS, NOW_MS + SILENT_MS + 1)
    assert (end["target_id"], end["cluster_id"]) == (f"{CLUSTER}/pay/api-0", CLUSTER)
    assert (end["actor_user_id"], end["actor_email"]) == ("user_x", None)
    assert end["metadata"] == {
        "cluster_id": CLUSTER,
        "cluster_name": "prod",
        "namespace": "pay",
        "pod": "api-0",
        "container": "app",
        "session_id": "s-1",
        "duration_ms": MINUTE_MS,
        "end_reason": "assumed",
        "observed": False,
        "started_at": format_ms(began_ms),
    }
    (gap,) = await gaps(collector)
    assert (gap["collector_id"], gap["count"]) == ("c-1", 1)
    assert gap["reason"] == "the collector fell silent"
    assert (gap["from_time"], gap["to_time"]) == (
        format_ms(NOW_MS),
        format_ms(NOW_MS + SILENT_MS + 1),
    )
    assert await a_round(collector) == 0
    assert len(await ends(collector)) == 2


async def test_late_real_end_names_the_assumed_one(collector: Poster) -> None:
    start = {"started_at": format_ms(NOW_MS)}
    await collector.send(a_start("s-1"), a_start("s-2"))
    await beat(collector, "s-1", "s-2")
    pass_time(collector)
    assert await a_round(collector) == 2
    assumed = {row["metadata"]["session_id"]: row["id"] for row in await ends(collector)}
    later_ms = NOW_MS + 3 * MINUTE_MS
    results = await collector.send(
        an_end("s-1", at_ms=later_ms, metadata=start),
        an_end("s-2", at_ms=later_ms),
        an_end("s-3", at_ms=later_ms),
    )
    assert fates(results) == ["accepted"] * 3
    named = {r["metadata"]["session_id"]: r["metadata"] for r in (await ends(collector))[2:]}
    assert [named[s].get("supersedes") for s in ("s-1", "s-2", "s-3")] == [
        assumed["s-1"],
        assumed["s-2"],
        None,
    ]
    again = await collector.send(an_end("s-1", at_ms=later_ms, metadata=start))
    assert fates(again) == ["duplicate"]


@pytest.mark.parametrize(
    "metadata",
    [{"pod": "api-1"}, {"started_at": format_ms(NOW_MS - 2 * 60 * MINUTE_MS)}],
)
async def test_end_of_another_session_of_that_id_names_nothing(
    small: Poster, metadata: dict[str, Any]
) -> None:
    await small.send(a_start("s-1"))
    await beat(small, "s-1")
    pass_time(small)
    await a_round(small)
    assert fates(await small.send(an_end("s-1", metadata=metadata))) == ["accepted"]
    assert "supersedes" not in (await ends(small))[-1]["metadata"]


async def test_collector_that_is_heard_of_keeps_its_terminals(small: Poster) -> None:
    await small.send(a_start("s-1"))
    await beat(small, "s-1")
    for _ in range(5):
        pass_time(small, SILENT_MS - 1)
        await beat(small, "s-1")
        assert await a_round(small) == 0
    assert (await ends(small), await gaps(small)) == ([], [])


async def test_terminal_that_another_collector_sees_is_not_ended(small: Poster) -> None:
    await small.send(a_start("s-1"))
    await beat(small, "s-1")
    pass_time(small)
    await beat(small, "s-1", collector_id="c-2")
    assert await a_round(small) == 0
    pass_time(small)
    assert await a_round(small) == 1  # the other one fell silent, too
    assert [gap["collector_id"] for gap in await gaps(small)] == ["c-2"]


async def test_instance_that_another_came_after_is_dealt_with_as_well(collector: Poster) -> None:
    await collector.send(a_start("s-1"), a_start("s-2"))
    await beat(collector, "s-1", "s-2")
    pass_time(collector, MINUTE_MS)
    await beat(collector, "s-2", instance_id="i-2")  # it lost s-1 with its spool
    pass_time(collector, SILENT_MS - MINUTE_MS + 1)
    await beat(collector, "s-2", instance_id="i-2")
    assert await a_round(collector) == 1
    (end,) = await ends(collector)
    assert (end["metadata"]["session_id"], end["created_at"]) == ("s-1", NOW_MS)
    (gap,) = await gaps(collector)
    assert gap["count"] == 1
    assert await a_round(collector) == 0


async def test_restarted_collector_that_ends_its_terminals_leaves_no_gap(small: Poster) -> None:
    await small.send(a_start("s-1"))
    await beat(small, "s-1", spool=EMPTY | {"events": 7})
    await small.send(an_end("s-1", metadata={"end_reason": "collector_restart"}))
    for _ in range(3):
        await beat(small, instance_id="i-2")
        pass_time(small, SILENT_MS // 2)
    assert await a_round(small) == 0
    assert (len(await ends(small)), await gaps(small)) == (1, [])


async def test_what_waited_in_the_spool_is_part_of_the_gap(small: Poster) -> None:
    await beat(small, "unknown", spool=EMPTY | {"events": 7})
    pass_time(small)
    assert await a_round(small) == 0
    (gap,) = await gaps(small)
    assert gap["count"] == 8  # with the terminal whose start never came
    assert await ends(small) == []


async def test_collector_that_ended_well_leaves_no_gap(small: Poster) -> None:
    await beat(small)
    pass_time(small)
    assert await a_round(small) == 0
    assert await gaps(small) == []


async def test_gap_of_a_collector_that_comes_back_is_taken_back(collector: Poster) -> None:
    await beat(collector, spool=EMPTY | {"events": 7})
    pass_time(collector)
    await a_round(collector)
    assert len(await gaps(collector)) == 1
    await beat(collector, spool=EMPTY | {"events": 7})
    assert await gaps(collector) == []
    pass_time(collector)
    await a_round(collector)
    assert len(await gaps(collector)) == 1


async def test_two_replicas_assume_each_end_once(collector: Poster) -> None:
    hub = collector.under_test.hub
    names = [f"s-{number}" for number in range(5)]
    await collector.send(*(a_start(name) for name in names))
    await beat(collector, *names)
    pass_time(collector)
    counts = await asyncio.gather(a_round(collector, "me"), a_round(collector, "other"))
    assert sorted(counts) == [0, 5]
    # The lease is no lock: who has found the instance before deals with it at the same time.
    await beat(collector, *names)
    pass_time(collector)
    async with hub.db.read() as conn:
        (silent,) = await silent_instances(conn, hub.now_ms() - SILENT_MS, 10)
    await asyncio.gather(*(end_sessions_of(hub, silent) for _ in range(3)))
    assert len(await ends(collector)) == 5


async def test_instance_that_comes_back_meanwhile_is_left_alone(small: Poster) -> None:
    hub = small.under_test.hub
    await small.send(a_start("s-1"))
    await beat(small, "s-1")
    pass_time(small)
    async with hub.db.read() as conn:
        (silent,) = await silent_instances(conn, hub.now_ms() - SILENT_MS, 10)
    await beat(small, "s-1")
    assert await end_sessions_of(hub, silent) == 0
    assert (await ends(small), await gaps(small)) == ([], [])


async def test_fault_on_the_way_leaves_neither_end_nor_gap_and_is_tried_again(
    collector: Poster, monkeypatch: pytest.MonkeyPatch
) -> None:
    await collector.send(a_start("s-1"))
    await beat(collector, "s-1")
    pass_time(collector)

    async def away(*_: object) -> None:
        raise ConnectionError

    with monkeypatch.context() as broken:
        broken.setattr(silence, "save_gaps", away)
        with pytest.raises(ConnectionError):
            await a_round(collector)
    assert (await ends(collector), await gaps(collector)) == ([], [])
    assert await a_round(collector) == 1
    assert len(await gaps(collector)) == 1


async def test_deleted_cluster_has_its_terminals_ended_and_a_deleted_org_not(
    small: Poster,
) -> None:
    await small.send(a_start("s-1"))
    await beat(small, "s-1")
    await small.under_test.send("DELETE", f"/api/orgs/{ORG}/clusters/{CLUSTER}")
    pass_time(small)
    assert await a_round(small) == 1
    async with small.under_test.hub.db.write() as conn:
        await conn.execute(text("UPDATE collector SET settled_at = NULL"))
        await conn.execute(text("DELETE FROM audit_event WHERE action = 'pod.exec_ended'"))
        await conn.execute(text("UPDATE org SET deleted_at = 1"))
    assert await a_round(small) == 0


async def test_more_instances_than_one_look_takes_are_all_dealt_with(
    small: Poster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silence, "_AT_ONCE", 2)
    await small.send(*(a_start(f"s-{number}") for number in range(5)))
    for number in range(5):
        await beat(small, f"s-{number}", collector_id=f"c-{number}")
    pass_time(small)
    assert await a_round(small) == 5


async def test_former_instances_of_a_cluster_are_bounded(
    small: Poster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collectors, "MAX_FORMER_INSTANCES", 2)
    for number in range(5):
        pass_time(small, 1)
        await beat(small, "s-1", instance_id=f"i-{number}")
    async with small.under_test.hub.db.read() as conn:
        names = await conn.scalars(text("SELECT instance_id FROM former_instance ORDER BY 1"))
        assert list(names) == ["i-2", "i-3"]


def test_hub_that_was_deaf_for_a_while_takes_nobody_for_silent() -> None:
    listening, now_ms = Listening(NOW_MS), NOW_MS
    heard = []
    for _ in range(20):
        now_ms += 30_000
        heard.append(listening.goes_on(now_ms))
    assert heard == [False] * 19 + [True]
    assert not listening.goes_on(now_ms + MAX_DEAF_MS + 1)  # it stood still
    now_ms += MAX_DEAF_MS + 1
    for _ in range(20):
        now_ms += 30_000
        listening.goes_on(now_ms)
    assert listening.goes_on(now_ms)
    assert not listening.goes_on(now_ms - 1)  # its clock was set back
    listening.breaks(now_ms)
    assert not listening.goes_on(now_ms + 30_000)


async def test_job_waits_until_it_has_listened_and_goes_on_after_a_round_that_failed(
    small: Poster, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, clock = small.under_test.hub, small.under_test.clock
    await small.send(a_start("s-1"))
    await beat(small, "s-1")
    pass_time(small)  # the hub is started only now
    looks: list[int] = []
    failures = [ConnectionError()]

    async def time_passes(_: float) -> None:
        looks.append(len(await ends(small)))
        if looks[-1]:
            raise asyncio.CancelledError
        clock.now_ms += 60_000

    async def first_fails(*given: Any) -> int:
        if failures:
            raise failures.pop()
        return await run_round(*given)

    monkeypatch.setattr(silence, "run_round", first_fails)
    with pytest.raises(asyncio.CancelledError):
        await silence.run_forever(hub, time_passes)
    # Ten minutes of listening, a round that failed, and ten minutes again.
    assert looks == [0] * 20 + [1]
