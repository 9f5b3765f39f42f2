"""An org that wants it sees in its log who reads and exports it, and nobody else's."""

from __future__ import annotations

from typing import Any

import pytest
from radar_audit_hub.audit.access_log import HOUR_MS, write_hours
from radar_audit_hub.store.log_views import log_view
from radar_audit_hub.store.schema import org
from sqlalchemy import select, update

from tests.support.hub_builder import ORG, HubUnderTest, events_of


async def switch(hub: HubUnderTest, *, on: bool) -> None:
    answer = await hub.send("PATCH", f"/api/orgs/{ORG}", json={"record_log_access": on})
    assert answer.status == 200, answer.body


async def rows_of(hub: HubUnderTest, action: str) -> list[dict[str, Any]]:
    """The rows of an action, read past the API, which would count the reading."""
    events = (await hub.get(f"?action={action}")).json["events"]
    return [dict(event) for event in events]


async def test_reads_of_an_hour_are_one_event_a_reader(any_hub: HubUnderTest) -> None:
    await any_hub.append(*events_of(2))
    auditor = await any_hub.add_person(role="auditor")
    await switch(any_hub, on=True)
    for path in ("", "facets", "gaps", "follow?wait=0"):
        assert (await any_hub.get(path)).status == 200
    assert (await any_hub.get("", token=auditor)).status == 200
    assert await write_hours(any_hub.hub) == 0, "the hour is not over"
    any_hub.clock.now_ms += HOUR_MS
    assert await write_hours(any_hub.hub) == 2
    assert await write_hours(any_hub.hub) == 0
    found = await rows_of(any_hub, "audit.viewed")
    counts = {row["actor_email"]: row["metadata"]["requests"] for row in found}
    assert sorted(counts.values()) == [1, 4]
    assert all(row["metadata"]["hour"].endswith(":00:00.000Z") for row in found)
    assert all(row["metadata"]["via_pat"] for row in found)


@pytest.mark.parametrize("form", ["csv", "ndjson"])
async def test_export_is_an_event_with_what_was_asked_and_sent(
    hub: HubUnderTest, form: str
) -> None:
    await hub.append(*events_of(7))
    await switch(hub, on=True)
    assert (await hub.get(f"?format={form}&action=pod.*")).status == 200
    (row,) = await rows_of(hub, "audit.exported")
    sent = len((await hub.get("?action=pod.*&limit=500")).json["events"])
    assert (row["metadata"]["format"], row["metadata"]["rows"]) == (form, sent)
    assert "pod.*" in row["metadata"]["query"]
    assert row["actor_email"].endswith("@acme.com")


async def test_org_that_does_not_want_it_has_no_such_row_and_no_count(hub: HubUnderTest) -> None:
    await hub.append(*events_of(2))
    await hub.get("")
    await hub.get("?format=csv")
    hub.clock.now_ms += 2 * HOUR_MS
    assert await write_hours(hub.hub) == 0
    assert await rows_of(hub, "audit.*") == []
    async with hub.hub.db.read() as conn:
        assert (await conn.execute(select(log_view))).all() == []


async def test_refused_read_is_not_counted(hub: HubUnderTest) -> None:
    await switch(hub, on=True)
    member = await hub.add_person(role="member")
    assert (await hub.get("", token=member)).status == 403
    hub.clock.now_ms += HOUR_MS
    assert await write_hours(hub.hub) == 0


async def test_counts_of_a_deleted_org_are_forgotten(hub: HubUnderTest) -> None:
    await switch(hub, on=True)
    await hub.get("")
    async with hub.hub.db.write() as conn:
        await conn.execute(update(org).values(deleted_at=hub.clock.now_ms))
    hub.clock.now_ms += HOUR_MS
    assert await write_hours(hub.hub) == 0
    async with hub.hub.db.read() as conn:
        assert (await conn.execute(select(log_view))).all() == []
