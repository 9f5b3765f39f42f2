"""Receivers that hang, whosever they are and however many, delay none that works."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from radar_audit_hub.notify.sending import attempting
from radar_audit_hub.notify.sending.job import run_forever
from radar_audit_hub.notify.sending.schedule import PAUSES_MS
from radar_audit_hub.notify.sending.sharing import (
    AT_ONCE,
    DOUBTFUL_AT_ONCE,
    DOUBTFUL_PER_ORG,
    PER_ORG,
    Shares,
)
from radar_audit_hub.store.notify_lanes import PROBATION_MS

from tests.support.notify_world import NotifyWorld, webhook
from tests.support.receivers import Receiver, Reply, receiver

EACH = DOUBTFUL_PER_ORG + 1  # destinations of each org that hang


@pytest.fixture
async def stuck(receiver_tls: ssl.SSLContext) -> AsyncIterator[Receiver]:
    """A receiver that takes requests and answers none."""
    async with receiver(receiver_tls) as running:
        running.usual = Reply(how="hang")
        yield running


@asynccontextmanager
async def sending(world: NotifyWorld) -> AsyncIterator[None]:
    """Let the job run."""
    job = asyncio.create_task(run_forever(world.hub, poll_seconds=0.05))
    try:
        yield
    finally:
        job.cancel()
        await asyncio.wait([job])


async def flood(world: NotifyWorld, stuck: Receiver, orgs: int) -> None:
    """Put messages for EACH destinations of so many orgs, all to a receiver that hangs."""
    for org in range(orgs):
        org_id, names = f"org_{org}", [f"d{number}" for number in range(EACH)]
        await world.under_test.add_org(org_id)
        targets = [webhook(name, f"{stuck.url}/{org_id}/{name}") for name in names]
        await world.set_destinations(targets, org_id=org_id)
        for name in names:
            await world.put(name, org_id=org_id)


async def test_first_delivery_of_an_org_waits_for_no_timeout_of_five_others(
    world: NotifyWorld, stuck: Receiver, inbox: Receiver
) -> None:
    await flood(world, stuck, 5)
    await world.set_destinations([webhook("siem", inbox.url)])
    async with sending(world):
        await stuck.wait_for(lambda: len(stuck.got) == 5 * DOUBTFUL_PER_ORG)
        sent = await world.put("siem", 3)
        await inbox.wait_for(lambda: len(inbox.got) == 3)
        # Not one attempt at the others was over, else another had begun.
        assert len(stuck.got) == 5 * DOUBTFUL_PER_ORG
        assert inbox.ids == sent
        stuck.release()
        await stuck.wait_for(lambda: len({got.path for got in stuck.got}) == 5 * EACH)


async def test_destination_that_works_finds_room_beside_any_number_that_hang(
    world: NotifyWorld, stuck: Receiver, inbox: Receiver
) -> None:
    await world.set_destinations([webhook("siem", inbox.url)])
    await world.put("siem")
    await world.deliver()
    orgs = DOUBTFUL_AT_ONCE // DOUBTFUL_PER_ORG + 1
    await flood(world, stuck, orgs)
    async with sending(world):
        await stuck.wait_for(lambda: len(stuck.got) == DOUBTFUL_AT_ONCE)
        await world.put("siem")
        await inbox.wait_for(lambda: len(inbox.got) == 2)
        assert len(stuck.got) == DOUBTFUL_AT_ONCE
        stuck.release()
        await stuck.wait_for(lambda: len({got.path for got in stuck.got}) == orgs * EACH)


async def test_what_failed_is_known_after_a_restart(
    any_world: NotifyWorld, stuck: Receiver, inbox: Receiver
) -> None:
    names = [f"d{number}" for number in range(EACH)]
    targets = [webhook(name, f"{stuck.url}/{name}") for name in names]
    await any_world.set_destinations([webhook("siem", inbox.url), *targets])
    for reply in (Reply(), Reply(500)):
        stuck.usual = reply
        for name in ("siem", *names):
            await any_world.put(name)
        await any_world.deliver(1000)
    stuck.usual = Reply(how="hang")
    stuck.got.clear()
    any_world.under_test.clock.now_ms += 3_600_000  # what failed is due again
    async with sending(any_world):  # another job than the one which saw them fail
        await stuck.wait_for(lambda: len(stuck.got) == DOUBTFUL_PER_ORG)
        await any_world.put("siem")
        await inbox.wait_for(lambda: len(inbox.got) == 3)
        assert len(stuck.got) == DOUBTFUL_PER_ORG
        stuck.release()
        await stuck.wait_for(lambda: len({got.path for got in stuck.got}) == EACH)


@pytest.mark.parametrize("trouble", ["none", "slow", "failure"])
async def test_receiver_that_was_slow_or_failed_is_doubtful_for_a_while(
    world: NotifyWorld, stuck: Receiver, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    names = [f"d{number}" for number in range(EACH)]
    await world.set_destinations([webhook(name, f"{stuck.url}/{name}") for name in names])
    if trouble == "slow":
        monkeypatch.setattr(attempting, "SLOW_MS", -1)  # as if each answer had taken long
    stuck.usual = Reply()
    if trouble == "failure":
        stuck.replies = [Reply(500)] * EACH
    for name in names:
        await world.put(name, 3)
    await world.deliver()
    await world.deliver(PAUSES_MS[0] * 2)
    assert len(set(stuck.ids)) == 3 * EACH
    stuck.usual = Reply(how="hang")
    for name in names:
        await world.put(name)
    assert await world.job.begin_due() == (EACH if trouble == "none" else DOUBTFUL_PER_ORG)
    world.under_test.clock.now_ms += PROBATION_MS
    assert await world.job.begin_due() == (0 if trouble == "none" else 1)


@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(0, 9), st.integers(1, 40), st.booleans()),
        max_size=30,
    )
)
def test_shares_are_never_above_their_bounds(steps: list[tuple[bool, int, int, bool]]) -> None:
    shares = Shares()
    held: dict[str, tuple[str, bool]] = {}
    for number, (doubtful, org, count, ends) in enumerate(steps):
        waiting = [(f"org_{org}", f"nd_{number}_{n}") for n in range(count)]
        for org_id, name in shares.choose(waiting, doubtful=doubtful):
            held[name] = org_id, doubtful
        weak = [org_id for org_id, is_weak in held.values() if is_weak]
        assert len(held) <= AT_ONCE
        assert len(weak) <= DOUBTFUL_AT_ONCE
        for org_id in {org_id for org_id, _ in held.values()}:
            assert weak.count(org_id) <= DOUBTFUL_PER_ORG
            assert [mine for mine, _ in held.values()].count(org_id) <= PER_ORG + DOUBTFUL_PER_ORG
        if ends and held:
            name = next(iter(held))
            del held[name]
            shares.give_back(name)


def test_good_destinations_find_half_of_the_lanes_whatever_the_doubtful_do() -> None:
    shares = Shares()
    crowd = [(f"org_{org}", f"nd_{org}_{n}") for org, n in product(range(40), range(40))]
    assert len(shares.choose(crowd, doubtful=True)) == DOUBTFUL_AT_ONCE
    assert shares.room(doubtful=True) == 0
    good = [("org_good", f"nd_{n}") for n in range(AT_ONCE)]
    assert len(shares.choose(good, doubtful=False)) == PER_ORG
    assert shares.full_orgs(doubtful=False) == ["org_good"]
    others = [(f"org_{n}", f"nd_{n}") for n in range(AT_ONCE)]
    assert len(shares.choose(others, doubtful=False)) == AT_ONCE - DOUBTFUL_AT_ONCE - PER_ORG
