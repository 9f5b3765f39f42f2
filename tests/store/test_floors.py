"""What is too old by action, cluster and legal hold is in no answer, and only that is purged."""

from __future__ import annotations

import random

import pytest
from radar_audit_events.event import Event
from radar_audit_events.matching import matches
from radar_audit_events.query import parse
from radar_audit_hub.ingest.prepare import prepare
from radar_audit_hub.retention.policy import (
    RECEIPT_ACTION,
    ClusterFloor,
    FloorException,
    Floors,
)
from radar_audit_hub.store import facets as counting
from radar_audit_hub.store import query as reading
from radar_audit_hub.store.database import Database
from radar_audit_hub.store.export import csv_chunks, ndjson_chunks
from radar_audit_hub.store.log import append_batch
from radar_audit_hub.store.purge import expired_count, purge_step

from tests.support.log_rows import DAY_MS, NOW_MS, always, make_event, random10

ACTIONS = ("pod.exec_started", "pod.exec_ended", "cluster.created", "pat.created", "org.created")
CLUSTERS = ("cl_1", "cl_2", "cl_3", None)
RECEIPTS = FloorException(RECEIPT_ACTION, 0)
QUERIES = (
    "",
    "action:pod.*",
    "action:pat.created,pod.exec_started,org.created",
    "-action:pod.*",
    "actor:alice@acme.com",
    "actor:user_alice action:pod.exec_started",
    "payments",
    "-namespace:kube",
)
HELD = ("namespace:kube", "action:org.created", "-actor:alice@acme.com", "")


def ago(days: float) -> int:
    return NOW_MS - int(days * DAY_MS)


CASES = {
    "longer and shorter clusters": Floors(
        ago(10),
        (RECEIPTS, FloorException("pat.created", ago(2)), FloorException("org.created", ago(40))),
        (
            ClusterFloor("cl_1", ago(30), (FloorException("pod.exec_ended", ago(3)),)),
            ClusterFloor("cl_2", ago(4), (FloorException("cluster.created", ago(45)),)),
        ),
    ),
    "held": Floors(ago(5), (RECEIPTS,), (), (parse(HELD[0]),)),
    "held and clusters": Floors(
        ago(8),
        (RECEIPTS, FloorException("pod.exec_started", ago(1))),
        (ClusterFloor("cl_3", ago(25)),),
        (parse(HELD[1]), parse("namespace:kube actor:user_alice")),
    ),
    "not this one": Floors(ago(5), (RECEIPTS,), (), (parse(HELD[2]),)),
    "all held": Floors(ago(5), (RECEIPTS,), (), (parse(HELD[3]),)),
}


def some_events(count: int) -> list[Event]:
    order = random.Random(5)
    events = []
    for number in range(count):
        action = order.choice(ACTIONS)
        in_cluster = action.startswith(("pod", "cluster"))
        user = order.choice([("user_alice", "alice@acme.com"), ("user_bob", "bob@acme.com")])
        events.append(
            make_event(
                number,
                action=action,
                created_at_ms=ago(order.uniform(0, 50)),
                cluster_id=order.choice(CLUSTERS) if in_cluster else None,
                metadata={"namespace": order.choice(["payments", "kube"])}
                if action.startswith("pod")
                else {},
                actor_user_id=user[0],
                actor_email=user[1],
            )
        )
    return sorted(events, key=lambda event: event.id, reverse=True)


def shown(event: Event, floors: Floors) -> bool:
    """What the rule says, without SQL."""
    young = floors.visible(event.action, event.created_at_ms, event.cluster_id)
    return young or any(matches(query, event) for query in floors.held)


async def _store(database: Database, events: list[Event]) -> None:
    rows = [prepare(event, random10(event.id) * 3 + b"xx") for event in events]
    await append_batch(database, "org_x", rows, NOW_MS)


@pytest.mark.parametrize("case", CASES)
async def test_every_path_shows_what_the_rule_says(database: Database, case: str) -> None:
    floors, events = CASES[case], some_events(200)
    await _store(database, events)
    for text in QUERIES:
        query = parse(text)
        expected = [e.id for e in events if shown(e, floors) and matches(query, e)]
        found: list[str] = []
        before: str | None = None
        while True:
            page = await reading.page(database, "org_x", query, floors, before=before, limit=7)
            found += [row.id for row in page.rows]
            before = page.next_before
            if before is None:
                break
        assert found == expected, text
        followed = await reading.follow(database, "org_x", query, floors, after_seq=-1, limit=500)
        assert sorted(row.id for row in followed.rows) == sorted(expected), text
        counted = await counting.facets(database, "org_x", query, floors)
        assert counted.total == len(expected), text
        assert await counting.estimate_rows(database, "org_x", query, floors) in (
            None,
            len(expected),
        )
        for chunks in (csv_chunks, ndjson_chunks):
            body = b"".join([c async for c in chunks(database, "org_x", query, floors)])
            assert [e.id for e in events if e.id.encode() in body] == expected, text
    for event in events[::9]:
        got = await reading.get(database, "org_x", event.id, floors)
        assert (got is not None) == shown(event, floors)


@pytest.mark.parametrize("case", CASES)
async def test_purge_takes_exactly_what_no_path_shows(database: Database, case: str) -> None:
    floors, events = CASES[case], some_events(120)
    await _store(database, events)
    gone = [event for event in events if not shown(event, floors)]
    assert await expired_count(database, "org_x", floors) == len(gone)
    deleted = 0
    while True:
        step = await purge_step(
            database,
            "org_x",
            always(floors),
            batch=50,
            now_ms=NOW_MS,
            salt=random10(deleted) * 3 + b"xx",
        )
        if not step:
            break
        deleted += step
    assert deleted == len(gone)
    everything = Floors(0)
    left = await reading.page(
        database, "org_x", parse("-action:audit.*"), everything, before=None, limit=500
    )
    assert [row.id for row in left.rows] == [e.id for e in events if shown(e, floors)]
