"""What is asked of one actor is read from that actor's events, on both databases."""

from __future__ import annotations

import pytest
from radar_audit_events.ids import format_ms
from radar_audit_events.query import parse
from radar_audit_hub.retention.policy import Floors, floors
from radar_audit_hub.store import facets, histogram, query
from radar_audit_hub.store.database import Database
from radar_audit_hub.store.log import append_batch

from tests.support.log_rows import DAY_MS, NOW_MS, make_row
from tests.support.read_rows import noted_plans, rows_read

ORG, RARE = "org_x", "rare@acme.com"
HOUR_MS = 3_600_000
EVENTS, RARE_EVENTS = 600, 6


@pytest.mark.parametrize("floor", [Floors(0), floors("enterprise", NOW_MS)])
async def test_no_other_events_are_read(
    database: Database, monkeypatch: pytest.MonkeyPatch, floor: Floors
) -> None:
    is_postgresql = database.dialect == "postgresql"
    rows = [
        make_row(
            number,
            created_at_ms=NOW_MS - number * 60_000,
            actor_email="often@acme.com" if number % (EVENTS // RARE_EVENTS) else RARE,
        )
        for number in range(EVENTS)
    ]
    await append_batch(database, ORG, rows, NOW_MS)
    explained = noted_plans(monkeypatch, database, facets, histogram, query)
    asked = f"actor:{RARE} created:{format_ms(NOW_MS - DAY_MS)}..{format_ms(NOW_MS + 1)}"
    for text in (f"actor:{RARE}", asked, f"{asked} payments"):
        page = await query.page(database, ORG, parse(text), floor, before=None, limit=50)
        counted = await facets.facets(database, ORG, parse(text), floor)
        bars = await histogram.stretches(
            database, ORG, parse(text), floor,
            from_ms=NOW_MS - DAY_MS, to_ms=NOW_MS + 1, step_ms=HOUR_MS,
        )  # fmt: skip
        assert len(page.rows) == counted.total == sum(bars.counts.values()) == RARE_EVENTS
    assert len(explained) == 12
    for plan in explained:
        if is_postgresql:
            assert rows_read(plan) <= 3 * RARE_EVENTS, plan[0][0]
        else:
            steps = [step[-1] for step in plan if " audit_event " in step[-1]]
            assert all("ix_audit_event_org_id_act" in step for step in steps), steps
