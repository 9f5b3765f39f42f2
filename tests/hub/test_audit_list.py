"""Pages of the log over HTTP, on both databases."""

from __future__ import annotations

from typing import Any

import pytest
from radar_audit_events.ids import format_ms

from tests.support.hub_builder import HubUnderTest, events_of, log_path
from tests.support.log_rows import DAY_MS, NOW_MS, make_event


async def test_page_shows_newest_first_in_public_form(any_hub: HubUnderTest) -> None:
    ids = await any_hub.append(*events_of(3))
    answer = await any_hub.get("")
    assert answer.status == 200
    assert answer.ids == ids[::-1]
    newest = answer.json["events"][0]
    assert list(newest) == [
        "id",
        "org_id",
        "actor_user_id",
        "actor_email",
        "action",
        "target_type",
        "target_id",
        "metadata",
        "created_at",
        "seq",
    ]
    assert newest["seq"] == 2
    assert newest["created_at"] == format_ms(NOW_MS)
    assert answer.json["next_cursor"] is None
    assert answer.json["visible_since"] == format_ms(NOW_MS - 365 * DAY_MS)
    assert "Link" not in answer.headers


async def test_cursor_walks_all_events_once_while_new_ones_arrive(any_hub: HubUnderTest) -> None:
    ids = await any_hub.append(*events_of(25))
    seen: list[str] = []
    params = {"limit": "10", "range": "24h"}
    for step in range(10):
        answer = await any_hub.get("", params=params)
        seen += answer.ids
        if answer.json["next_cursor"] is None:
            break
        any_hub.clock.now_ms += 3_600_000
        await any_hub.append(make_event(1000 + step, created_at_ms=any_hub.clock.now_ms))
        params = {**params, "cursor": answer.json["next_cursor"]}
    assert seen == ids[::-1]


async def test_relative_range_keeps_its_window_while_paging(hub: HubUnderTest) -> None:
    oldest = NOW_MS - DAY_MS + 1000
    ids = await hub.append(make_event(1, created_at_ms=oldest), *events_of(2))
    first = await hub.get("", params={"limit": "2", "range": "24h"})
    hub.clock.now_ms += 5000  # by now the oldest one is older than 24 h
    rest = await hub.get(
        "", params={"limit": "2", "range": "24h", "cursor": first.json["next_cursor"]}
    )
    assert rest.ids == ids[:1]
    assert (await hub.get("", params={"range": "24h"})).ids == ids[:0:-1]


async def test_link_header_leads_to_the_next_page(hub: HubUnderTest) -> None:
    ids = await hub.append(*events_of(3))
    first = await hub.get("", params={"limit": "2", "q": 'pod:"web-1"'})
    link = first.headers["Link"]
    assert link.endswith('>; rel="next"')
    second = await hub.get(link[1:].partition(">")[0])
    assert second.ids == ids[:1]


@pytest.fixture
async def mixed(any_hub: HubUnderTest) -> dict[str, str]:
    """Five different events; returns their ids by a short name."""
    events = {
        "exec": make_event(1),
        "ended": make_event(2, action="pod.exec_ended", actor_email="bob@acme.com"),
        "created": make_event(3, action="cluster.created", actor_user_id="user_carol"),
        "invited": make_event(
            4, action="org_invitation.created", target_id="inv_1", actor_user_id="Dave Doe"
        ),
        "old": make_event(5, created_at_ms=NOW_MS - 8 * DAY_MS, target_id="cl_2/a/b"),
    }
    ids = await any_hub.append(*events.values())
    return dict(zip(events, ids, strict=True))


@pytest.mark.parametrize(
    ("params", "found"),
    [
        ([("action", "pod.exec_started")], {"exec", "old"}),
        ([("action", "pod.*")], {"exec", "ended", "old"}),
        ([("action", "exec")], {"exec", "ended", "old"}),
        ([("action", "nothing-like-it")], set()),
        ([("action", "created"), ("action", "pod.exec_ended")], {"created", "invited", "ended"}),
        ([("target_type", "cluster"), ("target_type", "org_invitation")], {"created", "invited"}),
        ([("actor", "BOB@acme.com")], {"ended"}),
        ([("actor", "user_carol")], {"created"}),
        ([("actor", "Dave Doe")], {"invited"}),
        ([("target", "inv_1")], {"invited"}),
        ([("target", "cl_2/*")], {"old"}),
        ([("range", "7d")], {"exec", "ended", "created", "invited"}),
        ([("range", "30d")], {"exec", "ended", "created", "invited", "old"}),
        ([("to", format_ms(NOW_MS - 7 * DAY_MS))], {"old"}),
        ([("from", format_ms(NOW_MS + 3000)), ("to", format_ms(NOW_MS + 4000))], {"created"}),
        ([("q", "-action:pod.* -target:inv_1")], {"created"}),
        ([("q", "namespace:pay*"), ("actor", "bob@acme.com")], {"ended"}),
        ([("q", "carol")], {"created"}),
    ],
)
async def test_each_parameter_filters(
    any_hub: HubUnderTest, mixed: dict[str, str], params: list[tuple[str, str]], found: set[str]
) -> None:
    any_hub.clock.now_ms += 10_000
    answer = await any_hub.get("", params=params)
    assert answer.status == 200
    assert set(answer.ids) == {mixed[name] for name in found}


async def test_include_adds_the_time_of_storing(hub: HubUnderTest) -> None:
    await hub.append(make_event(0, created_at_ms=NOW_MS - DAY_MS))
    page = await hub.get("", params={"include": "recorded_at"})
    event = page.json["events"][0]
    assert event["recorded_at"] == format_ms(NOW_MS)
    one = await hub.get(event["id"], params={"include": "recorded_at"})
    assert one.json == event


async def test_one_event_is_shown_unwrapped(any_hub: HubUnderTest) -> None:
    (event_id,) = await any_hub.append(make_event(0))
    page = await any_hub.get("")
    one = await any_hub.get(event_id)
    assert one.status == 200
    assert one.json == page.json["events"][0]


@pytest.mark.parametrize("event_id", ["ae_01ARZ3NDEKTSV4RRFFQ69G5FAV", "ae_x", "nope", "%00"])
async def test_unknown_event_is_not_found(hub: HubUnderTest, event_id: str) -> None:
    answer = await hub.get(event_id)
    assert (answer.status, answer.json["code"]) == (404, "not_found")


async def test_event_of_another_org_is_not_found(hub: HubUnderTest) -> None:
    await hub.add_org("org_other")
    stranger = await hub.add_person("org_other")
    (event_id,) = await hub.append(make_event(0))
    answer = await hub.get(log_path("org_other", event_id), token=stranger)
    assert answer.status == 404


async def test_facets_count_the_filter(any_hub: HubUnderTest) -> None:
    await any_hub.append(
        make_event(1),
        make_event(2, actor_email="bob@acme.com"),
        make_event(3, action="org.created", actor_email=None),
    )
    answer = await any_hub.get("facets", params={"target_type": "pod"})
    assert answer.json == {
        "actions": [{"value": "pod.exec_started", "count": 2}],
        "actors": sorted(answer.json["actors"], key=lambda a: -a["count"]),
        "target_types": [{"value": "pod", "count": 2}],
        "total": 2,
        "total_capped": False,
        "complete": True,
    }
    everybody = await any_hub.get("facets")
    actors: list[dict[str, Any]] = everybody.json["actors"]
    assert {a["value"] for a in actors} == {"alice@acme.com", "bob@acme.com", "user_alice"}


async def test_schema_of_an_action_is_public(hub: HubUnderTest) -> None:
    answer = await hub.get("/api/schemas/audit/pod.exec_started", token=None)
    assert answer.status == 200
    assert answer.json["x-action"] == "pod.exec_started"
    assert (await hub.get("/api/schemas/audit/pod.nope", token=None)).status == 404
