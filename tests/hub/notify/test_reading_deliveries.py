"""Deliveries tell of events: where an org wants its readers in the log, theirs are there, too."""

from __future__ import annotations

from dataclasses import replace

import pytest
from radar_audit_hub.store.control import get_org
from radar_audit_hub.store.log_views import log_view
from radar_audit_hub.store.members import update_org
from sqlalchemy import select

from tests.support.alerting import SHELLS, Alerting
from tests.support.hub_builder import ORG, HubUnderTest
from tests.support.log_rows import make_event


@pytest.mark.parametrize("page", [False, True])
async def test_reading_a_delivery_is_a_read_of_the_log(hub: HubUnderTest, page: bool) -> None:
    alerting = Alerting(hub)
    await alerting.put(SHELLS)
    await alerting.append(make_event(1))
    (message,) = await alerting.messages()
    async with hub.hub.db.write() as conn:
        org = await get_org(conn, ORG)
        assert org is not None
        await update_org(conn, replace(org, record_log_access=True))
    log = f"/api/orgs/{ORG}/destinations/{message.destination_id}/deliveries"
    answer = await hub.get(f"{log}/{message.id}" if page else log)
    assert answer.status == 200, answer.body
    async with hub.hub.db.read() as conn:
        assert (await conn.execute(select(log_view.c.requests))).scalar_one() == 1
