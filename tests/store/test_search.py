"""The store finds exactly what `radar_audit_events.matching` says a query matches."""

from __future__ import annotations

import random
from typing import Any

import pytest
from radar_audit_events.actions import ACTIONS, VIA_PAT
from radar_audit_events.event import Event
from radar_audit_events.ids import event_id
from radar_audit_events.matching import METADATA_KEYS, matches
from radar_audit_events.query import Query, parse
from radar_audit_hub.ingest.prepare import prepare
from radar_audit_hub.retention.policy import FloorException, Floors, floors
from radar_audit_hub.store import facets as counting
from radar_audit_hub.store import query as reading
from radar_audit_hub.store.database import Database
from radar_audit_hub.store.export import csv_chunks, ndjson_chunks
from radar_audit_hub.store.log import append_batch

from tests.support.log_rows import DAY_MS, METADATA, NOW_MS, make_event, make_row, random10

ALL = Floors(0)
_NASTY = ['quo"te', "back\\slash", "tab\there", "Ünïcode ÄÖ", "100%_x", "line\nbreak", "<b>&"]
QUERIES = (
    "",
    "action:pod.*",
    "action:exec",
    "action:TOKEN",
    "action:pod.exec_started,pat.created",
    "action:nothing-like-it",
    "-action:pod.*",
    "type:pod,cluster -action:cluster.created",
    "type:org*",
    "actor:alice@acme.com",
    "actor:ALICE@acme.com action:pod.exec_started",
    "actor:user_bob",
    "actor:alice@acme.com,user_bob",
    "actor:user_eve@acme.com",
    "actor:carol",
    "actor:same@acme.com",
    "actor:carol action:pod.*,auth.*",
    "-actor:carol",
    "actor:al*",
    "-actor:*",
    "actor:*",
    "target:cl_1*",
    "target:cl_1/payments/web-1",
    "cluster:prod",
    "cluster:cl_2,stag*",
    "-cluster:*",
    "namespace:pay*",
    "namespace:payments pod:web-1",
    "pod:*",
    "session:s-1,s-2",
    "via_pat:*",
    "-via_pat:ci",
    "role:member",
    "1554",
    "payments",
    "PAYMENTS",
    "namespace",
    "bob@",
    "true",
    'environment "production"',
    '"quo\\"te"',
    '"back\\\\slash"',
    '"ünïcode ÄÖ"',
    '"Ünïcode"',
    "100%_x",
    '"tab\there"',
    "Acme",
    "created:>=2026-11-18T10:00:00Z",
    "created:2026-11-18",
    "-created:2026-11-18",
    "created:2026-11-17..2026-11-18 action:pod.*",
    "-payments -prod",
)


def _events(count: int) -> list[Event]:
    order = random.Random(11)
    events = []
    for number in range(count):
        action = order.choice(sorted(METADATA))
        changes: dict[str, Any] = {}
        if "namespace" in METADATA[action]:
            changes["namespace"] = order.choice(["payments", "pay-2", "kube", *_NASTY])
            changes["cluster_name"] = order.choice(["prod", "staging"])
            changes["session_id"] = f"s-{order.randrange(4)}"
        if order.random() < 0.2:
            changes["via_pat"] = order.choice(["ci", "Ci-bot", "=1+1"])
        actor = order.choice(
            [
                ("user_alice", "alice@acme.com"),
                ("user_bob", None),
                (None, "bob@acme.com"),
                ("user_eve", "user_eve@acme.com"),
                ("carol", None),
                ("same@acme.com", "same@acme.com"),
                (None, None),
            ]
        )
        events.append(
            make_event(
                number,
                action=action,
                created_at_ms=NOW_MS + order.randrange(3 * DAY_MS),
                metadata=changes,
                actor_user_id=actor[0],
                actor_email=actor[1],
                cluster_id=order.choice(["cl_1", "cl_2"])
                if action.startswith(("pod", "cluster"))
                else None,
            )
        )
    return events


async def _store(database: Database, events: list[Event]) -> None:
    rows = [prepare(event, bytes(32)) for event in events]
    await append_batch(database, "org_x", rows, NOW_MS)


async def _all_ids(database: Database, query: Query, limits: Floors, limit: int) -> list[str]:
    found: list[str] = []
    before = None
    while True:
        page = await reading.page(database, "org_x", query, limits, before=before, limit=limit)
        found += [row.id for row in page.rows]
        if page.next_before is None:
            return found
        before = page.next_before


async def test_every_query_finds_exactly_what_matches(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "SCAN_BUDGET_ROWS", 97)  # so that pages run out of budget
    events = _events(400)
    await _store(database, events)
    seq_of = {event.id: number for number, event in enumerate(events)}
    for text in QUERIES:
        query = parse(text)
        expected = sorted((e.id for e in events if matches(query, e)), reverse=True)
        assert await _all_ids(database, query, ALL, 7) == expected, text
        followed: list[str] = []
        after = -1
        while after < len(events) - 1:
            part = await reading.follow(database, "org_x", query, ALL, after_seq=after, limit=50)
            assert part.read_to_seq > after, text
            followed += [row.id for row in part.rows]
            after = part.read_to_seq
        assert followed == sorted(expected, key=seq_of.__getitem__), text
    monkeypatch.undo()
    for text in QUERIES:
        query = parse(text)
        expected = [e.id for e in events if matches(query, e)]
        counted = await counting.facets(database, "org_x", query, ALL)
        assert (counted.total, counted.complete) == (len(expected), True), text
        assert sum(n for _, n in counted.target_types) == len(expected), text


async def test_many_values_of_one_key_find_what_one_by_one_they_would(database: Database) -> None:
    events = _events(200)
    await _store(database, events)
    others = ",".join(f"x{n}" for n in range(30))
    for key, hit in (("session", "s-1"), ("namespace", "pay*"), ("cluster", "cl_2"), ("pod", "*")):
        query = parse(f"{key}:{others},{hit}")
        expected = sorted((e.id for e in events if matches(query, e)), reverse=True)
        assert expected
        assert await _all_ids(database, query, ALL, 50) == expected


async def test_key_is_found_at_the_top_of_the_metadata_only(database: Database) -> None:
    nested = {"changes": {"role": ["viewer", "owner"], "pod": [None, {"pod": "web-1"}]}}
    rows = [make_row(1, action="org.updated", metadata=nested), make_row(2)]
    await append_batch(database, "org_x", rows, NOW_MS)
    assert await _all_ids(database, parse("pod:web-1"), ALL, 10) == [rows[1].id]
    assert await _all_ids(database, parse("pod:web-1,pod*,x*"), ALL, 10) == [rows[1].id]
    assert await _all_ids(database, parse("role:*"), ALL, 10) == []


async def test_one_request_looks_at_fewer_rows_the_more_is_asked_of_each(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "SCAN_BUDGET_ROWS", 100)
    rows = [make_row(n) for n in range(120)]
    await append_batch(database, "org_x", rows, NOW_MS)
    fifty = ",".join(f"x{n}" for n in range(50))
    for text, looked_at in (("nowhere", 100), ("zz1 zz2 zz3 zz4 zz5", 20), (f"pod:{fifty}", 16)):
        query = parse(text)
        page = await reading.page(database, "org_x", query, ALL, before=None, limit=10)
        assert (page.rows, page.next_before) == ([], rows[-looked_at].id), text
        part = await reading.follow(database, "org_x", query, ALL, after_seq=-1, limit=10)
        assert part.read_to_seq == looked_at - 1, text
        counted = await counting.facets(database, "org_x", query, ALL)
        assert (counted.complete, counted.total_capped) == (False, True), text


def test_keys_that_are_compared_as_texts_hold_nothing_else() -> None:
    compared = {*METADATA_KEYS.values(), "cluster_name"}
    fields = [(a.name, f) for a in ACTIONS.values() for f in (*a.fields, VIA_PAT)]
    kinds = {field.type for _, field in fields if field.name in compared}
    kinds |= {f.type for a in ACTIONS.values() if a.target_type == "cluster" for f in a.fields
              if f.name == "name"}  # fmt: skip
    assert kinds == {"string"}


async def test_exports_hold_exactly_the_matching_rows(database: Database) -> None:
    events = _events(120)
    await _store(database, events)
    for text in ("", "action:pod.*", "payments", "via_pat:*", "actor:user_bob"):
        query = parse(text)
        expected = sorted((e.id for e in events if matches(query, e)), reverse=True)
        csv_text = b"".join([c async for c in csv_chunks(database, "org_x", query, ALL)]).decode()
        lines = csv_text.split("\r\n")
        assert lines.pop() == ""
        assert lines[0].startswith("id,created_at,action,target_type,target_id,actor_user_id")
        assert [line.split(",")[0] for line in lines[1:]] == expected
        ndjson = b"".join([c async for c in ndjson_chunks(database, "org_x", query, ALL)])
        assert [line[7:36].decode() for line in ndjson.splitlines()] == expected


async def test_formula_cells_are_made_text_and_times_are_exact(database: Database) -> None:
    event = make_event(
        1,
        created_at_ms=NOW_MS + 7,
        metadata={"via_pat": '=cmd("x"),1', "namespace": "a,b\nc"},
        actor_email="+49@acme.com",
        actor_user_id=None,
        target_id="@sum",
    )
    await _store(database, [event])
    text = b"".join([c async for c in csv_chunks(database, "org_x", parse(""), ALL)]).decode()
    row = text.split("\r\n")[1]
    assert row.startswith(f"{event.id},2026-11-18T")
    assert '.007Z,pod.exec_started,pod,\'@sum,,\'+49@acme.com,"\'=cmd(""x""),1","{""' in row
    assert '"namespace"":""a,b\\nc"' in row


@pytest.mark.parametrize("plan,days", [("free", 7), ("team", 30), ("enterprise", 365)])
async def test_a_row_past_the_plan_is_in_no_answer_before_any_purge(
    database: Database, plan: str, days: int
) -> None:
    edge = NOW_MS - days * DAY_MS
    past = make_row(1, created_at_ms=edge - 1000)
    last = make_row(2, created_at_ms=edge)
    await append_batch(database, "org_x", [past, last], NOW_MS)
    limits = floors(plan, NOW_MS)
    query = Query()
    assert await _all_ids(database, query, limits, 10) == [last.id]
    assert await reading.get(database, "org_x", past.id, limits) is None
    assert (await reading.get(database, "org_x", last.id, limits)) is not None
    followed = await reading.follow(database, "org_x", query, limits, after_seq=-1, limit=10)
    assert ([row.id for row in followed.rows], followed.read_to_seq) == ([last.id], 1)
    assert (await counting.facets(database, "org_x", query, limits)).total == 1
    assert await counting.estimate_rows(database, "org_x", query, limits) == 1
    for text in ("action:pod.*", "actor:alice@acme.com", "payments", "-actor:bob@acme.com"):
        assert await _all_ids(database, parse(text), limits, 10) == [last.id], text
    for chunks in (csv_chunks, ndjson_chunks):
        body = b"".join([c async for c in chunks(database, "org_x", query, limits)])
        assert past.id.encode() not in body
        assert last.id.encode() in body


async def test_floors_by_action_hold_in_every_path(database: Database) -> None:
    rows = [
        make_row(n, action=action, created_at_ms=NOW_MS - age * DAY_MS)
        for n, (action, age) in enumerate(
            [
                ("pat.created", 1),
                ("pat.created", 5),
                ("pod.exec_started", 5),
                ("org.created", 50),
                ("pod.exec_started", 20),
                ("org.created", 400),
            ]
        )
    ]
    await append_batch(database, "org_x", rows, NOW_MS)
    limits = Floors(
        NOW_MS - 10 * DAY_MS,
        (
            FloorException("pat.created", NOW_MS - 2 * DAY_MS),
            FloorException("org.created", NOW_MS - 100 * DAY_MS),
        ),
    )
    visible = [rows[0].id, rows[2].id, rows[3].id]
    for text in (
        "",
        "action:pat.created,pod.exec_started,org.created",
        "-action:auth.*",
        "-role:owner",
    ):
        assert await _all_ids(database, parse(text), limits, 2) == visible, text
    counted = await counting.facets(database, "org_x", Query(), limits)
    assert counted.total == 3
    assert await counting.estimate_rows(database, "org_x", Query(), limits) == 3
    body = b"".join([c async for c in csv_chunks(database, "org_x", Query(), limits)])
    assert [i for i, r in enumerate(rows) if r.id.encode() in body] == [0, 2, 3]


async def test_counters_agree_with_rows_when_the_budget_is_passed(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "FACET_BUDGET_ROWS", 50)
    events = _events(300)
    await _store(database, events)
    for text in ("", "action:pod.*", "created:2026-11-18T20:00:00Z..2026-11-19T23:00:00Z"):
        query = parse(text)
        expected = sum(matches(query, e) for e in events)
        counted = await counting.facets(database, "org_x", query, ALL)
        assert (counted.total, counted.total_capped) == (expected, False), text
        assert sum(n for _, n in counted.actions) == expected
        assert await counting.estimate_rows(database, "org_x", query, ALL) == expected
    capped = await counting.facets(database, "org_x", parse("-role:owner"), ALL)
    assert (capped.total, capped.total_capped, capped.complete) == (50, True, False)


async def test_pages_are_stable_while_events_arrive(database: Database) -> None:
    await append_batch(database, "org_x", [make_row(n) for n in range(30)], NOW_MS)
    first = await reading.page(database, "org_x", Query(), ALL, before=None, limit=10)
    late = [make_row(n, id=event_id(NOW_MS + n * 1000, random10("late", n))) for n in (5, 25, 100)]
    await append_batch(database, "org_x", late, NOW_MS)
    second = await reading.page(database, "org_x", Query(), ALL, before=first.next_before, limit=50)
    ids = [row.id for row in (*first.rows, *second.rows)]
    assert len(ids) == len(set(ids)) == 31
    assert late[0].id in ids
    assert ids == sorted(ids, reverse=True)


async def test_another_orgs_rows_are_never_found(database: Database) -> None:
    await append_batch(database, "org_y", [make_row(1, org_id="org_y")], NOW_MS)
    other = make_row(1, org_id="org_y")
    assert await _all_ids(database, Query(), ALL, 10) == []
    assert await reading.get(database, "org_x", other.id, ALL) is None
    assert (await counting.facets(database, "org_x", Query(), ALL)).total == 0
