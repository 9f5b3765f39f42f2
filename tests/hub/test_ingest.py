"""Batches from collectors: every fact once, every result in its place, nothing unbounded."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from radar_audit_events.ids import format_ms
from radar_audit_hub.store.driver_logs import hide_statements
from radar_audit_hub.store.head import lock_head
from radar_audit_hub.store.schema import audit_event
from sqlalchemy import delete

from tests.support.collector_posts import (
    CLUSTER,
    INGEST_PATH,
    Poster,
    a_batch,
    a_start,
    an_end,
    fates,
    posting,
)
from tests.support.hub_builder import ORG
from tests.support.log_rows import DAY_MS, NOW_MS
from tests.support.postgres import Server


@pytest.fixture
async def collector(database_url: str) -> AsyncIterator[Poster]:
    async with posting(database_url) as poster:
        yield poster


@pytest.fixture
async def small(sqlite_url: str) -> AsyncIterator[Poster]:
    """A hub for what does not depend on the database."""
    async with posting(sqlite_url) as poster:
        yield poster


async def test_start_and_end_of_a_session_become_two_rows(collector: Poster) -> None:
    results = await collector.send(a_start(), an_end(at_ms=NOW_MS + 1500))
    rows = await collector.rows()
    assert fates(results) == ["accepted", "accepted"]
    assert [row["id"] for row in rows] == [result["id"] for result in results]
    assert [row["action"] for row in rows] == ["pod.exec_started", "pod.exec_ended"]
    assert {row["target_id"] for row in rows} == {f"{CLUSTER}/pay/api-0"}
    assert rows[0]["metadata"] == {
        "cluster_id": CLUSTER,
        "cluster_name": "prod",
        "namespace": "pay",
        "pod": "api-0",
        "container": "app",
        "session_id": "s-1",
    }
    assert [row["seq"] for row in rows] == [0, 1]


async def test_same_batch_again_is_all_duplicates_with_the_same_ids(collector: Poster) -> None:
    events = [a_start(f"s-{n}") for n in range(20)]
    first = await collector.send(*events)
    again = await collector.send(*events)
    assert fates(again) == ["duplicate"] * 20
    assert [r["id"] for r in again] == [r["id"] for r in first]
    assert len(await collector.rows()) == 20


async def test_same_fact_from_another_source_is_a_duplicate_of_the_first(collector: Poster) -> None:
    first = await collector.send(a_start("s-1", at_ms=NOW_MS))
    other = await collector.send(a_start("s-1", at_ms=NOW_MS + 7), collector_id="c-2")
    assert fates(other) == ["duplicate"]
    assert other[0]["id"] == first[0]["id"]
    assert [row["created_at"] for row in await collector.rows()] == [NOW_MS]


async def test_results_stand_in_the_order_of_the_events(collector: Poster) -> None:
    await collector.send(a_start("known"))
    results = await collector.send(
        a_start("new-1"),
        a_start("known"),
        a_start("bad", action="org.created"),
        a_start("old", at_ms=NOW_MS - 366 * DAY_MS),
        a_start("new-1"),
        a_start("ahead", at_ms=NOW_MS + 5 * 60_000 + 1),
        a_start("new-2"),
    )
    assert fates(results) == [
        "accepted", "duplicate", "rejected", "expired", "duplicate", "rejected", "accepted",
    ]  # fmt: skip
    assert [results[2]["code"], results[5]["code"]] == ["action_not_allowed", "clock_skew"]
    assert results[4]["id"] == results[0]["id"]


async def test_overlapping_batches_at_once_store_each_fact_once(collector: Poster) -> None:
    events = [a_start(f"s-{n}", at_ms=NOW_MS + n) for n in range(120)]
    spans = [(start, start + 40) for start in range(0, 100, 20)] * 2
    answers = await asyncio.gather(*(collector.send(*events[a:b]) for a, b in spans))
    count = Counter(fate for results in answers for fate in fates(results))
    rows = await collector.rows()
    assert count == {"accepted": 120, "duplicate": 10 * 40 - 120}
    assert len({row["source_key"] for row in rows}) == len(rows) == 120
    assert [row["seq"] for row in rows] == list(range(120))


async def test_two_hubs_on_one_database_store_each_fact_once(postgres_url: str) -> None:
    async with (
        posting(postgres_url) as one,
        posting(postgres_url, token=one.token) as two,
    ):
        events = [a_start(f"s-{n}", at_ms=NOW_MS + n) for n in range(200)]
        batches = [events[n : n + 50] for n in range(0, 200, 25)]
        answers = await asyncio.gather(
            *(poster.send(*batch) for batch in batches for poster in (one, two))
        )
        rows = await one.rows()
        assert sum(f == "accepted" for results in answers for f in fates(results)) == 200
        assert sorted(row["metadata"]["session_id"] for row in rows) == sorted(
            event["session_id"] for event in events
        )
        assert [row["seq"] for row in rows] == list(range(200))


@pytest.mark.parametrize(
    "bad",
    [
        a_start("bad", metadata={"pod": 7}),
        a_start("bad", metadata={"pod": "a/b"}),
        a_start("bad", metadata={"container": None}),
        a_start("bad", metadata={"via_pat": "ci"}),
        a_start("bad", metadata={"cluster_id": "cl_other"}),
        a_start("bad", created_at="yesterday"),
        a_start(""),
        a_start("x" * 65),
        a_start("bad", actor_user_id="two\nlines"),
        a_start("bad", actor_user_id="nul\x00"),
        a_start("bad", unknown=1),
        a_start("bad", metadata="none"),
        {"action": "pod.exec_started"},
        a_start("bad", metadata={"deep": [[[[[[]]]]]]}),
        a_start("bad", metadata={"huge": 2**70}),
        a_start("bad", metadata={"container": "c" * 70_000}),
        a_start("bad", assumed_created_at=format_ms(NOW_MS)),
        17,
        None,
    ],
)
async def test_one_bad_event_is_rejected_and_spoils_no_other(collector: Poster, bad: Any) -> None:
    results = await collector.send(a_start("good-1"), bad, a_start("good-2"))
    assert fates(results) == ["accepted", "rejected", "accepted"]
    assert results[1]["code"] == "invalid_event"
    assert results[1]["message"]


async def test_unknown_field_of_an_event_is_named_with_the_nearest(small: Poster) -> None:
    results = await small.send(a_start("s", actor_user="u"))
    assert (
        "actor_user: is not a known field; the nearest one is actor_user_id"
        in (results[0]["message"])
    )


async def test_events_out_of_retention_are_shown_as_one_gap(collector: Poster) -> None:
    old = [a_start(f"old-{n}", at_ms=NOW_MS - 366 * DAY_MS + n) for n in range(3)]
    for _ in range(2):
        assert fates(await collector.send(*old, a_start("new")))[:3] == ["expired"] * 3
    [gap] = (await collector.under_test.get("gaps")).json["gaps"]
    assert (gap["count"], gap["reason"]) == (3, "expired")
    assert gap["from_time"] == old[0]["created_at"]
    assert gap["to_time"] == old[2]["created_at"]


@pytest.mark.parametrize("repeats", [False, True], ids=["fast path", "slow path"])
async def test_event_that_was_purged_while_its_repeat_waited_is_not_stored_again(
    collector: Poster, repeats: bool
) -> None:
    hub = collector.under_test
    edge = a_start("edge", at_ms=NOW_MS - 365 * DAY_MS)  # visible now, and not a millisecond later
    known = [a_start("known")] if repeats else []
    assert fates(await collector.send(edge, *known))[0] == "accepted"
    async with hub.hub.db.write() as connection:
        await lock_head(connection, ORG)
        waiting = asyncio.create_task(collector.send(edge, *known, a_start("new"), edge))
        while not collector.ingest.joiner._tasks:  # noqa: ASYNC110 - not yet judged, by that time
            await asyncio.sleep(0.01)
        hub.clock.now_ms += 1
        await connection.execute(delete(audit_event).where(audit_event.c.seq == 0))
    duplicates = ["duplicate"] * len(known)
    assert fates(await waiting) == ["expired", *duplicates, "accepted", "expired"]
    assert {row["metadata"]["session_id"] for row in await collector.rows()} <= {"known", "new"}
    [gap] = (await hub.get("gaps")).json["gaps"]
    assert (gap["reason"], gap["count"], gap["from_time"]) == ("expired", 1, edge["created_at"])


async def test_reported_gap_is_stored_once(collector: Poster) -> None:
    gap = {
        "gap_id": "g-1",
        "from_time": format_ms(NOW_MS - 5000),
        "to_time": format_ms(NOW_MS),
        "count": 12,
        "reason": "spool full",
    }
    for _ in range(2):
        assert await collector.send(gaps=[gap]) == []
    [shown] = (await collector.under_test.get("gaps")).json["gaps"]
    assert {key: shown[key] for key in gap} == gap
    assert (shown["collector_id"], shown["cluster_id"]) == ("c-1", CLUSTER)


async def test_known_user_gets_an_email_unknown_one_keeps_the_id(collector: Poster) -> None:
    await collector.send(
        a_start("s-1", actor_user_id="user_1"),
        a_start("s-2", actor_user_id="user_elsewhere"),
        a_start("s-3", actor_user_id=None),
        a_start("s-4", actor_user_id="P1@Acme.com"),
        a_start("s-5", actor_user_id="Eve@else.where"),
    )
    assert [(row["actor_user_id"], row["actor_email"]) for row in await collector.rows()] == [
        ("user_1", "p1@acme.com"),
        ("user_elsewhere", None),
        (None, None),
        ("user_1", "p1@acme.com"),
        (None, "eve@else.where"),
    ]


async def test_late_real_end_names_the_assumed_one(collector: Poster) -> None:
    assumed = an_end("s-1", metadata={"end_reason": "assumed", "observed": False})
    real = an_end("s-1", at_ms=NOW_MS + 60_000, assumed_created_at=assumed["created_at"])
    first, second = await collector.send(assumed, real)
    rows = await collector.rows()
    assert first["result"] == second["result"] == "accepted"
    assert rows[1]["metadata"]["supersedes"] == first["id"] == rows[0]["id"]


@pytest.mark.parametrize(
    "body, field, words",
    [
        (a_batch(a_start(), batch="x"), "batch", "the nearest one is batch_id"),
        ({"collector_id": "c", "events": []}, "batch_id", "is required"),
        (a_batch(), "events", "at least one event"),
        (a_batch(*[a_start()] * 1001), "events", "at most 1000"),
        (a_batch(a_start(), collector_id="a b"), "collector_id", "without spaces"),
        (a_batch(a_start(), events=7), "events", "Expected `array`"),
        (a_batch(gaps=[{"gap_id": "g", "lost": 1}]), "gaps[0].lost", "nearest"),
        (
            a_batch(gaps=[{"gap_id": "g", "from_time": "x", "to_time": format_ms(1), "count": 0,
                           "reason": "r"}]),
            "gaps[0].from_time", "RFC 3339",
        ),
        (b"{", "body", "JSON"),
        (b"", "body", "JSON"),
        (b'{"collector_id": "\xff"}', "body", "JSON"),
        (b"[" * 100_000, "body", "array"),
        (b'{"collector_id":"c","batch_id":"b","events":' + b"[" * 100_000, "body", "JSON"),
    ],
)  # fmt: skip
async def test_wrong_envelope_is_refused_naming_the_field(
    small: Poster, body: Any, field: str, words: str
) -> None:
    status, answer = await small.post(INGEST_PATH, body)
    assert (status, answer["code"]) == (422, "invalid_body")
    assert answer["errors"][0]["field"] == field
    assert words in answer["errors"][0]["message"]


async def test_database_that_is_away_is_answered_with_503_until_it_is_back(
    postgres_url: str, postgres_server: Server
) -> None:
    name = urlsplit(postgres_url).path.lstrip("/")
    async with posting(postgres_url) as poster:
        await poster.send(a_start("before"))
        postgres_server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        postgres_server.execute(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        )
        for _ in range(3):
            status, answer = await poster.post(INGEST_PATH, a_batch(a_start("s")))
            assert (status, answer["code"]) == (503, "unavailable")
        postgres_server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        assert fates(await poster.send(a_start("before"), a_start("s"))) == [
            "duplicate",
            "accepted",
        ]


async def test_too_much_waiting_is_answered_with_429(sqlite_url: str) -> None:
    async with posting(sqlite_url) as poster:
        with poster.ingest.admission.enter(ORG) as ticket:
            ticket.hold(poster.under_test.hub.settings.ingest_held_bytes_per_org - 20_000)
            status, answer = await poster.post(INGEST_PATH, a_batch(a_start()))
            assert (status, answer["code"]) == (429, "too_many_requests")
        assert fates(await poster.send(a_start())) == ["accepted"]


@pytest.mark.parametrize("who", ["owner", "nobody"])
async def test_only_a_cluster_token_may_ingest(small: Poster, who: str) -> None:
    token = small.under_test.owner if who == "owner" else "rhc_" + "A" * 43
    status, answer = await small.post(INGEST_PATH, a_batch(a_start()), token=token)
    assert (status, answer["code"]) == (401, "unauthorized")
    assert await small.rows() == []


async def test_large_batch_lets_the_loop_serve_others(small: Poster) -> None:
    events = [a_start(f"s-{n}", metadata={"container": "c" * 6000}) for n in range(1000)]
    raw = msgspec.json.encode(a_batch(*events))
    assert len(raw) > 6_000_000
    done = asyncio.Event()
    turns = 0

    async def count() -> None:
        nonlocal turns
        while not done.is_set():
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    status, _ = await small.post(INGEST_PATH, raw)
    done.set()
    await counting
    assert status == 200
    assert turns > 3


async def test_no_event_and_no_token_reaches_the_log(
    small: Poster, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    hide_statements()
    canary = "CANARY-9d1"
    await small.send(a_start("s", metadata={"pod": canary}), a_start("t", created_at=canary))
    await small.post(INGEST_PATH, {"collector_id": canary, canary: 1})
    await small.post(INGEST_PATH, canary.encode(), headers={"Content-Encoding": "gzip"})
    text = "\n".join(f"{r.getMessage()} {r.__dict__}" for r in caplog.records)
    assert "request" in text
    for secret in (canary, small.token, small.token[4:]):
        assert secret not in text


async def test_batch_is_counted_by_result(small: Poster) -> None:
    await small.send(a_start("s"), a_start("s"), a_start("t", action="x"))
    counter = small.under_test.hub.metrics.ingest_events
    values = {
        sample.labels["result"]: sample.value
        for metric in counter.collect()
        for sample in metric.samples
        if sample.name.endswith("_total")
    }
    assert values == {"accepted": 1.0, "duplicate": 1.0, "expired": 0.0, "rejected": 1.0}


async def test_clock_skew_is_judged_by_the_hubs_clock(small: Poster) -> None:
    event = a_start("s", at_ms=NOW_MS + 300_001)
    assert (await small.send(event))[0]["code"] == "clock_skew"
    small.under_test.clock.now_ms += 1
    assert fates(await small.send(event)) == ["accepted"]
