"""Rules tried on the days that were: what they would have told, bounded, and nothing is sent."""

from __future__ import annotations

from typing import Any

import pytest
from radar_audit_events.policy_wire import AlertRule
from radar_audit_hub.notify import previewing
from radar_audit_hub.notify.rules import Place
from radar_audit_hub.retention.policy import Floors

from tests.support.alerting import OPS, SHELLS, Alerting
from tests.support.hub_builder import ORG, HubUnderTest, events_of
from tests.support.log_rows import DAY_MS, NOW_MS, make_event
from tests.support.policy_agents import operator

PATH = f"/api/orgs/{ORG}/audit/policy/alerts/preview"


async def preview(hub: HubUnderTest, *rules: dict[str, Any], days: int = 7) -> list[Any]:
    """Return what the rules would have told."""
    answer = await hub.send("POST", PATH, json={"rules": list(rules), "days": days})
    assert answer.status == 200, answer.body
    found: list[Any] = answer.json["rules"]
    return found


async def spread(hub: HubUnderTest, days: int) -> None:
    """Store a terminal a day, each committed when it happened."""
    for age in reversed(range(days)):
        hub.clock.now_ms = NOW_MS - age * DAY_MS
        await hub.append(make_event(age, created_at_ms=hub.clock.now_ms))


async def test_preview_counts_what_a_rule_would_have_sent(any_hub: HubUnderTest) -> None:
    await any_hub.append(*events_of(14), make_event(99, action="pat.created"))
    throttled = {**SHELLS, "name": "few", "throttle": {"max": 3, "per_seconds": 3600}}
    digest = {**SHELLS, "name": "hourly", "digest_seconds": 3600}
    nothing = {**SHELLS, "name": "nothing", "query": "namespace:elsewhere"}
    plain, few, hourly, none = await preview(any_hub, SHELLS, throttled, digest, nothing)
    assert (plain["matched"], plain["would_have_sent"], plain["is_complete"]) == (14, 14, True)
    assert (few["would_have_sent"], few["suppressed"]) == (4, 11)
    assert hourly["would_have_sent"] == 1
    assert (none["matched"], none["would_have_sent"], none["samples"]) == (0, 0, [])
    assert len(plain["samples"]) == 5
    assert plain["samples"][0]["title"].startswith("alice@acme.com opened a terminal in")


async def test_preview_is_what_following_would_have_told(hub: HubUnderTest) -> None:
    alerting = Alerting(hub)
    rules = [
        SHELLS,
        {**SHELLS, "name": "third", "threshold": {"count": 3, "within_seconds": 60}},
        {**SHELLS, "name": "few", "throttle": {"max": 2, "per_seconds": 60}},
        {**SHELLS, "name": "pairs", "grouping": {"by": "actor", "wait_seconds": 60}},
    ]
    names = ["a@x.io", "b@x.io", "c@x.io", "d@x.io"]
    await alerting.put(
        *({**rule, "destinations": [f"to-{n}"]} for n, rule in enumerate(rules)),
        destinations=tuple(
            {"name": f"to-{n}", "email": {"to": [name]}} for n, name in enumerate(names)
        ),
    )
    for number in range(20):
        hub.clock.now_ms += 25_000
        await alerting.messages()
        await alerting.append(
            make_event(number, created_at_ms=hub.clock.now_ms, actor_user_id=f"user_{number % 2}")
        )
        await alerting.messages()
    for _ in range(20):
        hub.clock.now_ms += 25_000
        await alerting.messages()
    told = [row.rule for row in await alerting.stored()]
    found = await preview(hub, *rules)
    assert {one["name"]: one["would_have_sent"] for one in found} == {
        name: told.count(name) for name in ("shells", "third", "few", "pairs")
    }


async def test_preview_looks_at_the_days_asked_for(hub: HubUnderTest) -> None:
    await spread(hub, 20)
    counts = [(await preview(hub, SHELLS, days=days))[0]["matched"] for days in (1, 7, 30)]
    assert counts == [2, 8, 20]  # from a day ago to the millisecond on


async def test_preview_says_when_it_stopped_early(
    hub: HubUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    await hub.append(*events_of(40))
    monkeypatch.setattr(previewing, "MAX_MATCHED", 10)
    monkeypatch.setattr(previewing, "_PAGE_ROWS", 5)
    (found,) = await preview(hub, SHELLS)
    assert (found["matched"], found["is_complete"]) == (10, False)
    assert found["since"] > "2026"
    rule = AlertRule(name="shells", destinations=["ops"], actions=["pod.*"])
    (late,) = await previewing.preview(
        hub.hub.db,
        ORG,
        [rule],
        place=Place(owner_id="org", cluster_id=None),
        floors=Floors(0),
        days=7,
        now_ms=NOW_MS,
        max_seconds=0,
    )
    assert (late.matched, late.is_complete) == (0, False)


async def test_preview_confines_rules_to_a_place(hub: HubUnderTest) -> None:
    await hub.append(
        make_event(1),
        make_event(2, metadata={"namespace": "secret"}),
        make_event(3, cluster_id="cl_2", target_id="cl_2/payments/web-1"),
    )
    rule = AlertRule(name="all", destinations=["ops"], actions=["*"])
    (found,) = await previewing.preview(
        hub.hub.db,
        ORG,
        [rule],
        place=Place(owner_id="k", cluster_id="cl_1", only_namespace="payments"),
        floors=Floors(0),
        days=7,
        now_ms=NOW_MS + DAY_MS,
    )
    assert [sample.title for sample in found.samples] == [
        "alice@acme.com opened a terminal in payments/web-1 (cluster prod)"
    ]


async def test_query_of_as_many_terms_as_there_may_be_is_confined_all_the_same(
    hub: HubUnderTest,
) -> None:
    await hub.append(make_event(1), make_event(2, metadata={"namespace": "secret"}))
    rule = {"name": "many", "destinations": ["ops"], "query": " ".join(["e"] * 50)}
    order = {"rules": [rule], "days": 1, "only_namespace": "secret"}
    hub.clock.now_ms += 10_000
    answer = await hub.send("POST", PATH, json=order)
    assert answer.status == 200, answer.body
    assert answer.json["rules"][0]["matched"] == 1


@pytest.mark.parametrize(
    ("order", "code", "field"),
    [
        ({"rules": [SHELLS], "days": 31}, "invalid_body", "days"),
        ({"rules": [{**SHELLS, "query": "nope:x"}]}, "invalid_query", "rules[0].query"),
        (
            {"rules": [{**SHELLS, "actions": ["pod.exec_begun"]}]},
            "unknown_action",
            "rules[0].actions",
        ),
        ({"rules": [SHELLS, SHELLS]}, "invalid_body", "rules[1].name"),
    ],
)
async def test_mistakes_of_rules_are_named(
    hub: HubUnderTest, order: dict[str, Any], code: str, field: str
) -> None:
    answer = await hub.send("POST", PATH, json=order)
    assert (answer.status, answer.json["code"]) == (422, code)
    assert answer.json["errors"][0]["field"] == field


async def test_preview_changes_nothing(hub: HubUnderTest) -> None:
    alerting = Alerting(hub)
    await hub.append(*events_of(3))
    await preview(hub, SHELLS)
    assert await alerting.cursor() is None
    assert await alerting.messages() == []


async def test_trial_of_a_document_counts_what_it_would_have_sent(hub: HubUnderTest) -> None:
    agent = await operator(hub)
    await hub.append(*events_of(3), make_event(50, cluster_id="cl_2"))
    asked = {"destinations": [OPS], "rules": [SHELLS, {**SHELLS, "name": "none", "query": "zz"}]}
    answer = await agent.put(agent.owner(), dry_run=True, notifications=asked)
    assert answer.status == 200, answer.body
    assert answer.json["would_have_sent"] == {"shells": 3, "none": 0}
    stored = await agent.put(agent.owner(), notifications=asked)
    assert "would_have_sent" not in stored.json
