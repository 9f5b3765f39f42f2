"""What an event told is in the delivery log no longer than the event is in the log itself."""

from __future__ import annotations

from collections import Counter
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from radar_audit_events.policy_wire import AlertRule, Threshold
from radar_audit_hub.billing.moving import move_plan
from radar_audit_hub.changes import changing_by_itself
from radar_audit_hub.notify.content import decode, encode
from radar_audit_hub.notify.following.job import Follower
from radar_audit_hub.retention.in_force import Age, Held, InForce, write
from radar_audit_hub.store.database import Connection
from radar_audit_hub.store.notify_attempts import EXPIRED
from radar_audit_hub.store.schema import org
from radar_audit_hub.store.schema_notify import notify_attempt, notify_message
from sqlalchemy import select, update

from tests.support.hub_builder import ORG
from tests.support.log_rows import NOW_MS, make_event
from tests.support.notify_world import NotifyWorld, content, webhook
from tests.support.receivers import Receiver, Reply

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
TERMINALS = AlertRule(name="shells", destinations=["siem"], actions=["pod.exec_started"])
ALL = AlertRule(name="all", destinations=["siem"], actions=["pod.*", "pat.*"])
PAIRS = AlertRule(
    name="pairs",
    destinations=["siem"],
    actions=["pod.*", "pat.*"],
    threshold=Threshold(count=2, within_seconds=3600),
)
# Terminals are kept for a day, all else for two, but for a week where it is cluster cl_2's.
AGES = (
    Age(hours=48),
    Age(hours=24, action="pod.exec_started"),
    Age(hours=168, cluster_id="cl_2"),
    Age(hours=168, cluster_id="cl_2", action="pod.exec_started"),
)


async def begin(world: NotifyWorld, inbox: Receiver, *rules: AlertRule) -> str:
    """Let rules tell a webhook of events; return the path of its deliveries."""
    await world.set_destinations([webhook("siem", inbox.url)], rules)
    row = await world.destination("siem")
    return f"/api/orgs/{ORG}/destinations/{row.id}"


async def govern(world: NotifyWorld, **changes: Any) -> None:
    """Put the org under other rules of retention at once, without a delay."""
    async with world.hub.db.write() as conn:
        await conn.execute(update(org).where(org.c.id == ORG).values(**changes))


async def tell(world: NotifyWorld) -> None:
    """Judge what is new, and deliver it."""
    await Follower(world.hub).catch_up()
    await world.deliver()


async def shown(world: NotifyWorld, path: str) -> list[list[str]]:
    """Return the actions of each delivery's events, the newest delivery first."""
    page = (await world.under_test.get(f"{path}/deliveries")).json["deliveries"]
    whole = [await world.under_test.get(f"{path}/deliveries/{one['id']}") for one in page]
    return [[event["action"] for event in one.json["content"].get("events", ())] for one in whole]


async def stored(world: NotifyWorld) -> tuple[int, int]:
    """Return how many messages and attempts there are in the tables."""
    async with world.hub.db.read() as conn:
        messages = (await conn.execute(select(notify_message.c.id))).all()
        attempts = (await conn.execute(select(notify_attempt.c.message_id))).all()
    return len(messages), len(attempts)


async def state_counts(world: NotifyWorld) -> Counter[str]:
    """Return how many messages there are in each state."""
    async with world.hub.db.read() as conn:
        return Counter((await conn.execute(select(notify_message.c.state))).scalars())


async def replayed(world: NotifyWorld, path: str, **order: str) -> Any:
    """Ask for a replay."""
    return await world.under_test.send("POST", f"{path}/replay", json=order)


async def test_message_of_an_expired_event_is_nowhere_at_once_and_deleted_by_the_job(
    any_world: NotifyWorld, inbox: Receiver
) -> None:
    hub = any_world.under_test
    path = await begin(any_world, inbox, TERMINALS)
    await govern(any_world, plan="free")
    event = make_event(created_at_ms=NOW_MS)
    await hub.append(event)
    await tell(any_world)
    async with any_world.hub.db.read() as conn:
        row = (await conn.execute(select(notify_message))).one()
    assert row.event_ids == event.id == decode(row.payload).events[0]["id"]
    hub.clock.now_ms = NOW_MS + 7 * DAY_MS
    await any_world.job.forget()
    assert await shown(any_world, path) == [["pod.exec_started"]], "as old as its age: still there"
    hub.clock.now_ms += 1
    assert await shown(any_world, path) == []
    one = await hub.get(f"{path}/deliveries/{row.id}")
    assert (one.status, one.json["detail"]) == (404, "there is no such delivery")
    assert (await replayed(any_world, path, message_id=row.id)).status == 404
    every = {"from": "2026-01-01T00:00:00Z", "state": "delivered"}
    assert (await replayed(any_world, path, **every)).json == {"replayed": 0}
    assert await stored(any_world) == (1, 1)
    await any_world.job.forget()
    assert await stored(any_world) == (0, 0)
    assert len(inbox.got) == 1


async def test_round_that_finds_nothing_old_writes_nothing_for_an_organization(
    any_world: NotifyWorld, inbox: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, db, written = any_world.under_test, any_world.hub.db, 0
    await begin(any_world, inbox, TERMINALS)
    await govern(any_world, plan="free")
    await hub.append(make_event(created_at_ms=NOW_MS))
    await tell(any_world)
    write = db.write

    def counted() -> AbstractAsyncContextManager[Connection]:
        nonlocal written
        written += 1
        return write()

    monkeypatch.setattr(db, "write", counted)
    await any_world.job.forget()
    assert written == 1, "what is of no organization: orphans, and lanes that nobody uses"
    hub.clock.now_ms = NOW_MS + 7 * DAY_MS + 1
    await any_world.job.forget()
    assert written == 3
    assert await stored(any_world) == (0, 0)


async def test_ages_by_action_and_cluster_count_as_in_the_log(
    any_world: NotifyWorld, inbox: Receiver
) -> None:
    hub = any_world.under_test
    path = await begin(any_world, inbox, ALL)
    await govern(any_world, retention=write(InForce(ages=AGES)))
    events = [
        make_event(0, created_at_ms=NOW_MS),
        make_event(1, created_at_ms=NOW_MS, action="pat.created"),
        make_event(2, created_at_ms=NOW_MS, cluster_id="cl_2"),
    ]
    await hub.append(*events)
    await tell(any_world)
    for hours, left in ((24, 3), (25, 2), (49, 1), (169, 0)):
        hub.clock.now_ms = NOW_MS + hours * HOUR_MS
        log = (await hub.get("")).json["events"]
        seen = {event["id"] for event in log} & {event.id for event in events}
        assert (len(await shown(any_world, path)), len(seen)) == (left, left)
        await any_world.job.forget()
        assert await stored(any_world) == (left, left)


async def test_message_of_several_events_goes_with_the_first_that_expires(
    any_world: NotifyWorld, inbox: Receiver
) -> None:
    path = await begin(any_world, inbox, PAIRS)
    await govern(any_world, retention=write(InForce(ages=AGES)))
    terminal, other = (
        make_event(0, created_at_ms=NOW_MS),
        make_event(1, created_at_ms=NOW_MS, action="pat.created"),
    )
    await any_world.under_test.append(other, terminal)
    await tell(any_world)
    assert await shown(any_world, path) == [["pat.created", "pod.exec_started"]]
    any_world.under_test.clock.now_ms = NOW_MS + DAY_MS + 1
    assert await shown(any_world, path) == []
    await any_world.job.forget()
    assert await stored(any_world) == (0, 0)


async def test_legal_hold_keeps_a_message_but_not_longer_than_the_log_of_deliveries(
    any_world: NotifyWorld, inbox: Receiver
) -> None:
    path = await begin(any_world, inbox, ALL)
    held = (Held(query="pod:web-1"),)
    await govern(any_world, plan="free", retention=write(InForce(holds=held)))
    await any_world.under_test.append(
        make_event(0, created_at_ms=NOW_MS),
        make_event(1, created_at_ms=NOW_MS, action="pat.created"),
    )
    await tell(any_world)
    any_world.under_test.clock.now_ms = NOW_MS + 30 * DAY_MS
    assert await shown(any_world, path) == [["pod.exec_started"]]
    await any_world.job.forget()
    assert await stored(any_world) == (1, 1)
    any_world.under_test.clock.now_ms += 1
    await any_world.job.forget()
    assert await stored(any_world) == (0, 0)


async def test_after_a_downgrade_messages_are_hidden_at_once_and_deleted_with_the_events(
    any_world: NotifyWorld, inbox: Receiver
) -> None:
    hub = any_world.under_test
    path = await begin(any_world, inbox, TERMINALS)
    await hub.append(make_event(created_at_ms=NOW_MS))
    await tell(any_world)

    async def move(plan: str) -> None:
        async with changing_by_itself(hub.hub) as change:
            mine = await change.lock(ORG)
            await move_plan(change.conn, mine, plan, now_ms=change.now_ms, grace_days=7)

    hub.clock.now_ms = NOW_MS + 8 * DAY_MS
    await move("free")
    await any_world.job.forget()
    assert (await shown(any_world, path), await stored(any_world)) == ([], (1, 1))
    await move("enterprise")
    assert len(await shown(any_world, path)) == 1
    await move("free")
    hub.clock.now_ms += 7 * DAY_MS
    await any_world.job.forget()
    assert await stored(any_world) == (0, 0)


async def test_message_that_expires_while_it_waits_is_dropped_and_its_destination_says_why(
    any_world: NotifyWorld, inbox: Receiver
) -> None:
    hub = any_world.under_test
    path = await begin(any_world, inbox, TERMINALS)
    await govern(any_world, retention=write(InForce(ages=(Age(hours=24),))))
    inbox.usual = Reply(500)
    await hub.append(*(make_event(n, created_at_ms=NOW_MS) for n in range(3)))
    await tell(any_world)
    young = make_event(9, created_at_ms=NOW_MS + DAY_MS)
    await hub.append(young)
    attempts = len(inbox.got)
    inbox.usual = Reply()
    hub.clock.now_ms = NOW_MS + DAY_MS + 1
    await Follower(any_world.hub).catch_up()
    hub.clock.now_ms += 1000
    await any_world.job.drain()
    assert [one.json["data"]["events"][0]["id"] for one in inbox.got[attempts:]] == [young.id]
    assert await state_counts(any_world) == {"dropped": 3, "delivered": 1}
    row = (await hub.get(path)).json
    assert (row["last_error"], row["state"], row["pending"]) == (EXPIRED, "delivering", 0)
    await any_world.job.forget()
    assert await stored(any_world) == (1, 1)


async def test_message_that_waits_for_long_is_not_kept_until_then(
    any_world: NotifyWorld, inbox: Receiver
) -> None:
    path = await begin(any_world, inbox, TERMINALS)
    await govern(any_world, retention=write(InForce(ages=(Age(hours=24),))))
    inbox.usual = Reply(429, headers={"Retry-After": "86400"})
    await any_world.under_test.append(make_event(created_at_ms=NOW_MS))
    await tell(any_world)
    any_world.under_test.clock.now_ms = NOW_MS + DAY_MS - 1
    await any_world.job.forget()
    assert await state_counts(any_world) == {"pending": 1}
    any_world.under_test.clock.now_ms += 2
    await any_world.job.forget()
    assert await stored(any_world) == (0, 0)
    assert (await any_world.under_test.get(path)).json["last_error"] == EXPIRED


async def test_message_without_an_event_is_kept_as_long_as_the_log_of_deliveries(
    world: NotifyWorld, inbox: Receiver
) -> None:
    path = await begin(world, inbox)
    await govern(world, plan="free")
    notice = content(kind="notice", notice_kind="cluster.disconnected", events=[], title="Gone")
    await world.put("siem", kind="notice", payload=encode(notice))
    await world.deliver()
    world.under_test.clock.now_ms = NOW_MS + 30 * DAY_MS
    await world.job.forget()
    assert await shown(world, path) == [[]]
    await world.deliver(1)
    await world.job.forget()
    assert await stored(world) == (0, 0)


async def test_pages_are_full_beside_messages_that_have_expired(
    any_world: NotifyWorld, inbox: Receiver
) -> None:
    hub = any_world.under_test
    path = await begin(any_world, inbox, ALL)
    await govern(any_world, retention=write(InForce(ages=AGES)))
    actions = ["pod.exec_started", "pat.created"] * 5
    events = [make_event(n, created_at_ms=NOW_MS, action=a) for n, a in enumerate(actions)]
    await hub.append(*events)
    await tell(any_world)
    hub.clock.now_ms = NOW_MS + DAY_MS + 1
    page = (await hub.get(f"{path}/deliveries?limit=3")).json
    rest = (await hub.get(f"{path}/deliveries?limit=3&cursor={page['next_cursor']}")).json
    assert [len(page["deliveries"]), len(rest["deliveries"]), rest["next_cursor"]] == [3, 2, None]
