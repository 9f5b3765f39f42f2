"""A batch that is refused as a whole: the event to blame is found, and no other is given up."""

from __future__ import annotations

from pathlib import Path

import pytest
from radar_audit_collector.spool_records import NewGap
from radar_audit_events.wire import Gap, IngestRequest

from tests.support.delivery import event, line, names
from tests.support.hub_shaped import status_only


@pytest.mark.parametrize("status", [400, 413, 422])
@pytest.mark.parametrize("bad", [{0}, {9}, {3, 4}, set(range(9))], ids=str)
async def test_bad_event_cannot_stop_the_others(tmp_path: Path, status: int, bad: set[int]) -> None:
    wrong = {f"s{number:05}" for number in bad}

    def refuse(batch: IngestRequest) -> int | None:
        return status if any(e.session_id in wrong for e in batch.events) else None

    async with line(tmp_path) as it:
        it.hub.refuses_whole = refuse
        await it.spool.append([event(n) for n in range(10)], {})
        await it.emptied()
        assert sorted(it.hub.order) == [n for n in names(10) if n not in wrong]
        assert len(await it.spool.dead_letters()) == len(bad)


async def test_nothing_is_given_up_while_the_hub_refuses_every_batch(tmp_path: Path) -> None:
    async with line(tmp_path) as it:
        it.hub.refuses_whole = lambda _: 422
        await it.spool.append([event(n) for n in range(10)], {})
        await it.hub.until(lambda: it.counted("deliveries_total", result="batch_refused") > 60)
        assert await it.spool.dead_letters() == []
        it.hub.refuses_whole = lambda _: None
        await it.emptied()
        assert sorted(it.hub.order) == names(10)


async def test_event_refused_for_a_while_by_a_hub_in_change_is_not_given_up(
    tmp_path: Path,
) -> None:
    refusals = 0

    def refuse(batch: IngestRequest) -> int | None:
        nonlocal refusals
        if refusals < 6 and any(e.session_id == "s00003" for e in batch.events):
            refusals += 1
            return 422
        return None

    async with line(tmp_path) as it:
        it.hub.refuses_whole = refuse
        await it.spool.append([event(n) for n in range(10)], {})
        await it.emptied()
        assert sorted(it.hub.order) == names(10)
        assert await it.spool.dead_letters() == []


async def test_request_that_is_too_large_is_halved(tmp_path: Path) -> None:
    async with line(tmp_path) as it:
        it.hub.refuses_whole = lambda batch: 413 if len(batch.events) > 3 else None
        await it.spool.append([event(n) for n in range(10)], {})
        await it.emptied()
        assert sorted(it.hub.order) == names(10)
        assert await it.spool.dead_letters() == []


async def test_gaps_are_told_beside_events_and_never_twice_under_two_names(
    tmp_path: Path,
) -> None:
    async with line(tmp_path) as it:
        it.hub.faults.append(status_only(503))
        await it.spool.add_gap(NewGap("spool_full", 10, 20, 3))
        await it.spool.append([event(0)], {})
        await it.hub.until(lambda: it.spool.stats.gaps == 0)
        await it.emptied()
        (gap,) = it.hub.gaps.values()
        assert (gap.count, gap.reason) == (3, "spool_full")  # type: ignore[attr-defined]


async def test_gap_of_unknown_size_is_told_as_at_least_one(tmp_path: Path) -> None:
    async with line(tmp_path) as it:
        await it.spool.add_gap(NewGap("spool_corrupt", 20, 10, 0))
        await it.spool.append([event(0)], {})
        await it.hub.until(lambda: it.spool.stats.gaps == 0)
        (gap,) = it.hub.gaps.values()
        assert isinstance(gap, Gap)
        assert (gap.count, gap.from_time < gap.to_time) == (1, True)


async def test_refused_gaps_do_not_stop_events(tmp_path: Path) -> None:
    async with line(tmp_path) as it:
        it.hub.refuses_whole = lambda batch: 422 if batch.gaps else None
        await it.spool.add_gap(NewGap("spool_full", 10, 20, 3))
        await it.spool.append([event(n) for n in range(3)], {})
        await it.emptied()
        assert sorted(it.hub.order) == names(3)
        assert it.spool.stats.gaps == 1
