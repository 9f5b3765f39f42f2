"""Joined writes and the bound on what waits for them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st
from radar_audit_hub.errors import TooManyRequestsError
from radar_audit_hub.ingest.admission import REQUEST_BYTES, Admission
from radar_audit_hub.ingest.joiner import MAX_JOINED, Joiner


class Log:
    """Writes to lists; waits at `gate`, fails for "bad" alone and for everything while `away`."""

    def __init__(self) -> None:
        self.groups: list[tuple[str, list[str]]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.away = False
        self.running = self.most_running = 0

    async def write(self, org_id: str, events: Sequence[str]) -> list[str]:
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await self.gate.wait()
            if self.away:
                raise OSError
            if "bad" in events:
                raise ValueError
            self.groups.append((org_id, list(events)))
            return [f"{org_id}:{event}" for event in events]
        finally:
            self.running -= 1

    def joiner(self, parallel: int = 4) -> Joiner[str, str, str]:
        return Joiner(self.write, lambda error: isinstance(error, OSError), parallel=parallel)


async def _settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_batches_that_wait_share_one_write_in_order() -> None:
    log = Log()
    joiner = log.joiner()
    log.gate.clear()
    tasks = [asyncio.create_task(joiner.submit("o", [f"{n}a", f"{n}b"])) for n in range(4)]
    await _settle()
    log.gate.set()
    answers = await asyncio.gather(*tasks)
    assert answers == [[f"o:{n}a", f"o:{n}b"] for n in range(4)]
    assert [len(events) for _, events in log.groups] == [2, 6] or len(log.groups) == 1


async def test_joined_write_is_bounded() -> None:
    log = Log()
    joiner = log.joiner()
    log.gate.clear()
    batch = ["e"] * 900
    tasks = [asyncio.create_task(joiner.submit("o", batch)) for _ in range(5)]
    await _settle()
    log.gate.set()
    await asyncio.gather(*tasks)
    sizes = [len(events) for _, events in log.groups]
    assert sum(sizes) == 4500
    assert max(sizes) <= MAX_JOINED
    assert len(sizes) < 5


async def test_batch_that_cannot_be_written_takes_no_other_with_it() -> None:
    log = Log()
    joiner = log.joiner()
    batches = [["a"], ["bad"], ["b"], ["c"]]
    answers = await asyncio.gather(
        *(joiner.submit("o", batch) for batch in batches), return_exceptions=True
    )
    assert [answers[0], answers[2], answers[3]] == [["o:a"], ["o:b"], ["o:c"]]
    assert isinstance(answers[1], ValueError)


async def test_all_hear_of_it_once_when_the_database_is_away() -> None:
    log = Log()
    log.away = True
    joiner = log.joiner()
    answers = await asyncio.gather(
        *(joiner.submit("o", ["a"]) for _ in range(3)), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [OSError] * 3
    log.away = False
    assert await joiner.submit("o", ["a"]) == ["o:a"]


async def test_orgs_are_written_side_by_side_up_to_the_bound() -> None:
    log = Log()
    joiner = log.joiner(parallel=2)
    log.gate.clear()
    tasks = [asyncio.create_task(joiner.submit(f"o{n}", ["e"])) for n in range(5)]
    await _settle()
    assert log.running == 2
    log.gate.set()
    await asyncio.gather(*tasks)
    assert log.most_running == 2
    assert {org for org, _ in log.groups} == {f"o{n}" for n in range(5)}


async def test_request_that_was_cancelled_leaves_the_others_their_results() -> None:
    log = Log()
    joiner = log.joiner()
    log.gate.clear()
    tasks = [asyncio.create_task(joiner.submit("o", [f"{n}"])) for n in range(3)]
    await _settle()
    tasks[1].cancel()
    log.gate.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [answers[0], answers[2]] == [["o:0"], ["o:2"]]


async def test_close_waits_for_what_was_submitted() -> None:
    log = Log()
    joiner = log.joiner()
    tasks = [asyncio.create_task(joiner.submit("o", ["e"])) for _ in range(3)]
    await asyncio.sleep(0)
    await joiner.close()
    assert sum(len(events) for _, events in log.groups) == 3
    await asyncio.gather(*tasks)


async def test_nothing_is_written_for_an_empty_batch() -> None:
    log = Log()
    assert await log.joiner().submit("o", []) == []
    assert log.groups == []


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 40_000)), max_size=30))
def test_what_is_held_is_bounded_and_given_back(requests: list[tuple[str, int]]) -> None:
    admission = Admission(total_bytes=100_000, org_bytes=60_000)
    of_org: Counter[str] = Counter()
    with ExitStack() as open_requests:
        for org, size in requests:
            try:
                ticket = open_requests.enter_context(admission.enter(org))
                of_org[org] += REQUEST_BYTES
                ticket.hold(size)
                of_org[org] += size
            except TooManyRequestsError:
                continue
            assert max(of_org.values()) <= 60_000
        assert admission.held_bytes == of_org.total() <= 100_000
    assert admission.held_bytes == 0


def test_one_org_cannot_take_the_place_of_all() -> None:
    admission = Admission(total_bytes=100_000, org_bytes=60_000)
    with admission.enter("a") as first:
        first.hold(40_000)
        with pytest.raises(TooManyRequestsError, match="this organization"):
            first.hold(10_000)
        with admission.enter("b") as second:
            with pytest.raises(TooManyRequestsError, match="this server"):
                second.hold(40_000)
            second.hold(20_000)
    assert admission.held_bytes == 0
