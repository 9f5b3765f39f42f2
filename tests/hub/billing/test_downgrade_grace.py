"""After a downgrade reading follows at once and deletion waits; going back shows the rows again."""

from __future__ import annotations

import asyncio
import os

from hypothesis import given
from hypothesis import strategies as st
from radar_audit_hub.billing.moving import move_plan
from radar_audit_hub.billing.plans import PLANS
from radar_audit_hub.changes import changing_by_itself
from radar_audit_hub.retention.job import Lease, Purger, expired_now, run_round
from radar_audit_hub.retention.policy import Hold, expiry, floors

from tests.support.hub_builder import ORG, HubUnderTest
from tests.support.log_rows import DAY_MS, NOW_MS, make_event

GRACE_DAYS = 7
AGES = {"free": 7, "team": 30, "enterprise": 365}


async def move(hub: HubUnderTest, plan: str, grace_days: int = GRACE_DAYS) -> None:
    async with changing_by_itself(hub.hub) as change:
        org = await change.lock(ORG)
        await move_plan(change.conn, org, plan, now_ms=change.now_ms, grace_days=grace_days)


async def purge(hub: HubUnderTest) -> int:
    db = hub.hub.db
    purger = Purger(
        db=db,
        now_ms=hub.clock,
        random_bytes=os.urandom,
        batch_rows=100,
        pause_seconds=0,
        removed=lambda _org_id, _rows: None,
    )
    report = await run_round(purger, Lease(db, hub.clock, "me"))
    assert report is not None
    return report.total


async def seen(hub: HubUnderTest) -> set[str]:
    found = (await hub.get("?limit=500")).json["events"]
    return {event["id"] for event in found if event["action"] != "audit.retention_pruned"}


async def fill(hub: HubUnderTest) -> dict[int, str]:
    """Return the ids of one event a plan, each exactly as old as its plan keeps, and one younger.

    By the age in days.
    """
    days = [365, 30, 7, 0]
    events = [make_event(n, created_at_ms=NOW_MS - d * DAY_MS) for n, d in enumerate(days)]
    return dict(zip(days, await hub.append(*events), strict=True))


async def test_reading_follows_at_once_and_going_back_shows_the_rows(any_hub: HubUnderTest) -> None:
    ids = await fill(any_hub)
    assert await seen(any_hub) == set(ids.values())
    await move(any_hub, "free")
    assert await seen(any_hub) == {ids[7], ids[0]}
    assert await purge(any_hub) == 0
    await move(any_hub, "team")
    assert await seen(any_hub) == {ids[30], ids[7], ids[0]}
    assert await purge(any_hub) == 0, "the hold of the largest plan stays"
    await move(any_hub, "enterprise")
    assert await seen(any_hub) == set(ids.values())


async def test_deletion_begins_exactly_when_the_grace_ends(any_hub: HubUnderTest) -> None:
    ids = await fill(any_hub)
    await any_hub.append(make_event(9, created_at_ms=NOW_MS))
    await move(any_hub, "team")
    any_hub.clock.now_ms = NOW_MS + GRACE_DAYS * DAY_MS - 1
    # What the old plan itself no longer keeps goes as it always did.
    assert await purge(any_hub) == 1
    any_hub.clock.now_ms += 1
    assert await purge(any_hub) == 1
    assert await seen(any_hub) >= {ids[7], ids[0]}
    await move(any_hub, "enterprise")
    assert ids[30] not in await seen(any_hub)


async def test_second_downgrade_holds_each_plan_for_its_own_time(hub: HubUnderTest) -> None:
    await fill(hub)
    await move(hub, "team")
    hub.clock.now_ms += DAY_MS
    await move(hub, "free")
    hub.clock.now_ms = NOW_MS + GRACE_DAYS * DAY_MS
    # A year's rows are free to go, a month's are held for another day: the younger ones stay.
    assert await purge(hub) == 2
    assert (await expired_now(hub.hub.db, hub.clock.now_ms)).total == 0
    hub.clock.now_ms += DAY_MS
    assert await purge(hub) == 2


async def test_no_grace_deletes_at_once(hub: HubUnderTest) -> None:
    ids = await fill(hub)
    await move(hub, "free", grace_days=0)
    assert await purge(hub) == 2
    assert await seen(hub) == {ids[7], ids[0]}


async def test_upgrade_during_a_round_saves_what_the_new_plan_shows(any_hub: HubUnderTest) -> None:
    """The round has listed the orgs with their old plans before it comes to this one."""
    ids = await fill(any_hub)
    await move(any_hub, "free", grace_days=0)

    async def upgrade_first() -> bool:
        await move(any_hub, "enterprise")
        return True

    purger = Purger(
        db=any_hub.hub.db,
        now_ms=any_hub.clock,
        random_bytes=os.urandom,
        batch_rows=100,
        pause_seconds=0,
        removed=lambda _org_id, _rows: None,
    )
    assert (await purger.round(upgrade_first)).total == 0
    assert await seen(any_hub) == set(ids.values())


async def test_purge_and_plan_changes_at_once_lose_no_row_that_is_shown(
    any_hub: HubUnderTest,
) -> None:
    ids = await fill(any_hub)
    for _ in range(3):
        await move(any_hub, "free")
        await asyncio.gather(purge(any_hub), move(any_hub, "enterprise"))
    assert await seen(any_hub) == set(ids.values())


PLAN = st.sampled_from(list(PLANS))


@given(
    plan=PLAN,
    holds=st.lists(st.tuples(PLAN, st.integers(0, 1000)), max_size=3),
    now=st.integers(0, 1000),
)
def test_what_is_shown_or_held_is_never_deleted(
    plan: str, holds: list[tuple[str, int]], now: int
) -> None:
    now_ms = now + 400 * DAY_MS
    found = expiry(plan, [Hold(name, until + 400 * DAY_MS) for name, until in holds], now_ms)
    kept = {plan, *(name for name, until in holds if until > now)}
    longest = max(kept, key=AGES.__getitem__)
    assert found.floors == floors(longest, now_ms)
    assert found.floors.default_ms == now_ms - AGES[longest] * DAY_MS
    assert found.policy_name == f"plan:{longest}"
