"""Two owners that lead to one receiver: neither can keep from it what the other would tell."""

from __future__ import annotations

from typing import Any

from radar_audit_hub.changes import changing_by_itself
from radar_audit_hub.notify.kinds_messages import tell_kind
from radar_audit_hub.store.notify_attempts import disable
from radar_audit_hub.store.schema_notify import notify_destination
from sqlalchemy import select

from tests.support.alerting import OPS, SHELLS, Alerting
from tests.support.hub_builder import ORG, HubUnderTest
from tests.support.log_rows import make_event
from tests.support.policy_agents import operator

# What somebody with an AuditPolicy in a namespace of a cluster may ask for, who knows the address.
LOUDER = {**SHELLS, "name": "louder", "severity": "critical"}
CONFINED: dict[str, Any] = {
    "destinations": [OPS],
    "rules": [LOUDER],
    "only_namespace": "payments",
}


async def destination_of(hub: HubUnderTest, owner_id: str) -> str:
    """Return the id of an owner's one destination."""
    async with hub.hub.db.read() as conn:
        statement = select(notify_destination.c.id).where(notify_destination.c.owner_id == owner_id)
        return str((await conn.execute(statement)).scalar_one())


async def test_policy_of_a_namespace_cannot_take_an_alert_from_the_organization(
    hub: HubUnderTest,
) -> None:
    alerting, agent = Alerting(hub), await operator(hub)
    await alerting.put(SHELLS)
    assert (await agent.put(agent.owner(), notifications=CONFINED)).status == 200
    await alerting.append(make_event(1))
    (row,) = await alerting.messages()
    assert (row.owner_id, row.severity) == ("org", "critical")
    answer = await agent.delete(agent.owner(), uid="uid-1", policy="Revert")
    assert answer.status == 204, answer.body
    assert [row.state for row in await alerting.stored()] == ["pending"]


async def test_disabled_destination_takes_no_event_from_one_that_works(hub: HubUnderTest) -> None:
    alerting, agent = Alerting(hub), await operator(hub)
    await alerting.put(SHELLS)
    assert (await agent.put(agent.owner(), notifications=CONFINED)).status == 200
    async with hub.hub.db.write() as conn:
        assert await disable(conn, ORG, await destination_of(hub, "org"), "gone", 1)
    await alerting.append(make_event(1))
    (row,) = await alerting.messages()
    assert row.owner_id == agent.owner()


async def test_policy_of_a_cluster_cannot_take_a_notice_from_the_organization(
    hub: HubUnderTest,
) -> None:
    alerting, agent = Alerting(hub), await operator(hub)
    gone = {"name": "gone", "kinds": ["cluster.disconnected"], "destinations": ["ops"]}
    await alerting.put(gone)
    louder = {"destinations": [OPS], "rules": [{**gone, "severity": "critical"}]}
    assert (await agent.put(agent.owner(), notifications=louder)).status == 200
    async with changing_by_itself(hub.hub) as change:
        await change.lock(ORG)
        kind = "cluster.disconnected"
        await tell_kind(change, ORG, kind, {}, "k", title="It is gone", cluster_id="cl_1")
    (row,) = await alerting.stored()
    assert (row.owner_id, row.severity) == ("org", "critical")
