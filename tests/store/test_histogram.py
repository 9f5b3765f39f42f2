"""Counting over time: exactly the rows that a search finds, by stretches, on both databases."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from radar_audit_events.ids import parse_ms, source_key
from radar_audit_events.query import parse
from radar_audit_hub.retention.policy import DAY_MS, Floors, floors
from radar_audit_hub.store import histogram, query
from radar_audit_hub.store.database import Connection, Database, fetch
from radar_audit_hub.store.histogram import stretches
from radar_audit_hub.store.log import append_batch
from radar_audit_hub.store.terminals import events_by_key

from tests.support.log_rows import NOW_MS, make_row

HOUR_MS = 3_600_000
ORG = "org_x"
EVERYTHING = Floors(0)


async def fill(database: Database, count: int = 300, days: int = 9) -> None:
    dice = random.Random(3)
    rows = [
        make_row(
            number,
            action=dice.choice(["pod.exec_started", "auth.signin", "org.updated"]),
            created_at_ms=NOW_MS - dice.randrange(days * DAY_MS),
            actor_email=dice.choice(["alice@acme.com", "bob@acme.com"]),
        )
        for number in range(count)
    ]
    await append_batch(database, ORG, rows, NOW_MS)


async def searched(database: Database, text: str, floor: Floors, step_ms: int) -> Counter[int]:
    """Count what a search finds."""
    found = await query.page(database, ORG, parse(text), floor, before=None, limit=1000)
    return Counter(parse_ms(row.created_at) // step_ms * step_ms for row in found.rows)


@pytest.mark.parametrize(
    "text", ["", "action:pod.*", "actor:bob@acme.com", "payments", "-type:org"]
)
@pytest.mark.parametrize("step_ms", [HOUR_MS, DAY_MS])
async def test_stretches_hold_what_a_search_finds(
    database: Database, text: str, step_ms: int
) -> None:
    await fill(database)
    for floor in (EVERYTHING, floors("free", NOW_MS)):
        got = await stretches(
            database, ORG, parse(text), floor,
            from_ms=NOW_MS - 10 * DAY_MS, to_ms=NOW_MS + 1, step_ms=step_ms,
        )  # fmt: skip
        assert got.counts == await searched(database, text, floor, step_ms)
        assert got.step_ms == step_ms


async def test_day_counters_say_the_same_where_rows_are_too_many(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(database)
    monkeypatch.setattr(histogram, "BUDGET_ROWS", 20)
    for text in ("", "action:pod.*,auth.*"):
        for floor in (EVERYTHING, floors("free", NOW_MS)):
            got = await stretches(
                database, ORG, parse(text), floor,
                from_ms=NOW_MS - 10 * DAY_MS, to_ms=NOW_MS + 1, step_ms=HOUR_MS,
            )  # fmt: skip
            assert got.step_ms == DAY_MS
            assert got.counts == await searched(database, text, floor, DAY_MS)


async def test_what_no_counter_knows_is_said_not_to_be_counted(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(database)
    monkeypatch.setattr(histogram, "BUDGET_ROWS", 20)
    asked = parse("actor:bob@acme.com")
    got = await stretches(
        database, ORG, asked, EVERYTHING,
        from_ms=NOW_MS - 10 * DAY_MS, to_ms=NOW_MS + 1, step_ms=HOUR_MS,
    )  # fmt: skip
    assert sum(got.counts.values()) == 20
    newest = await query.page(database, ORG, asked, EVERYTHING, before=None, limit=20)
    assert got.counted_from_ms == parse_ms(newest.rows[-1].created_at)


async def test_a_range_is_half_open_and_bounded(database: Database) -> None:
    rows = [make_row(n, created_at_ms=NOW_MS + n * HOUR_MS) for n in range(3)]
    await append_batch(database, ORG, rows, NOW_MS)
    got = await stretches(
        database, ORG, parse(""), EVERYTHING,
        from_ms=NOW_MS, to_ms=NOW_MS + 2 * HOUR_MS, step_ms=HOUR_MS,
    )  # fmt: skip
    assert sum(got.counts.values()) == 2
    with pytest.raises(ValueError, match="at most 400"):
        await stretches(
            database, ORG, parse(""), EVERYTHING, from_ms=0, to_ms=NOW_MS, step_ms=HOUR_MS
        )


async def test_a_terminals_other_half_is_found_by_its_key_while_it_is_visible(
    database: Database,
) -> None:
    key = source_key("cl_1", "s-1", "ended")
    old = source_key("cl_1", "s-0", "ended")
    rows = [
        make_row(1, action="pod.exec_ended", source_key=key, created_at_ms=NOW_MS),
        make_row(2, action="pod.exec_ended", source_key=old, created_at_ms=NOW_MS - 8 * DAY_MS),
    ]
    await append_batch(database, ORG, rows, NOW_MS)
    keys = [key, old, source_key("cl_1", "s-2", "ended")]
    found = await events_by_key(database, ORG, keys, floors("free", NOW_MS))
    assert {k: e.id for k, e in found.items()} == {key: rows[0].id}
    assert await events_by_key(database, "org_other", keys, EVERYTHING) == {}
    assert await events_by_key(database, ORG, [], EVERYTHING) == {}


async def test_stretches_of_which_every_event_counts_are_counted_without_the_rows(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(database)
    explain = "EXPLAIN" if database.dialect == "postgresql" else "EXPLAIN QUERY PLAN"
    explained: list[str] = []

    async def noted(connection: Connection, sql: str, args: Sequence[Any]) -> Sequence[Any]:
        plan = await fetch(connection, f"{explain} {sql}", args)
        explained.append("\n".join(str(row[-1]) for row in plan))
        return await fetch(connection, sql, args)

    monkeypatch.setattr(histogram, "fetch", noted)
    for text in ("", "action:pod.*"):
        await stretches(
            database, ORG, parse(text), floors("enterprise", NOW_MS),
            from_ms=NOW_MS - 9 * DAY_MS, to_ms=NOW_MS, step_ms=3 * HOUR_MS,
        )  # fmt: skip
    # As nothing has asked for statistics yet, PostgreSQL takes every index for as good.
    for plan in explained:
        assert re.search("Index Only Scan|USING COVERING INDEX", plan), plan
        assert "Filter:" not in plan, plan
    assert len(explained) == 2
