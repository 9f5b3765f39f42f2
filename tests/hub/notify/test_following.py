"""Alert rules follow the log: from where on, by which document, and what becomes a message."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from radar_audit_hub.notify.following import step
from radar_audit_hub.notify.following.forgetting import forget_counted
from radar_audit_hub.notify.following.job import run_forever
from radar_audit_hub.store.notify_following import all_memories, replace_memory

from tests.support.alerting import OPS, SHELLS, Alerting, told
from tests.support.hub_builder import ORG, HubUnderTest
from tests.support.log_rows import DAY_MS, make_event
from tests.support.policy_agents import operator

LOGS = {"name": "logs", "email": {"to": ["logs@acme.com"]}}


@pytest.fixture
def alerting(hub: HubUnderTest) -> Alerting:
    """A hub over SQLite whose log is followed by hand."""
    return Alerting(hub)


async def test_event_of_a_rule_is_one_message_and_others_are_none(any_hub: HubUnderTest) -> None:
    alerting = Alerting(any_hub)
    await alerting.put(SHELLS)
    shell, _, other = await alerting.append(
        make_event(1), make_event(2, action="pat.created"), make_event(3)
    )
    contents = await alerting.contents()
    assert told(contents) == [shell, other] or told(contents) == [other, shell]
    first = next(content for content in contents if content.events[0]["id"] == shell)
    assert first.title == "alice@acme.com opened a terminal in payments/web-1 (cluster prod)"
    assert (first.kind, first.rule, first.owner_id, first.total) == ("event", "shells", "org", 1)
    assert first.path == f"/orgs/{ORG}/activity/{shell}"
    assert len(await alerting.messages()) == 2


async def test_org_without_active_rules_is_not_followed(alerting: Alerting) -> None:
    await alerting.append(make_event(1))
    assert await alerting.cursor() is None
    await alerting.put({**SHELLS, "suspended": True})
    assert await alerting.cursor() is None
    await alerting.put(SHELLS)
    assert await alerting.cursor() is not None
    await alerting.put()
    assert await alerting.cursor() is None


async def test_first_rule_begins_at_the_head_of_the_log(alerting: Alerting) -> None:
    await alerting.append(make_event(1), make_event(2))
    await alerting.put(SHELLS)
    (late,) = await alerting.append(make_event(3))
    assert told(await alerting.contents()) == [late]


async def test_document_in_force_at_judging_time_counts(alerting: Alerting) -> None:
    await alerting.put(SHELLS)
    await alerting.append(make_event(1))
    await alerting.put({**SHELLS, "query": "namespace:elsewhere"})
    assert await alerting.messages() == []
    await alerting.put({**SHELLS, "query": "namespace:elsewhere", "severity": "critical"})
    (found,) = await alerting.append(make_event(2, metadata={"namespace": "elsewhere"}))
    (row,) = await alerting.messages()
    assert row.severity == "critical"
    assert found in row.payload


async def test_new_destination_of_a_rule_is_not_told_what_was_before(alerting: Alerting) -> None:
    await alerting.put(SHELLS)
    (early,) = await alerting.append(make_event(1))
    await alerting.put({**SHELLS, "destinations": ["ops", "logs"]}, destinations=(OPS, LOGS))
    (late,) = await alerting.append(make_event(2))
    assert sorted(told(await alerting.contents())) == sorted([early, late, late])


async def test_resumed_rule_is_not_told_what_was_while_it_was_suspended(
    alerting: Alerting,
) -> None:
    other = {"name": "tokens", "actions": ["pat.*"], "destinations": ["ops"]}
    await alerting.put({**SHELLS, "suspended": True}, other)
    await alerting.append(make_event(1))
    await alerting.put(SHELLS, other)
    (late,) = await alerting.append(make_event(2))
    assert told(await alerting.contents()) == [late]


async def test_one_receiver_is_told_an_event_once_with_the_highest_severity(
    alerting: Alerting,
) -> None:
    again = {**SHELLS, "name": "again", "severity": "critical", "destinations": ["same"]}
    await alerting.put(SHELLS, again, destinations=(OPS, {**OPS, "name": "same"}))
    await alerting.append(make_event(1))
    (row,) = await alerting.messages()
    assert (row.severity, row.rule) == ("critical", "again")


async def test_mutes_and_the_floor_of_a_destination_hold_back(alerting: Alerting) -> None:
    until = "2100-01-01T00:00:00Z"
    await alerting.put(
        {**SHELLS, "destinations": ["loud", "muted", "ops"]},
        {**SHELLS, "name": "mute", "muted_until": until},
        destinations=(
            {**OPS, "email": {"to": ["a@acme.com"]}},
            {"name": "loud", "min_severity": "warning", "email": {"to": ["b@acme.com"]}},
            {"name": "muted", "muted_until": until, "email": {"to": ["c@acme.com"]}},
        ),
    )
    await alerting.append(make_event(1))
    (row,) = await alerting.messages()
    assert row.rule == "shells"


async def test_expired_event_is_not_told(alerting: Alerting) -> None:
    await alerting.put(SHELLS)
    old, young = await alerting.append(
        make_event(1, created_at_ms=alerting.hub.clock.now_ms - 366 * DAY_MS), make_event(2)
    )
    assert told(await alerting.contents()) == [young]
    assert old != young


async def test_threshold_tells_once_for_all_that_reached_it(alerting: Alerting) -> None:
    rule = {**SHELLS, "threshold": {"count": 3, "within_seconds": 600, "by": "actor"}}
    await alerting.put(rule)
    await alerting.append(make_event(1), make_event(2, actor_user_id="user_bob"), make_event(3))
    assert await alerting.messages() == []
    alerting.hub.clock.now_ms += 1000
    await alerting.append(make_event(4), make_event(5))
    (content,) = await alerting.contents()
    assert (content.total, len(content.events)) == (3, 3)
    assert content.title.startswith("3 events of the rule shells; the last one: alice@acme.com")


async def test_digest_waits_for_its_end_and_is_one_message(alerting: Alerting) -> None:
    await alerting.put({**SHELLS, "digest_seconds": 3600})
    ids = await alerting.append(*(make_event(n) for n in range(30)))
    assert await alerting.messages() == []
    assert await alerting.waiting() == 1
    alerting.hub.clock.now_ms += 3600_000
    (content,) = await alerting.contents()
    assert (content.kind, content.total) == ("digest", 30)
    assert told([content]) == ids[-20:]
    assert await alerting.waiting() == 0


async def test_throttle_tells_the_rest_as_a_sum(alerting: Alerting) -> None:
    await alerting.put({**SHELLS, "throttle": {"max": 2, "per_seconds": 300}})
    await alerting.append(*(make_event(n) for n in range(5)))
    assert len(await alerting.messages()) == 2
    alerting.hub.clock.now_ms += 300_000
    rows = await alerting.contents()
    assert [(c.kind, c.total, c.suppressed) for c in rows if c.kind == "digest"] == [
        ("digest", 3, 3)
    ]
    assert len(rows) == 3


async def test_group_is_one_message_for_each_key(alerting: Alerting) -> None:
    await alerting.put({**SHELLS, "grouping": {"by": "actor", "wait_seconds": 60}})
    await alerting.append(*(make_event(n, actor_user_id=f"user_{n % 2}") for n in range(6)))
    assert (await alerting.messages(), await alerting.waiting()) == ([], 2)
    alerting.hub.clock.now_ms += 60_000
    assert [content.total for content in await alerting.contents()] == [3, 3]


async def test_what_waits_for_a_rule_that_is_no_more_is_not_told(alerting: Alerting) -> None:
    other = {"name": "tokens", "actions": ["pat.*"], "destinations": ["ops"]}
    await alerting.put({**SHELLS, "digest_seconds": 3600}, other)
    await alerting.append(make_event(1))
    assert await alerting.messages() == []
    await alerting.put(other)
    alerting.hub.clock.now_ms += 3600_000
    assert (await alerting.messages(), await alerting.waiting()) == ([], 0)


async def test_owner_of_a_cluster_is_told_of_its_own_cluster_alone(alerting: Alerting) -> None:
    agent = await operator(alerting.hub)
    asked = {"destinations": [OPS], "rules": [SHELLS]}
    answer = await agent.put(agent.owner(), notifications=asked)
    assert answer.status == 200, answer.body
    mine, _ = await alerting.append(make_event(1), make_event(2, cluster_id="cl_2"))
    assert told(await alerting.contents()) == [mine]


async def test_grant_to_a_namespace_confines_its_rules(alerting: Alerting) -> None:
    agent = await operator(alerting.hub)
    rule = {"name": "all", "query": "web", "destinations": ["ops"]}
    asked = {"destinations": [OPS], "rules": [rule], "only_namespace": "payments"}
    assert (await agent.put(agent.owner(), notifications=asked)).status == 200
    mine, _ = await alerting.append(make_event(1), make_event(2, metadata={"namespace": "secret"}))
    assert told(await alerting.contents()) == [mine]


async def test_namespace_of_another_cluster_is_another_namespace(alerting: Alerting) -> None:
    agent = await operator(alerting.hub, speaks_for_org=True)
    asked = {"destinations": [OPS], "rules": [SHELLS], "only_namespace": "payments"}
    put: dict[str, Any] = {"scope": "organization", "notifications": asked}
    assert (await agent.put(agent.owner(), **put)).status == 200
    mine, _ = await alerting.append(
        make_event(1), make_event(2, cluster_id="cl_2", target_id="cl_2/payments/web-1")
    )
    assert told(await alerting.contents()) == [mine]
    tried = await agent.put(agent.owner(), 2, dry_run=True, **put)
    assert tried.json["would_have_sent"] == {"shells": 1}


async def test_commit_wakes_the_job_and_that_the_channels(alerting: Alerting) -> None:
    await alerting.put(SHELLS)
    job = asyncio.create_task(run_forever(alerting.hub.hub))
    try:
        await alerting.append(make_event(1))
        await alerting.hub.hub.deliveries.wait(30)
        assert len(await alerting.stored()) == 1
    finally:
        job.cancel()
        await asyncio.gather(job, return_exceptions=True)


async def test_deleted_org_is_followed_no_longer(alerting: Alerting) -> None:
    await alerting.put(SHELLS)
    await alerting.append(make_event(1))
    answer = await alerting.hub.send("DELETE", f"/api/orgs/{ORG}")
    assert answer.status in (200, 204), answer.body
    assert await alerting.messages() == []
    assert await alerting.cursor() is None


async def test_failure_of_one_org_delays_no_other(
    alerting: Alerting, monkeypatch: pytest.MonkeyPatch
) -> None:
    await alerting.put(SHELLS)
    await alerting.hub.add_org("org_bad")
    bad = await alerting.hub.add_person("org_bad")
    asked = {"destinations": [OPS], "rules": [SHELLS]}
    path = "/api/orgs/org_bad/audit/policy"
    answer = await alerting.hub.send("PUT", path, token=bad, json={"notifications": asked})
    assert answer.status == 200, answer.body
    await alerting.hub.append(make_event(1), org_id="org_bad")
    await alerting.append(make_event(2))
    real = vars(step)["get_cursor"]

    async def fail(conn: Any, org_id: str) -> Any:
        if org_id == "org_bad":
            raise ArithmeticError
        return await real(conn, org_id)

    monkeypatch.setattr(step, "get_cursor", fail)
    assert len(await alerting.messages()) == 1
    monkeypatch.undo()
    assert len(await alerting.messages()) == 1  # it rests
    alerting.follower._resting.clear()  # half a minute later
    assert len(await alerting.messages()) == 2


async def test_step_is_made_anew_when_a_document_changes_meanwhile(
    alerting: Alerting, monkeypatch: pytest.MonkeyPatch
) -> None:
    await alerting.put(SHELLS)
    await alerting.append(make_event(1))
    real = vars(step)["rules_due"]

    async def edit_first(*args: Any) -> Any:
        monkeypatch.undo()
        await alerting.put({**SHELLS, "severity": "critical"})
        return await real(*args)

    monkeypatch.setattr(step, "rules_due", edit_first)
    (row,) = await alerting.messages()
    assert row.severity == "critical"


async def test_gauge_says_how_many_events_wait(alerting: Alerting) -> None:
    await alerting.put(SHELLS)
    await alerting.messages()
    await alerting.append(make_event(1), make_event(2))
    await alerting.follower.measure()
    metrics = alerting.hub.hub.metrics.registry
    assert metrics.get_sample_value("radar_audit_hub_notify_behind_events") == 2
    await alerting.messages()
    assert metrics.get_sample_value("radar_audit_hub_notify_messages_total", {"kind": "event"}) == 2


async def test_whom_a_threshold_counted_is_forgotten_a_day_after_the_last_event(
    any_hub: HubUnderTest,
) -> None:
    alerting, db, clock = Alerting(any_hub), any_hub.hub.db, any_hub.clock
    limit = {"count": 3, "within_seconds": 86_400, "by": "actor"}
    await alerting.put({**SHELLS, "threshold": limit})
    await alerting.append(make_event(1), make_event(2, actor_user_id="user_bob"))
    assert await alerting.messages() == []
    clock.now_ms += DAY_MS - 1000
    await alerting.append(make_event(3, actor_user_id="user_bob"))
    assert await alerting.messages() == []
    assert await forget_counted(db, clock.now_ms) == 0
    async with db.read() as conn:
        ((rule, before),) = (await all_memories(conn, ORG)).items()
    assert "user_alice" in before
    clock.now_ms += 1000
    assert await forget_counted(db, clock.now_ms) == 1
    async with db.read() as conn:
        ((_, after),) = (await all_memories(conn, ORG)).items()
    assert ("user_alice" in after, "user_bob" in after) == (False, True)
    async with db.write() as conn:
        assert not await replace_memory(conn, ORG, rule, before, None), "a step came between"
    await alerting.follower.forget()
    clock.now_ms += DAY_MS
    assert await forget_counted(db, clock.now_ms) == 1
    assert await alerting.remembered() == 0
    await alerting.append(*(make_event(n) for n in range(5, 8)))
    assert len(await alerting.contents()) == 1
