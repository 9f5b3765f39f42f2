"""The heartbeat: what a collector says is kept, what the hub answers, what is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from radar_audit_events.ids import format_ms
from radar_audit_hub.store import collectors

from tests.support.collector_posts import CLUSTER, Poster, a_heartbeat, posting
from tests.support.hub_builder import ORG
from tests.support.log_rows import NOW_MS

PATH = "/api/agent/heartbeat"


@pytest.fixture
async def collector(database_url: str) -> AsyncIterator[Poster]:
    async with posting(database_url) as poster:
        yield poster


@pytest.fixture
async def small(sqlite_url: str) -> AsyncIterator[Poster]:
    async with posting(sqlite_url) as poster:
        yield poster


async def kept(poster: Poster) -> list[dict[str, Any]]:
    async with poster.under_test.hub.db.read() as connection:
        result = await connection.exec_driver_sql("SELECT * FROM collector ORDER BY collector_id")
        return [dict(row._mapping) for row in result]


async def test_answer_says_what_time_it_is_and_who_the_collector_is(collector: Poster) -> None:
    status, answer = await collector.post(PATH, a_heartbeat())
    assert status == 200
    assert answer == {
        "now": format_ms(NOW_MS),
        "org_id": ORG,
        "cluster_id": CLUSTER,
        "cluster_name": "prod",
        "capture": None,
        "capture_etag": None,
        "upgrade": None,
    }


async def test_last_words_are_kept_over_the_former_ones(collector: Poster) -> None:
    await collector.post(PATH, a_heartbeat())
    collector.under_test.clock.now_ms += 10_000
    await collector.post(PATH, a_heartbeat(instance_id="i-2", losses={}, version="0.2.0"))
    await collector.post(PATH, a_heartbeat(collector_id="c-2"))
    rows = await kept(collector)
    assert [row["collector_id"] for row in rows] == ["c-1", "c-2"]
    first = rows[0]
    assert (first["org_id"], first["cluster_id"]) == (ORG, CLUSTER)
    assert (first["instance_id"], first["version"]) == ("i-2", "0.2.0")
    assert (first["first_seen_at"], first["last_seen_at"]) == (NOW_MS, NOW_MS + 10_000)
    assert msgspec.json.decode(first["open_sessions"]) == ["s-1", "s-2"]
    assert msgspec.json.decode(first["losses"]) == {}
    assert msgspec.json.decode(first["spool"])["bytes"] == 900


async def test_rows_of_a_cluster_are_bounded_by_the_most_recent(
    collector: Poster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collectors, "MAX_COLLECTORS", 3)
    for number in range(5):
        collector.under_test.clock.now_ms += 1
        await collector.post(PATH, a_heartbeat(collector_id=f"c-{number}"))
    assert [row["collector_id"] for row in await kept(collector)] == ["c-2", "c-3", "c-4"]


@pytest.mark.parametrize(
    "changes, field",
    [
        ({"collector": "x"}, "collector"),
        ({"collector_id": ""}, "collector_id"),
        ({"instance_id": "a b"}, "instance_id"),
        ({"version": "v" * 129}, "version"),
        ({"sources": ["s"] * 17}, "sources"),
        ({"sources": ["\n"]}, "sources"),
        ({"open_sessions": ["s"] * 2001}, "open_sessions"),
        ({"losses": {"spool_full": -1}}, "losses.spool_full"),
        ({"losses": {"spool_full": 2**60}}, "losses.spool_full"),
        ({"losses": {str(n): 1 for n in range(101)}}, "losses"),
        ({"sent_at": "now"}, "sent_at"),
        ({"capture_hash": "é"}, "capture_hash"),
        ({"spool": {"events": 1}}, "spool.bytes"),
        (
            {"spool": {"events": -1, "bytes": 0, "oldest_at": None, "dead_letters": 0}},
            "spool.events",
        ),
        (
            {"spool": {"events": 1, "bytes": 0, "oldest_at": "x", "dead_letters": 0}},
            "spool.oldest_at",
        ),
    ],
)
async def test_wrong_field_is_named(small: Poster, changes: dict[str, Any], field: str) -> None:
    status, answer = await small.post(PATH, a_heartbeat(**changes))
    assert (status, answer["code"]) == (422, "invalid_body")
    assert field in [error["field"] for error in answer["errors"]]
    assert await kept(small) == []


async def test_misspelt_field_is_told_with_the_nearest(small: Poster) -> None:
    _, answer = await small.post(PATH, a_heartbeat(open_session=[]))
    assert answer["errors"][0]["message"].endswith("the nearest one is open_sessions")


async def test_person_has_no_heartbeat(small: Poster) -> None:
    status, _ = await small.post(PATH, a_heartbeat(), token=small.under_test.owner)
    assert status == 401


async def test_heartbeat_writes_no_audit_event(small: Poster) -> None:
    await small.post(PATH, a_heartbeat())
    assert await small.rows() == []
