"""Radar's own kinds become messages by the same rules, once each, and not in quiet hours."""

from __future__ import annotations

from typing import Any

from radar_audit_hub.changes import changing_by_itself
from radar_audit_hub.notify.content import decode
from radar_audit_hub.notify.kinds_messages import tell_kind

from tests.support.alerting import OPS, Alerting
from tests.support.hub_builder import ORG, HubUnderTest
from tests.support.log_rows import NOW_MS
from tests.support.policy_agents import operator

KIND = "cluster.disconnected"
GONE: dict[str, Any] = {"name": "gone", "kinds": [KIND], "destinations": ["ops"]}


async def tell(hub: HubUnderTest, key: str = "cl_1:1", cluster_id: str | None = "cl_1") -> int:
    """Tell that a cluster is gone."""
    async with changing_by_itself(hub.hub) as change:
        return await tell_kind(
            change,
            ORG,
            KIND,
            {"cluster_name": "prod"},
            key,
            title="The cluster prod is disconnected",
            cluster_id=cluster_id,
        )


async def test_notice_is_one_message_with_its_facts(any_hub: HubUnderTest) -> None:
    alerting = Alerting(any_hub)
    await alerting.put(GONE)
    assert [await tell(any_hub), await tell(any_hub)] == [1, 0]
    counted = any_hub.hub.metrics.registry.get_sample_value
    assert counted("radar_audit_hub_notify_messages_total", {"kind": "notice"}) == 1
    (row,) = await alerting.messages()
    content = decode(row.payload)
    assert (content.kind, content.notice_kind) == ("notice", KIND)
    assert (content.title, content.facts) == (
        "The cluster prod is disconnected",
        {"cluster_name": "prod"},
    )
    assert row.due_at == NOW_MS


async def test_org_without_a_rule_of_the_kind_is_told_nothing(hub: HubUnderTest) -> None:
    assert await tell(hub) == 0
    await Alerting(hub).put({**GONE, "kinds": ["billing.payment_failed"]})
    assert await tell(hub) == 0


async def test_rule_of_kinds_alone_selects_no_event(hub: HubUnderTest) -> None:
    alerting = Alerting(hub)
    await alerting.put(GONE)  # which is itself an event of the log
    await alerting.put({**GONE, "severity": "warning"})
    assert await alerting.messages() == []


async def test_notice_waits_for_the_end_of_quiet_hours(hub: HubUnderTest) -> None:
    quiet = {"from_time": "00:00", "to_time": "23:59", "time_zone": "UTC"}
    alerting = Alerting(hub)
    await alerting.put({**GONE, "quiet_hours": quiet})
    await tell(hub)
    (row,) = await alerting.messages()
    assert row.due_at % 86_400_000 == (23 * 60 + 59) * 60_000
    await alerting.put({**GONE, "quiet_hours": quiet, "severity": "critical"})
    await tell(hub, "cl_1:2")
    assert min(row.due_at for row in await alerting.messages()) == NOW_MS


async def test_owner_of_a_cluster_is_told_of_its_own(hub: HubUnderTest) -> None:
    agent = await operator(hub)
    asked = {"destinations": [OPS], "rules": [GONE]}
    assert (await agent.put(agent.owner(), notifications=asked)).status == 200
    told = [await tell(hub, f"{name}:1", name) for name in ("cl_1", "cl_2", None)]
    assert told == [1, 0, 0]
