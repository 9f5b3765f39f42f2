"""A session id that comes again for another session hides nothing; a repeat stays one row."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
from radar_audit_events.ids import format_ms
from radar_audit_hub.ingest.facts import SAME_FACT_MS

from tests.support.collector_posts import Poster, a_start, an_end, fates, posting
from tests.support.log_rows import DAY_MS, NOW_MS

HOUR_MS = SAME_FACT_MS


@pytest.fixture
async def collector(database_url: str) -> AsyncIterator[Poster]:
    async with posting(database_url) as poster:
        yield poster


@pytest.fixture
async def small(sqlite_url: str) -> AsyncIterator[Poster]:
    """A hub for what does not depend on the database."""
    async with posting(sqlite_url) as poster:
        yield poster


def a_denial(pod: str, at_ms: int = NOW_MS) -> dict[str, Any]:
    """A refused terminal."""
    facts = {"attempted_action": "pod.exec", "role": None, "required_role": "member"}
    metadata = {**facts, "namespace": "pay", "pod": pod}
    return {**a_start(at_ms=at_ms), "action": "cluster.action_denied", "metadata": metadata}


def ended(at_ms: int, began_ms: int, **metadata: Any) -> dict[str, Any]:
    """An end that says when its session began."""
    return an_end(at_ms=at_ms, metadata={"started_at": format_ms(began_ms), **metadata})


OTHERS = [
    (a_start(), a_start(metadata={"pod": "db-0"})),
    (a_start(), a_start(metadata={"namespace": "kube"})),
    (a_start(), a_start(at_ms=NOW_MS - 3 * DAY_MS)),
    (a_denial("api-0"), a_denial("db-0")),
    (ended(NOW_MS, NOW_MS - 9), ended(NOW_MS, NOW_MS - 2 * HOUR_MS)),
]


@pytest.mark.parametrize("first, second", OTHERS)
async def test_other_session_of_the_same_id_is_stored_and_its_repeats_are_not(
    collector: Poster, first: dict[str, Any], second: dict[str, Any]
) -> None:
    assert fates(await collector.send(first)) == ["accepted"]
    assert fates(await collector.send(second, first, second)) == [
        "accepted",
        "duplicate",
        "duplicate",
    ]
    stored = {row["id"] for row in await collector.rows()}
    assert len(stored) == 2
    for batch in ([first, second], [second], [second, first]):
        results = await collector.send(*batch)
        assert fates(results) == ["duplicate"] * len(batch)
        assert {result["id"] for result in results} <= stored


async def test_both_sessions_of_one_id_are_stored_from_one_batch(collector: Poster) -> None:
    first, second = OTHERS[0]
    assert fates(await collector.send(first, second, first, second)) == [
        *["accepted"] * 2,
        *["duplicate"] * 2,
    ]
    assert fates(await collector.send(second, first)) == ["duplicate"] * 2


@pytest.mark.parametrize(
    "first, second",
    [
        (a_start(), a_start(at_ms=NOW_MS - SAME_FACT_MS)),
        (a_start(), a_start(actor_user_id="alice@acme.com", metadata={"container": "sidecar"})),
        # One source was down and dated the end to its own return.
        (ended(NOW_MS, NOW_MS - 20 * HOUR_MS), ended(NOW_MS - 9 * HOUR_MS, NOW_MS - 20 * HOUR_MS)),
        (an_end(), ended(NOW_MS - 9 * HOUR_MS, NOW_MS - 20 * HOUR_MS)),
    ],
)
async def test_same_fact_from_two_sources_stays_one_row(
    collector: Poster, first: dict[str, Any], second: dict[str, Any]
) -> None:
    assert fates(await collector.send(first)) == ["accepted"]
    assert fates(await collector.send(second)) == ["duplicate"]
    assert len(await collector.rows()) == 1


async def test_other_session_of_the_same_id_stays_one_row_when_two_sources_tell_of_it(
    collector: Poster,
) -> None:
    assert fates(await collector.send(a_start())) == ["accepted"]
    hour = NOW_MS // SAME_FACT_MS * SAME_FACT_MS - 5 * SAME_FACT_MS
    seen = [a_start(at_ms=hour + ms, metadata={"pod": "db-0"}) for ms in (500, 507, 2000)]
    assert fates(await collector.send(*seen[:2])) == ["accepted", "duplicate"]
    assert fates(await collector.send(seen[2])) == ["duplicate"]


async def test_batch_of_one_id_a_thousand_times_is_no_burden(small: Poster) -> None:
    events = [a_start(metadata={"pod": f"api-{n}"}) for n in range(1000)]
    assert fates(await small.send(*events)) == ["accepted"] * 1000
    assert fates(await small.send(*events)) == ["duplicate"] * 1000


async def test_any_mix_of_repeats_and_rivals_stores_each_session_once(collector: Poster) -> None:
    facts = [event for pair in OTHERS[:3] for event in pair] + [a_start("s-2"), a_start("s-3")]
    facts += [a_start("s-2", metadata={"pod": "db-0"}), a_start("s-3", metadata={"pod": "db-0"})]
    distinct = {str(fact) for fact in facts}
    order = random.Random(3)
    for _ in range(12):
        await collector.send(*order.choices(facts, k=order.randrange(1, 9)))
    await collector.send(*facts)
    assert len(await collector.rows()) == len(distinct)
    assert [row["seq"] for row in await collector.rows()] == list(range(len(distinct)))
