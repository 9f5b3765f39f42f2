"""Messages are put once, found in order, apart by destination, and forgotten when old."""

from __future__ import annotations

import os
from dataclasses import replace

from radar_audit_events.ids import new_id
from radar_audit_hub.retention.policy import Floors
from radar_audit_hub.store import notify_attempts, notify_lanes, notify_messages
from radar_audit_hub.store.notify_expiry import delete_messages
from radar_audit_hub.store.notify_lanes import LANE_MS, Busy, Lane
from radar_audit_hub.store.notify_messages import NewMessage
from radar_audit_hub.store.schema_notify import notify_destination
from sqlalchemy import insert

from tests.support.hub_builder import ORG, HubUnderTest
from tests.support.log_rows import NOW_MS

DAY_MS = 86_400_000
ALL = Floors(0)


def message(number: int, destination_id: str = "nd_a", **changes: object) -> NewMessage:
    made = NewMessage(
        org_id=ORG,
        id=new_id("msg_", NOW_MS + number, os.urandom(10)),
        destination_id=destination_id,
        owner_id="org",
        rule="r",
        kind="event",
        severity="info",
        dedup_key=f"{destination_id}:{number}",
        payload="{}",
        event_ids=None,
        created_at=NOW_MS + number,
        due_at=NOW_MS + number,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


async def put(hub: HubUnderTest, *rows: NewMessage) -> int:
    async with hub.hub.db.write() as conn:
        return await notify_messages.put_messages(conn, rows)


async def add_destination(hub: HubUnderTest, destination_id: str) -> None:
    row = {
        "org_id": ORG, "id": destination_id, "owner_id": "org", "name": destination_id,
        "kind": "slack", "identity": b"x", "has_secret": True, "created_at": 0, "suppressed": 0,
    }  # fmt: skip
    async with hub.hub.db.write() as conn:
        await conn.execute(insert(notify_destination).values(row))


async def test_message_is_put_once_for_one_key(any_hub: HubUnderTest) -> None:
    rows = [message(number) for number in range(450)]
    assert await put(any_hub, *rows, rows[7]) == 450
    again = [replace(row, id=new_id("msg_", NOW_MS, os.urandom(10))) for row in rows]
    assert await put(any_hub, *again, message(450)) == 1


async def test_pages_of_a_destination_hold_each_message_once_newest_first(
    any_hub: HubUnderTest,
) -> None:
    rows = [message(number // 3, dedup_key=str(number)) for number in range(20)]
    await put(any_hub, *rows, message(5, "nd_b"))
    seen: list[str] = []
    after = None
    async with any_hub.hub.db.read() as conn:
        while page := await notify_messages.list_messages(
            conn,
            ORG,
            "nd_a",
            floors=ALL,
            after=after,
            limit=7,
            states=["pending"],
            from_ms=NOW_MS + 1,
        ):
            seen += [found.id for found in page]
            after = (page[-1].created_at, page[-1].id)
    wanted = [row for row in rows if row.created_at > NOW_MS]
    wanted.sort(key=lambda row: (row.created_at, row.id), reverse=True)
    assert seen == [row.id for row in wanted]


async def test_flooded_destination_hides_no_other_and_is_held_by_one(any_hub: HubUnderTest) -> None:
    for name in ("nd_a", "nd_b", "nd_c"):
        await add_destination(any_hub, name)
    await put(any_hub, *[message(n, due_at=NOW_MS - 50) for n in range(300)])
    await put(any_hub, message(1, "nd_b", due_at=NOW_MS), message(2, "nd_c", due_at=NOW_MS + 9))
    db = any_hub.hub.db
    async with db.read() as conn:
        found = await notify_lanes.waiting_destinations(conn, NOW_MS, Busy(), doubtful=True)
    assert [name for _, name in found] == ["nd_a", "nd_b"]
    mine, rival = Lane(ORG, "nd_a", "mine"), Lane(ORG, "nd_a", "rival")
    async with db.write() as conn:
        assert await notify_lanes.take(conn, mine, NOW_MS)
        assert not await notify_lanes.take(conn, rival, NOW_MS + LANE_MS - 1)
        found = await notify_lanes.waiting_destinations(conn, NOW_MS, Busy(), doubtful=True)
        assert [name for _, name in found] == ["nd_b"]
        # Its holder has died.
        assert await notify_lanes.take(conn, rival, NOW_MS + LANE_MS)
        assert not await notify_lanes.renew(conn, mine, NOW_MS + LANE_MS)
        await notify_lanes.release(conn, rival, NOW_MS + LANE_MS + 5000)
        assert not await notify_lanes.take(conn, mine, NOW_MS + LANE_MS + 4999)
        assert await notify_lanes.take(conn, mine, NOW_MS + LANE_MS + 5000)


async def test_attempt_is_begun_by_one_of_two(any_hub: HubUnderTest) -> None:
    await add_destination(any_hub, "nd_a")
    new = message(1)
    await put(any_hub, new)
    db = any_hub.hub.db
    async with db.read() as conn:
        stored = await notify_messages.get_message(conn, ORG, new.id, ALL)
    assert stored is not None
    async with db.write() as conn:
        assert await notify_attempts.begin(conn, stored, "{}", NOW_MS) == 1
    async with db.write() as conn:
        assert await notify_attempts.begin(conn, stored, "{}", NOW_MS) is None
    async with db.read() as conn:
        attempts = (await notify_attempts.attempts_of(conn, ORG, [new.id]))[new.id]
    assert [(one.number, one.outcome) for one in attempts] == [(1, None)]


async def test_old_and_supernumerary_messages_are_forgotten_but_none_that_waits(
    any_hub: HubUnderTest,
) -> None:
    await add_destination(any_hub, "nd_a")
    old = [message(-10 * DAY_MS + number) for number in range(3)]
    new = [message(number) for number in range(10)]
    waiting = message(-20 * DAY_MS)
    await put(any_hub, *old, *new)
    db = any_hub.hub.db
    async with db.write() as conn:
        stored = await notify_messages.get_message(conn, ORG, new[0].id, ALL)
        assert stored is not None
        await notify_attempts.begin(conn, stored, "{}", NOW_MS)
        assert await notify_messages.drop_pending(conn, ORG, "nd_a", NOW_MS) == 13
        await notify_messages.put_messages(conn, [waiting])
    cut = NOW_MS - DAY_MS
    async with db.write() as conn:
        gone = await notify_messages.old_messages(conn, ORG, "nd_a", before_ms=cut, keep_rows=8)
        assert len(gone) == 5
        await delete_messages(conn, ORG, gone)
        assert not await notify_messages.old_messages(conn, ORG, "nd_a", before_ms=cut, keep_rows=8)
        left = await notify_messages.list_messages(conn, ORG, "nd_a", floors=ALL)
        assert (await notify_attempts.attempts_of(conn, ORG, [new[0].id]))[new[0].id] == []
    assert [row.id for row in left] == [row.id for row in [*reversed(new[2:]), waiting]]


async def test_message_whose_destination_vanished_is_dropped(any_hub: HubUnderTest) -> None:
    await add_destination(any_hub, "nd_a")
    await put(any_hub, message(1), message(1, "nd_gone"))
    async with any_hub.hub.db.write() as conn:
        assert await notify_messages.drop_orphans(conn, NOW_MS) == 0
        assert await notify_messages.drop_orphans(conn, NOW_MS + 3_600_000) == 1
        assert await notify_messages.count_pending(conn) == 1
