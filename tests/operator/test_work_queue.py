"""Guards the queue: each object once, one worker per object, growing pauses, a bound."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st
from radar_audit_operator.specs import POLICIES, Key
from radar_audit_operator.work_queue import Item, WorkQueue

A, B = Item(POLICIES, Key("x", "a")), Item(POLICIES, Key("x", "b"))


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def queue(limit: int = 10) -> tuple[WorkQueue, Clock]:
    clock = Clock()
    return WorkQueue(limit, 8.0, clock, draw=lambda: 1.0), clock


async def test_a_key_that_waits_is_not_added_twice() -> None:
    made, _ = queue()
    made.add(A)
    made.add(A)
    made.add(B)
    assert [await made.take(), await made.take()] == [A, B]
    assert len(made) == 2  # both are at work


async def test_a_key_at_work_is_done_again_afterwards_and_never_beside() -> None:
    made, _ = queue()
    made.add(A)
    await made.take()
    made.add(A)
    made.add(B)
    assert await made.take() == B
    made.done(A)
    assert await made.take() == A
    made.done(A)
    made.done(B)
    assert len(made) == 0


async def test_pauses_double_up_to_the_cap_and_are_forgotten_after_success() -> None:
    made, clock = queue()
    pauses = []
    for _ in range(6):
        made.add(A)
        await made.take()
        made.retry(A)
        pauses.append(made._due[A] - clock.now)
        made.done(A)
        clock.now = made._due[A]
        made._promote()
        made._ready.clear()
    assert pauses == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    made.add(A)
    await made.take()
    made.done(A)
    made.retry(A)
    assert made._due[A] - clock.now == 1.0


async def test_a_wish_of_the_hub_is_the_least_pause() -> None:
    made, clock = queue()
    made.retry(A, 5.0)
    assert made._due[A] - clock.now == 5.0


async def test_an_earlier_date_stands() -> None:
    made, clock = queue()
    made.add_later(A, 5.0)
    made.add_later(A, 9.0)
    made.add_later(A, 2.0)
    clock.now = 2.0
    made._promote()
    assert len(made) == 1
    clock.now = 9.0
    made._promote()
    assert len(made) == 1


async def test_what_is_over_the_bound_is_counted_and_left_to_the_resync() -> None:
    made, _ = queue(limit=1)
    assert made.add(A)
    assert not made.add(B)
    assert made.dropped == 1


async def test_a_worker_that_waits_is_woken() -> None:
    made, _ = queue()
    waiting = asyncio.create_task(made.take())
    await asyncio.sleep(0)
    made.add(A)
    assert await asyncio.wait_for(waiting, 30) == A


@given(st.lists(st.sampled_from(["add", "take", "done"]), max_size=40))
def test_no_key_is_ever_lost_or_worked_on_twice_at_once(steps: list[str]) -> None:
    async def run() -> None:
        made, _ = queue()
        at_work, wanted = False, False
        for step in steps:
            if step == "add":
                made.add(A)
                wanted = True
            elif step == "take" and wanted and not at_work:
                assert await made.take() == A
                at_work, wanted = True, False
            elif step == "done" and at_work:
                made.done(A)
                at_work = False
            assert len(made) == (1 if wanted or at_work else 0)

    asyncio.run(run())
