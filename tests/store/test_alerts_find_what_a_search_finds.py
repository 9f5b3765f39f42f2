"""An alert rule selects exactly the events that a search of its query finds."""

from __future__ import annotations

from hypothesis import given, settings
from radar_audit_events.event import Event
from radar_audit_events.matching import matches
from radar_audit_events.query import Query
from radar_audit_hub.ingest.prepare import prepare
from radar_audit_hub.notify.finding import Seen, finder
from radar_audit_hub.retention.policy import Floors
from radar_audit_hub.store import query as reading
from radar_audit_hub.store.database import Database
from radar_audit_hub.store.log import append_batch
from radar_audit_hub.store.notify_reading import events_between

from tests.support.log_rows import NOW_MS
from tests.support.queries import events, queries

ALL = Floors(0)


@given(queries, events())
@settings(max_examples=300)
def test_rule_selects_what_its_query_matches(query: Query, event: Event) -> None:
    assert finder(query).finds(Seen(event, 0, 0)) == matches(query, event)


def _drawn() -> tuple[list[Query], dict[str, Event]]:
    asked: list[Query] = []
    made: dict[str, Event] = {}

    @given(queries, events())
    @settings(max_examples=120, derandomize=True, database=None)
    def draw(query: Query, event: Event) -> None:
        asked.append(query)
        made[event.id] = event

    draw()
    return asked, made


async def test_rule_selects_what_a_search_of_the_store_finds(database: Database) -> None:
    asked, made = _drawn()
    rows = [prepare(event, bytes(32)) for event in made.values()]
    await append_batch(database, "org_x", rows, NOW_MS)
    async with database.read() as conn:
        seen = await events_between(conn, "org_x", ALL, 0, len(rows))
    assert [one.event.id for one in seen] == list(made)
    found = 0
    for query in asked:
        ready = finder(query)
        selected = {one.event.id for one in seen if ready.finds(one)}
        page = await reading.page(database, "org_x", query, ALL, before=None, limit=500)
        assert {row.id for row in page.rows} == selected, str(query)
        found += bool(selected)
    assert found > len(asked) // 5
