"""A change and its events are one: both are there, or neither."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from radar_audit_events.errors import EventInvalidError
from radar_audit_hub.changes import UndeclaredEventError, _opened, changing_by_itself
from radar_audit_hub.errors import NotFoundError
from radar_audit_hub.store.schema import org
from sqlalchemy import select, update

from tests.support.hub_builder import ORG, HubUnderTest

CHANGES = {"changes": {"name": ["Name of org_x", "New"]}}


async def _name(hub: HubUnderTest) -> str:
    async with hub.hub.db.read() as conn:
        return str((await conn.execute(select(org.c.name).where(org.c.id == ORG))).scalar_one())


async def _actions(hub: HubUnderTest) -> list[str]:
    return [event["action"] for event in (await hub.get("")).json["events"]]


async def test_change_and_its_event_are_both_there(any_hub: HubUnderTest) -> None:
    async with changing_by_itself(any_hub.hub) as change:
        await change.lock(ORG)
        await change.conn.execute(update(org).values(name="New"))
        change.note(ORG, "org.updated", ORG, CHANGES)
    assert (await _name(any_hub), await _actions(any_hub)) == ("New", ["org.updated"])


async def _rename_badly(hub: HubUnderTest, metadata: dict[str, Any]) -> None:
    async with changing_by_itself(hub.hub) as change:
        await change.conn.execute(update(org).values(name="New"))
        change.note(ORG, "org.updated", ORG, metadata)
        if metadata is CHANGES:
            raise ConnectionError


@pytest.mark.parametrize(
    ("metadata", "fault"), [(CHANGES, ConnectionError), ({"changes": 7}, EventInvalidError)]
)
async def test_fault_after_the_change_leaves_neither(
    any_hub: HubUnderTest, metadata: dict[str, Any], fault: type[Exception]
) -> None:
    before = await _name(any_hub)
    with pytest.raises(fault):
        await _rename_badly(any_hub, metadata)
    assert (await _name(any_hub), await _actions(any_hub)) == (before, [])


async def test_action_that_the_route_does_not_declare_fails(hub: HubUnderTest) -> None:
    async with _opened(hub.hub, None, frozenset({"org.created"})) as change:
        with pytest.raises(UndeclaredEventError):
            change.note(ORG, "org.updated", ORG, CHANGES)


async def test_deleted_org_cannot_be_changed(hub: HubUnderTest) -> None:
    async with hub.hub.db.write() as conn:
        await conn.execute(update(org).values(deleted_at=hub.clock.now_ms))
    async with changing_by_itself(hub.hub) as change:
        with pytest.raises(NotFoundError):
            await change.lock(ORG)


async def test_changes_of_one_org_wait_for_one_another(any_hub: HubUnderTest) -> None:
    async def add_one() -> None:
        async with changing_by_itself(any_hub.hub) as change:
            found = await change.lock(ORG)
            await asyncio.sleep(0.01)  # long enough for all others to have read
            number = int(found.name) + 1
            await change.conn.execute(update(org).values(name=str(number)))
            change.note(ORG, "org.updated", ORG, CHANGES)

    async with any_hub.hub.db.write() as conn:
        await conn.execute(update(org).values(name="0"))
    await asyncio.gather(*(add_one() for _ in range(8)))
    assert await _name(any_hub) == "8"
    assert len(await _actions(any_hub)) == 8
