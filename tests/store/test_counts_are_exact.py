"""Bars and counts of random logs, floors, filters and ranges against counting by hand."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

import pytest
from radar_audit_events.event import Event
from radar_audit_events.matching import matches
from radar_audit_events.query import Created, Query, parse
from radar_audit_hub.ingest.prepare import prepare
from radar_audit_hub.retention.policy import (
    DAY_MS,
    RECEIPT_ACTION,
    ClusterFloor,
    FloorException,
    Floors,
)
from radar_audit_hub.store import histogram, query
from radar_audit_hub.store.database import Database
from radar_audit_hub.store.facets import facets
from radar_audit_hub.store.histogram import stretches
from radar_audit_hub.store.log import append_batch
from radar_audit_hub.store.purge import purge_step

from tests.support.log_rows import NOW_MS, always, make_event, random10

ORG = "org_x"
HOUR_MS = 3_600_000
SOME_ACTIONS = ("pod.exec_started", "pod.exec_ended", "cluster.created", "org.created")
STEPS_MS = (HOUR_MS // 4, HOUR_MS, 3 * HOUR_MS, DAY_MS, 7 * DAY_MS)
TEXTS = (
    "",
    "",
    "action:pod.*",
    "action:org.created,pod.exec_started",
    "-action:pod.*",
    "-type:org",
    "actor:alice@acme.com",
    "actor:user_alice action:pod.*",
    "kube",
    "-namespace:kube",
)
HELD = ("namespace:kube", "action:org.created", "")


def ago(days: float) -> int:
    return NOW_MS - int(days * DAY_MS)


def some_events(dice: random.Random, count: int, taken: set[int]) -> list[Event]:
    """Events of 20 days, no two of a millisecond; many stand just at the begin of a stretch."""
    events: list[Event] = []
    while len(events) < count:
        time_ms = ago(dice.uniform(0, 20))
        if dice.random() < 0.3:
            step_ms = dice.choice(STEPS_MS)
            time_ms = time_ms // step_ms * step_ms - dice.randrange(2)
        if time_ms in taken:
            continue
        taken.add(time_ms)
        action = dice.choice(SOME_ACTIONS)
        of_pod = action.startswith("pod")
        name = dice.choice(["alice", "bob", "carol"])
        events.append(
            make_event(
                len(taken),
                action=action,
                created_at_ms=time_ms,
                cluster_id=dice.choice(["cl_1", "cl_2"]) if of_pod else None,
                metadata={"namespace": dice.choice(["payments", "kube"])} if of_pod else {},
                actor_user_id=f"user_{name}",
                actor_email=dice.choice([f"{name}@acme.com", None]),
            )
        )
    return events


def some_floors(dice: random.Random) -> Floors:
    """Ages by action and cluster, and holds: from what hides nothing to what hides most."""

    def exceptions() -> tuple[FloorException, ...]:
        names = dice.sample(SOME_ACTIONS, dice.choice([0, 0, 1, 2]))
        return tuple(FloorException(name, ago(dice.uniform(0, 25))) for name in names)

    default = dice.choice([0, ago(25), ago(dice.uniform(1, 20))])
    clusters = tuple(
        ClusterFloor(name, ago(dice.uniform(0, 25)), exceptions())
        for name in dice.sample(["cl_1", "cl_2"], dice.choice([0, 0, 1, 2]))
    )
    held = tuple(parse(dice.choice(HELD)) for _ in range(dice.choice([0, 0, 0, 1])))
    return Floors(default, (FloorException(RECEIPT_ACTION, 0), *exceptions()), clusters, held)


def shown(event: Event, limits: Floors) -> bool:
    """What the rule says, without SQL."""
    young = limits.visible(event.action, event.created_at_ms, event.cluster_id)
    return young or any(matches(one, event) for one in limits.held)


async def store(database: Database, events: Sequence[Event]) -> None:
    rows = [prepare(event, random10(event.id) * 3 + b"xx") for event in events]
    await append_batch(database, ORG, rows, NOW_MS)


async def assert_counts_are_exact(
    database: Database, dice: random.Random, events: Sequence[Event], budget: int
) -> None:
    """Ask one thing of one range, and count it by hand."""
    step_ms, limits = dice.choice(STEPS_MS), some_floors(dice)
    to_ms = dice.choice([NOW_MS, ago(dice.uniform(0, 5)), dice.choice(events).created_at_ms])
    from_ms = to_ms - dice.randrange(1, min(400 * step_ms, 25 * DAY_MS))
    asked = Query((*parse(dice.choice(TEXTS)).terms, Created(from_ms, to_ms)))
    found = [event for event in events if shown(event, limits) and matches(asked, event)]
    got = await stretches(
        database, ORG, asked, limits, from_ms=from_ms, to_ms=to_ms, step_ms=step_ms
    )
    told = f"{asked} {limits} {step_ms}"
    assert got.counted_from_ms >= from_ms, told
    counted = [event.created_at_ms for event in found]
    assert got.counts == Counter(
        time_ms // got.step_ms * got.step_ms
        for time_ms in counted
        if time_ms >= got.counted_from_ms
    ), told
    if len(found) < budget and budget > len(events):
        assert (got.step_ms, got.counted_from_ms) == (step_ms, from_ms), told
    beside = await facets(database, ORG, asked, limits, budget_rows=budget)
    if not beside.total_capped:
        assert beside.total == len(found), told
        assert dict(beside.actions) == Counter(event.action for event in found), told
    if beside.complete:
        who = Counter(event.actor_email or event.actor_user_id for event in found)
        assert beside.actors == sorted(who.items(), key=lambda one: (-one[1], str(one[0]))), told


@pytest.mark.parametrize("budget", [25, 50_000])
async def test_counts_are_exact_whatever_is_asked_comes_late_or_is_purged(
    database: Database, monkeypatch: pytest.MonkeyPatch, budget: int
) -> None:
    monkeypatch.setattr(histogram, "BUDGET_ROWS", budget)
    monkeypatch.setattr(query, "SCAN_BUDGET_ROWS", budget)
    dice, taken = random.Random(budget), set[int]()
    events: list[Event] = []
    for _ in range(2):  # what comes second belongs among what came first
        new = some_events(dice, 150, taken)
        await store(database, new)
        events += new
        for _ in range(30):
            await assert_counts_are_exact(database, dice, events, budget)
    limits = Floors(
        ago(15), (FloorException(RECEIPT_ACTION, 0), FloorException("pod.exec_ended", ago(4)))
    )
    while await purge_step(
        database,
        ORG,
        always(limits),
        batch=40,
        now_ms=NOW_MS + len(taken),
        salt=random10(taken) * 3 + b"xx",
    ):
        taken.add(len(taken))
    left = [event for event in events if shown(event, limits)]
    assert len(left) < len(events)
    for _ in range(30):
        await assert_counts_are_exact(database, dice, left, budget)
