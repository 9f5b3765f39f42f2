"""Agents as people see them: by their last heartbeats, and how far an upgrade of them is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from radar_audit_events.ids import format_ms
from radar_audit_hub.clusters import handlers
from radar_audit_hub.clusters.agents import CONNECTED_MS, UPGRADE_DEADLINE_MS

from tests.support.collector_posts import CLUSTER, Poster, a_heartbeat, posting
from tests.support.hub_builder import ORG
from tests.support.log_rows import NOW_MS

ONE = f"/api/orgs/{ORG}/clusters/{CLUSTER}"
BEAT = "/api/agent/heartbeat"


@pytest.fixture
async def collector(database_url: str) -> AsyncIterator[Poster]:
    async with posting(database_url) as poster:
        yield poster


@pytest.fixture
async def small(sqlite_url: str) -> AsyncIterator[Poster]:
    async with posting(sqlite_url) as poster:
        yield poster


async def beat(poster: Poster, **changes: Any) -> Any:
    status, answer = await poster.post(BEAT, a_heartbeat(**changes))
    assert status == 200, answer
    return answer["upgrade"]


async def shown(poster: Poster) -> dict[str, Any]:
    found: dict[str, Any] = (await poster.under_test.get(ONE)).json
    return found


async def ask(poster: Poster, version: str = "0.2.0") -> Any:
    answer = await poster.under_test.send("POST", f"{ONE}/upgrade-agent", json={"version": version})
    return answer.json if answer.status == 200 else answer.status


async def requested(poster: Poster) -> list[dict[str, Any]]:
    query = "?action=cluster.agent.upgrade_requested"
    return [event["metadata"] for event in (await poster.under_test.get(query)).json["events"]]


async def test_last_heartbeat_is_shown_and_how_old_it_may_be(collector: Poster) -> None:
    await beat(collector)
    collector.under_test.clock.now_ms += CONNECTED_MS
    agent = (await shown(collector))["agent"]
    assert agent == {
        "status": "connected",
        "last_seen_at": format_ms(NOW_MS),
        "collectors_total": 1,
        "collectors": [
            {
                "collector_id": "c-1",
                "instance_id": "i-1",
                "status": "connected",
                "version": "0.1.0",
                "sources": ["logfile"],
                "spool": {
                    "events": 2,
                    "bytes": 900,
                    "oldest_at": format_ms(NOW_MS),
                    "dead_letters": 0,
                },
                "losses": {"spool_full": 3},
                "open_sessions": 2,
                "first_seen_at": format_ms(NOW_MS),
                "last_seen_at": format_ms(NOW_MS),
            }
        ],
    }
    collector.under_test.clock.now_ms += 1
    await beat(collector, collector_id="c-2")
    agent = (await shown(collector))["agent"]
    assert agent["status"] == "connected"
    assert [(c["collector_id"], c["status"]) for c in agent["collectors"]] == [
        ("c-2", "connected"),
        ("c-1", "stale"),
    ]


async def test_list_shows_the_most_recent_collectors_of_each_cluster(
    collector: Poster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handlers, "SHOWN_IN_LISTS", 2)
    hub = collector.under_test
    await hub.add_cluster(cluster_id="cl_2")
    for number in range(3):
        hub.clock.now_ms += 1
        await beat(collector, collector_id=f"c-{number}")
    first, second = (await hub.get(f"/api/orgs/{ORG}/clusters")).json["clusters"]
    assert [c["collector_id"] for c in first["agent"]["collectors"]] == ["c-2", "c-1"]
    assert first["agent"]["collectors_total"] == 3
    assert second["agent"]["status"] == "never"


async def test_cluster_agent_upgrade_requested_row_is_written(collector: Poster) -> None:
    await beat(collector)
    pending = {
        "version": "0.2.0",
        "state": "pending",
        "requested_at": format_ms(NOW_MS),
        "seen_at": None,
        "ended_at": None,
        "failure": None,
    }
    assert await ask(collector) == pending
    assert await requested(collector) == [
        {"current_version": "0.1.0", "requested_version": "0.2.0", "via_pat": "token 1"}
    ]
    assert (await shown(collector))["upgrade"] == pending
    assert await ask(collector) == pending  # the same again
    assert len(await requested(collector)) == 1


async def test_upgrade_is_delivered_until_all_connected_collectors_have_it(
    collector: Poster,
) -> None:
    clock = collector.under_test.clock
    await beat(collector)
    await beat(collector, collector_id="c-2")
    await ask(collector)
    assert await beat(collector) == "0.2.0"
    clock.now_ms += 1000
    assert await beat(collector, upgrade={"version": "0.2.0"}) == "0.2.0"
    assert (await shown(collector))["upgrade"]["seen_at"] == format_ms(clock.now_ms)
    assert await beat(collector, version="0.2.0", instance_id="i-2") is None
    assert (await shown(collector))["upgrade"]["state"] == "pending"  # c-2 is behind
    assert await beat(collector, collector_id="c-2") == "0.2.0"
    clock.now_ms += 1000
    await beat(collector, collector_id="c-2", version="0.2.0")
    upgrade = (await shown(collector))["upgrade"]
    assert (upgrade["state"], upgrade["ended_at"]) == ("done", format_ms(clock.now_ms))
    assert await ask(collector) == 409  # nothing is left to be upgraded


async def test_collector_that_is_gone_holds_up_no_upgrade(small: Poster) -> None:
    await beat(small, collector_id="old-pod")
    await ask(small)
    small.under_test.clock.now_ms += CONNECTED_MS + 1
    await beat(small, collector_id="new-pod", version="0.2.0")
    assert (await shown(small))["upgrade"]["state"] == "done"


async def test_reported_failure_ends_the_upgrade(small: Poster) -> None:
    await beat(small)
    await ask(small)
    stale = {"version": "0.1.9", "failure": "no such image"}
    assert await beat(small, upgrade=stale) == "0.2.0"
    failed = {"version": "0.2.0", "failure": "no such image"}
    assert await beat(small, upgrade=failed) is None
    upgrade = (await shown(small))["upgrade"]
    assert (upgrade["state"], upgrade["failure"]) == ("failed", "no such image")
    assert upgrade["ended_at"] == format_ms(NOW_MS)
    assert (await ask(small))["state"] == "pending"  # asked for anew
    assert len(await requested(small)) == 2


async def test_upgrade_that_takes_too_long_has_failed(small: Poster) -> None:
    await beat(small)
    await ask(small)
    small.under_test.clock.now_ms += UPGRADE_DEADLINE_MS
    assert await beat(small) == "0.2.0"
    small.under_test.clock.now_ms += 1
    assert await beat(small) is None
    upgrade = (await shown(small))["upgrade"]
    assert (upgrade["state"], upgrade["ended_at"]) == (
        "failed",
        format_ms(NOW_MS + UPGRADE_DEADLINE_MS),
    )
    assert "within an hour" in upgrade["failure"]


async def test_upgrade_of_a_cluster_that_was_never_heard_of_waits(small: Poster) -> None:
    assert (await ask(small))["state"] == "pending"
    (metadata,) = await requested(small)
    assert metadata["current_version"] is None
    assert await beat(small) == "0.2.0"


async def test_wrong_report_is_refused(small: Poster) -> None:
    reports: list[tuple[dict[str, Any], str]] = [
        ({"version": "a b"}, "upgrade.version"),
        ({"version": "1", "failure": ""}, "upgrade.failure"),
        ({"version": "1", "failure": "x" * 301}, "upgrade.failure"),
        ({"version": "1", "why": "x"}, "upgrade.why"),
    ]
    for report, field in reports:
        status, answer = await small.post(BEAT, a_heartbeat(upgrade=report))
        assert (status, [error["field"] for error in answer["errors"]]) == (422, [field])
