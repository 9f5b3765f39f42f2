"""Retention is exact on every read path, before any purge, on both databases."""

from __future__ import annotations

import csv
import io
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from radar_audit_events.ids import format_ms
from radar_audit_hub.retention.policy import PLAN_DAYS
from radar_audit_hub.store.collectors import GapRow, save_gaps

from tests.support.hub_builder import HubUnderTest, log_path
from tests.support.log_rows import DAY_MS, NOW_MS, make_event

Ask = Callable[..., Awaitable[Any]]
# A filter of each kind takes another way through the store.
FILTERS: list[dict[str, str]] = [
    {},
    {"action": "pod.*"},
    {"action": "pod.exec_started"},
    {"actor": "alice@acme.com"},
    {"q": "web-1"},
    {"q": "pod:web-1"},
    {"target": "cl_1/*"},
    {"to": format_ms(NOW_MS + DAY_MS)},
]


async def tail_ids(hub: HubUnderTest, path: str, token: str, wanted: int) -> list[str]:
    """Return the events that a live tail sends until `wanted` have come and it is idle."""
    headers = {"Accept": "text/event-stream", "Authorization": f"Bearer {token}"}
    found: list[str] = []
    async with hub.client.get(hub.url + path, headers=headers) as response:
        while len(found) < wanted:
            line = (await response.content.readline()).decode()
            if line.startswith("data: "):
                found.append(line)
    return found


@pytest.mark.parametrize("plan", ["free", "team", "enterprise"])
async def test_event_past_the_plans_age_is_nowhere_from_the_first_second(
    any_hub: HubUnderTest, plan: str
) -> None:
    org_id = f"org_{plan}"
    await any_hub.add_org(org_id, plan)
    token = await any_hub.add_person(org_id)
    age_ms = PLAN_DAYS[plan] * DAY_MS
    past, edge, young = (
        make_event(n, created_at_ms=NOW_MS - age_ms + shift, org_id=org_id)
        for n, shift in enumerate((-1000, 0, 1000))
    )
    gone_id, edge_id, young_id = await any_hub.append(past, edge, young, org_id=org_id)
    seen = [young_id, edge_id]

    async def ask(below: str = "", **params: str) -> Any:
        return await any_hub.get(log_path(org_id, below), token=token, params=params)

    assert (await ask()).json["visible_since"] == format_ms(NOW_MS - age_ms)
    for params in FILTERS:
        await check_filter(ask, params, seen)
    assert (await ask(gone_id)).status == 404
    assert (await ask(edge_id)).status == 200
    follow = await ask("follow", wait="0")
    assert [e["id"] for e in follow.lines] == seen[::-1]
    tailed = await tail_ids(any_hub, log_path(org_id, "follow"), token, 2)
    assert gone_id not in "".join(tailed)

    any_hub.clock.now_ms += 1000  # a second later the one at the edge is too old as well
    assert (await ask()).ids == [young_id]
    assert (await ask(edge_id)).status == 404
    assert (await ask("facets")).json["total"] == 1


async def check_filter(ask: Ask, params: dict[str, str], seen: list[str]) -> None:
    """Ask a filter for pages, exports and counts: each shows `seen` and no more."""
    assert (await ask(**params)).ids == seen
    paged = await ask(**params, limit="1")
    rest = await ask(**params, limit="1", cursor=paged.json["next_cursor"])
    assert paged.ids + rest.ids == seen
    assert rest.json["next_cursor"] is None
    table = await ask(**params, format="csv")
    rows = csv.DictReader(io.StringIO(table.body.decode(), newline=""))
    assert [row["id"] for row in rows] == seen
    assert table.headers.get("Radar-Audit-Estimated-Rows", "2") == "2"
    lines = await ask(**params, format="ndjson")
    assert [e["id"] for e in lines.lines] == seen
    follow = await ask("follow", **params, wait="0")
    assert [e["id"] for e in follow.lines] == seen[::-1]
    facets = (await ask("facets", **params)).json
    assert (facets["total"], facets["actions"][0]["count"]) == (2, 2)
    assert facets["actors"] == [{"value": "alice@acme.com", "count": 2}]


async def test_gap_recorded_before_the_plans_age_is_not_shown(any_hub: HubUnderTest) -> None:
    await any_hub.add_org("org_free", "free")
    token = await any_hub.add_person("org_free")
    floor_ms = NOW_MS - 7 * DAY_MS
    gaps = [
        GapRow(
            org_id="org_free",
            cluster_id="cl_1",
            gap_id=f"gap{at_ms - floor_ms}",
            collector_id="c-0",
            from_at_ms=floor_ms - 9000,
            to_at_ms=floor_ms - 5000,
            count=3,
            reason="spool_full",
            recorded_at_ms=at_ms,
        )
        for at_ms in (floor_ms - 1000, floor_ms, floor_ms + 1000)
    ]
    async with any_hub.hub.db.write() as connection:
        await save_gaps(connection, gaps)
    answer = await any_hub.get(log_path("org_free", "gaps"), token=token)
    assert {gap["gap_id"] for gap in answer.json["gaps"]} == {"gap0", "gap1000"}
    assert answer.json["gaps"][0]["from_time"] == format_ms(floor_ms - 9000)
    assert list(answer.json["gaps"][0]) == [
        "gap_id",
        "cluster_id",
        "collector_id",
        "from_time",
        "to_time",
        "count",
        "reason",
        "recorded_at",
    ]


async def test_cursor_from_before_an_event_expired_does_not_show_it(any_hub: HubUnderTest) -> None:
    age_ms = PLAN_DAYS["enterprise"] * DAY_MS
    old = make_event(1, created_at_ms=NOW_MS - age_ms)
    await any_hub.append(old, make_event(2))
    cursor = (await any_hub.get("", params={"limit": "1"})).json["next_cursor"]
    any_hub.clock.now_ms += 1
    answer = await any_hub.get("", params={"limit": "1", "cursor": cursor})
    assert (answer.status, answer.ids) == (200, [])
