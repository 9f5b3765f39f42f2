"""A test of a destination and a replay do what people ask for, and are on record."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from radar_audit_hub.changes import changing_by_itself
from radar_audit_hub.destinations import asking
from radar_audit_hub.errors import ConflictError, NotFoundError, TooManyRequestsError
from radar_audit_hub.notify import guard
from radar_audit_hub.notify.sending.asked import replay, send_test
from radar_audit_hub.store.notify_lanes import LANE_MS

from tests.support.hub_builder import ORG
from tests.support.notify_world import NotifyWorld, slack, webhook
from tests.support.receivers import Receiver, Reply


async def again(world: NotifyWorld, name: str, **asked: object) -> int:
    row = await world.destination(name)
    async with changing_by_itself(world.hub) as change:
        await change.lock(ORG)
        return await replay(change, world.hub, ORG, row.id, **asked)  # type: ignore[arg-type]


async def test_test_of_a_destination_says_how_it_went(
    any_world: NotifyWorld, inbox: Receiver
) -> None:
    await any_world.set_destinations([slack("sec", inbox.url)])
    row = await any_world.destination("sec")
    answer = await send_test(any_world.hub, ORG, row.id)
    assert (answer.delivered, answer.receiver_status, answer.error) == (True, 200, None)
    assert "[Test]" in inbox.got[0].json["text"]
    inbox.replies.append(Reply(500))
    answer = await send_test(any_world.hub, ORG, row.id)
    assert (answer.delivered, answer.receiver_status) == (False, 500)
    assert answer.error == "the receiver answered 500"
    # A test that failed is not tried again.
    await any_world.deliver(LANE_MS * 10)
    assert len(inbox.got) == 2


async def test_test_of_a_disabled_destination_is_sent(world: NotifyWorld, inbox: Receiver) -> None:
    await world.set_destinations([webhook("siem", inbox.url)])
    inbox.replies.append(Reply(410))
    await world.put("siem")
    await world.deliver()
    row = await world.destination("siem")
    assert row.disabled_at is not None
    assert (await send_test(world.hub, ORG, row.id)).delivered


async def test_destination_without_its_secret_is_told_apart(world: NotifyWorld) -> None:
    await world.set_destinations([slack("sec", None)])  # type: ignore[arg-type]
    answer = await send_test(world.hub, ORG, (await world.destination("sec")).id)
    assert answer.error == "its secret was never sent to the hub"


async def test_tests_of_one_org_take_no_connection_that_deliveries_need(
    world: NotifyWorld, inbox: Receiver
) -> None:
    await world.set_destinations([slack("sec", inbox.url)])
    row = await world.destination("sec")
    with ExitStack() as running:
        for _ in range(guard.MAX_TESTS * 3 // 4):
            running.enter_context(world.hub.destination_tests.take(ORG))
        with pytest.raises(TooManyRequestsError):
            await asking.test(world.hub, ORG, row.id)
        running.enter_context(world.hub.destination_tests.take("org_other"))
    assert (await asking.test(world.hub, ORG, row.id)).delivered


async def test_unknown_destination_is_not_found(world: NotifyWorld) -> None:
    with pytest.raises(NotFoundError):
        await send_test(world.hub, ORG, "nd_none")


async def test_replay_repeats_a_message_under_its_id_each_time_it_is_asked_for(
    any_world: NotifyWorld, inbox: Receiver
) -> None:
    await any_world.set_destinations([webhook("siem", inbox.url)])
    (message_id,) = await any_world.put("siem")
    await any_world.deliver()
    for _ in range(2):
        assert await again(any_world, "siem", message_id=message_id) == 1
        await any_world.deliver()
    assert inbox.ids == [message_id] * 3
    assert inbox.got[0].json["data"] == inbox.got[1].json["data"]
    assert len(await any_world.attempts(message_id)) == 1


async def test_replay_of_a_range_takes_what_failed_in_it_once(
    any_world: NotifyWorld, inbox: Receiver
) -> None:
    await any_world.set_destinations([webhook("siem", inbox.url)])
    before = await any_world.put("siem")
    await any_world.deliver(1000)
    start_ms = any_world.now_ms
    ids = await any_world.put("siem", 3)
    await any_world.deliver()
    assert await again(any_world, "siem", from_ms=start_ms, to_ms=start_ms + 1) == 0
    asked = {"from_ms": start_ms, "to_ms": start_ms + 1, "states": ("delivered",)}
    any_world.under_test.clock.now_ms += 5000
    assert await again(any_world, "siem", **asked) == 3
    await any_world.deliver()
    assert sorted(inbox.ids[4:]) == sorted(ids)
    assert inbox.ids[0] == before[0]


async def test_replay_to_a_disabled_or_unknown_destination_is_refused(
    world: NotifyWorld, inbox: Receiver
) -> None:
    await world.set_destinations([webhook("siem", inbox.url), webhook("other", inbox.url + "/o")])
    (foreign,) = await world.put("other")
    with pytest.raises(NotFoundError):
        await again(world, "siem", message_id=foreign)
    inbox.usual = Reply(410)
    await world.put("siem")
    await world.deliver()
    with pytest.raises(ConflictError):
        await again(world, "siem")
