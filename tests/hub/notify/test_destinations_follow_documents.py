"""Destinations are rows that follow the owners' documents: kept, changed and dropped with them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from radar_audit_events.policy_wire import Destination, EmailTarget, SlackTarget, WebhookTarget
from radar_audit_hub.notify.destinations import identity
from radar_audit_hub.policy.adopting import adopt_older
from radar_audit_hub.policy.secret_parts import Secret
from radar_audit_hub.store.notify_destinations import DestinationRow, list_destinations
from radar_audit_hub.store.schema_notify import notify_destination, notify_message
from sqlalchemy import insert, select, update

from tests.support.hub_builder import ORG, HubUnderTest
from tests.support.policy_agents import operator

SLACK = {"name": "ops", "slack": {"url": "https://hooks.slack.test/services/T0/B0/x"}}
HOOK = {
    "name": "siem",
    "webhook": {
        "url": "https://siem.test/in",
        "signing_secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    },
}


def _asks(*destinations: dict[str, Any]) -> dict[str, Any]:
    return {"destinations": list(destinations), "rules": []}


async def _rows(hub: HubUnderTest) -> dict[str, DestinationRow]:
    async with hub.hub.db.read() as conn:
        return {f"{row.owner_id}/{row.name}": row for row in await list_destinations(conn, ORG)}


async def _put_message(hub: HubUnderTest, row: DestinationRow, state: str = "pending") -> str:
    message_id = f"msg_{row.name}_{state}"
    async with hub.hub.db.write() as conn:
        await conn.execute(
            insert(notify_message).values(
                org_id=ORG,
                id=message_id,
                destination_id=row.id,
                owner_id=row.owner_id,
                rule="all",
                kind="event",
                severity="info",
                dedup_key=message_id,
                payload="{}",
                created_at=1,
                due_at=1,
                state=state,
                attempts=0,
            )
        )
    return message_id


async def _disable(hub: HubUnderTest, row: DestinationRow) -> None:
    values = {"disabled_at": 5, "disabled_reason": "gone", "failing_since": 4, "last_error": "no"}
    async with hub.hub.db.write() as conn:
        await conn.execute(
            update(notify_destination).where(notify_destination.c.id == row.id).values(**values)
        )


async def test_rows_follow_a_document_and_keep_their_ids(hub: HubUnderTest) -> None:
    mine = await operator(hub)
    name = mine.owner()
    await mine.put(name, 1, notifications=_asks(SLACK, HOOK))
    first = await _rows(hub)
    assert {key: (row.kind, row.has_secret) for key, row in first.items()} == {
        f"{name}/ops": ("slack", True),
        f"{name}/siem": ("webhook", True),
    }
    # The Secret is not readable for a while: what is stored stays, and so does who it is.
    kept = {"name": "ops", "slack": {}}
    await mine.put(name, 2, notifications=_asks(kept, HOOK))
    assert await _rows(hub) == first


async def test_message_of_a_destination_that_is_gone_is_dropped(any_hub: HubUnderTest) -> None:
    mine = await operator(any_hub)
    name = mine.owner()
    people = [{"name": each, "email": {"to": [f"{each}@acme.com"]}} for each in ("ops", "siem")]
    await mine.put(name, 1, notifications=_asks(*people))
    rows = await _rows(any_hub)
    for state in ("pending", "delivered"):
        await _put_message(any_hub, rows[f"{name}/ops"], state)
    await _put_message(any_hub, rows[f"{name}/siem"])
    await mine.put(name, 2, notifications=_asks(people[1]))
    async with any_hub.hub.db.read() as conn:
        found = {row.id: row.state for row in await conn.execute(select(notify_message))}
    assert found == {
        "msg_ops_pending": "dropped",
        "msg_ops_delivered": "delivered",
        "msg_siem_pending": "pending",
    }


async def test_new_receiver_under_the_same_name_is_not_disabled(hub: HubUnderTest) -> None:
    mine = await operator(hub)
    name = mine.owner()
    await mine.put(name, 1, notifications=_asks(SLACK))
    before = (await _rows(hub))[f"{name}/ops"]
    await _disable(hub, before)
    state = (await mine.put(name, 2, notifications=_asks(SLACK))).json["destinations"][0]
    assert (state["state"], state["last_error"]) == ("disabled", "gone")
    moved = {"name": "ops", "slack": {"url": "https://hooks.slack.test/services/T0/B0/y"}}
    state = (await mine.put(name, 3, notifications=_asks(moved))).json["destinations"][0]
    assert state == {"name": "ops", "state": "never_used"}
    after = (await _rows(hub))[f"{name}/ops"]
    assert after == replace(before, identity=after.identity)
    assert after.identity != before.identity


async def test_released_owner_has_no_destination_left_but_a_detached_one_has(
    hub: HubUnderTest,
) -> None:
    mine = await operator(hub)
    for each in ("gone", "kept"):
        await mine.put(mine.owner(each), 1, notifications=_asks(SLACK))
    await mine.delete(mine.owner("gone"), policy="Revert")
    await mine.delete(mine.owner("kept"), policy="Retain")
    assert list(await _rows(hub)) == [f"{mine.owner('kept')}/ops"]


async def test_heartbeat_counts_what_waits_and_opens_no_secret(hub: HubUnderTest) -> None:
    mine = await operator(hub)
    name = mine.owner()
    await mine.put(name, 1, notifications=_asks(SLACK))
    await _put_message(hub, (await _rows(hub))[f"{name}/ops"])
    hub.hub.__dict__["sealer"] = None  # whoever opens a secret fails from here on
    answer = await mine.heartbeat(name)
    assert answer["states"][0]["destinations"] == [
        {"name": "ops", "state": "never_used", "pending": 1}
    ]


async def test_alerts_of_a_document_from_before_the_upgrade_are_taken_up_once(
    hub: HubUnderTest,
) -> None:
    mine = await operator(hub)
    rules = [{"name": "all", "destinations": ["ops"], "actions": ["pod.*"]}]
    await mine.put(mine.owner(), 1, notifications={**_asks(SLACK), "rules": rules})
    before = await _rows(hub)
    async with hub.hub.db.write() as conn:
        for table in ("notify_destination", "notify_route", "notify_cursor"):
            await conn.exec_driver_sql(f"DELETE FROM {table}")
    assert [await adopt_older(hub.hub) for _ in range(2)] == [1, 0]
    after = await _rows(hub)
    assert {name: (row.identity, row.has_secret) for name, row in after.items()} == {
        name: (row.identity, True) for name, row in before.items()
    }
    async with hub.hub.db.read() as conn:
        followed = await conn.exec_driver_sql("SELECT owner_id FROM notify_route")
        assert [row[0] for row in followed] == [mine.owner()]


def test_receiver_is_the_same_for_two_owners_unless_it_is_signed_otherwise() -> None:
    url = Secret(url="https://hooks.slack.test/x")
    slack = Destination(name="a", slack=SlackTarget())
    other_name = Destination(name="b", slack=SlackTarget())
    assert identity("k8s:a", slack, url) == identity("k8s:b", other_name, url)
    hook = Destination(name="a", webhook=WebhookTarget(url="https://siem.test/in"))
    mine, theirs = Secret(signing_secret="whsec_mine"), Secret(signing_secret="whsec_theirs")
    assert identity("k8s:a", hook, mine) == identity("k8s:b", hook, mine)
    assert identity("k8s:a", hook, mine) != identity("k8s:a", hook, theirs)
    people = [EmailTarget(to=["Ada@acme.com", "bo@acme.com"]), EmailTarget(to=["bo@acme.com"])]
    assert identity("o", Destination(name="a", email=people[0]), Secret()) == identity(
        "p",
        Destination(name="c", email=EmailTarget(to=["bo@acme.com", "ada@acme.com"])),
        Secret(),
    )
    assert identity("o", Destination(name="a", email=people[0]), Secret()) != identity(
        "o", Destination(name="a", email=people[1]), Secret()
    )


def test_destinations_without_their_secrets_are_no_common_receiver() -> None:
    slack = Destination(name="a", slack=SlackTarget())
    assert identity("k8s:a", slack, Secret()) != identity("k8s:b", slack, Secret())
