"""Nothing is lost and nothing doubled over deaths at any point, and with two replicas at work."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from radar_audit_hub.notify.following import step
from radar_audit_hub.notify.following.job import Follower
from radar_audit_hub.store import notify_following

from tests.support.alerting import SHELLS, Alerting
from tests.support.following_kills import DESTINATIONS, RULES, check, kill_followers
from tests.support.hub_builder import ORG, HubUnderTest, running_hub
from tests.support.log_rows import make_event

STEPS = (
    "get_cursor",
    "get_followed_org",
    "events_between",
    "rules_due",
    "load_memories",
    "load_windows",
    "events_at",
    "advance",
    "put_messages",
    "remember",
)


class KilledError(BaseException):
    """What ends a step where a process would have died."""


def dying(monkeypatch: pytest.MonkeyPatch, name: str, *, is_done: bool) -> None:
    """Let a step die at one of its waits for the database, before or after it is answered."""
    real = getattr(step, name)

    async def die(*args: Any, **more: Any) -> None:
        if is_done:
            await real(*args, **more)
        raise KilledError

    monkeypatch.setattr(step, name, die)


async def test_death_at_any_wait_loses_and_doubles_nothing(any_hub: HubUnderTest) -> None:
    alerting = Alerting(any_hub)
    await alerting.put(*RULES, destinations=DESTINATIONS)
    ids: list[str] = []
    deaths = 0
    for number, (name, is_done) in enumerate(itertools.product(STEPS, (False, True))):
        ids += await alerting.append(make_event(2 * number), make_event(2 * number + 1))
        with pytest.MonkeyPatch.context() as patched:
            dying(patched, name, is_done=is_done)
            try:
                await Follower(any_hub.hub).round()
            except KilledError:
                deaths += 1
        if number % 3 == 2:
            await alerting.follower.catch_up()
        any_hub.clock.now_ms += 20_000
    assert deaths > len(STEPS)
    await alerting.messages()  # what is judged now waits from now on
    any_hub.clock.now_ms += 3_600_000
    check(await alerting.messages(), ids)


async def test_death_after_the_commit_doubles_nothing(
    hub: HubUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    alerting = Alerting(hub)
    await alerting.put(*RULES, destinations=DESTINATIONS)
    ids = await alerting.append(*(make_event(n) for n in range(4)))

    def die() -> None:
        raise KilledError

    monkeypatch.setattr(hub.hub.deliveries, "wake", die)
    with pytest.raises(KilledError):
        await alerting.follower.round()
    monkeypatch.undo()
    hub.clock.now_ms += 3_600_000
    check(await Alerting(hub).messages(), ids)


async def test_two_replicas_tell_each_event_once(postgres_url: str) -> None:
    async with (
        running_hub(postgres_url, migrated=True) as first,
        running_hub(postgres_url, migrated=True, new=False) as second,
    ):
        second.clock = first.clock
        alerting = Alerting(first)
        await alerting.put(*RULES, destinations=DESTINATIONS)
        ids: list[str] = []
        followers = [Follower(first.hub), Follower(second.hub)]
        for number in range(15):
            ids += await alerting.append(*(make_event(20 * number + n) for n in range(20)))
            await asyncio.gather(*(follower.round() for follower in followers))
        await asyncio.gather(*(follower.catch_up() for follower in followers))
        first.clock.now_ms += 3_600_000
        await asyncio.gather(*(follower.catch_up() for follower in followers))
        check(await alerting.messages(), ids)


async def test_replica_takes_over_when_the_claim_of_another_ends(postgres_url: str) -> None:
    async with running_hub(postgres_url, migrated=True) as hub:
        alerting = Alerting(hub)
        await alerting.put(SHELLS)
        await alerting.append(make_event(1))
        assert len(await alerting.messages()) == 1
        await alerting.append(make_event(2))
        other = Follower(hub.hub)
        await other.catch_up()
        assert len(await alerting.stored()) == 1
        hub.clock.now_ms += 5_000
        await other.catch_up()
        assert len(await alerting.stored()) == 2


@pytest.mark.timeout(180)
def test_followers_that_are_killed_tell_each_event_once(sqlite_url: str) -> None:
    asyncio.run(kill_followers(sqlite_url, events=49, kills=1, seed=7))


async def test_of_two_who_judged_the_same_events_one_moves_the_cursor(
    any_hub: HubUnderTest,
) -> None:
    alerting = Alerting(any_hub)
    await alerting.put(*RULES, destinations=DESTINATIONS)
    await alerting.append(make_event(1))
    db, now_ms = any_hub.hub.db, any_hub.hub.now_ms()
    async with db.write() as conn:
        cursor = await notify_following.get_cursor(conn, ORG)
        found = await notify_following.get_followed_org(conn, ORG)
        assert cursor is not None
        moves = [
            await notify_following.advance(
                conn,
                cursor,
                next_seq=cursor.end_seq,
                revision=found.revision,
                holder=holder,
                now_ms=now_ms,
            )
            for holder in ("one", "other")
        ]
    assert moves == [True, False]


async def test_document_that_changed_meanwhile_holds_the_cursor(any_hub: HubUnderTest) -> None:
    alerting = Alerting(any_hub)
    await alerting.put(*RULES, destinations=DESTINATIONS)
    await alerting.append(make_event(1))
    async with any_hub.hub.db.write() as conn:
        cursor = await notify_following.get_cursor(conn, ORG)
        found = await notify_following.get_followed_org(conn, ORG)
        assert cursor is not None
        assert not await notify_following.advance(
            conn,
            cursor,
            next_seq=cursor.end_seq,
            revision=found.revision - 1,
            holder="one",
            now_ms=any_hub.hub.now_ms(),
        )
