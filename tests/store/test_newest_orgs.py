"""A search of an organization that came after the statistics of the log reads about a page.

On PostgreSQL that holds once it has gathered them anew, which has to be after few events; SQLite
plans without any.
"""

from __future__ import annotations

import pytest
from radar_audit_events.query import parse
from radar_audit_hub.retention.policy import Floors
from radar_audit_hub.store import query
from radar_audit_hub.store.database import Database, fetch
from radar_audit_hub.store.migrate import migrate
from radar_audit_hub.store.sql import Arguments

from tests.support.read_rows import noted_plans, rows_read

OLD, NEW = "org_old", "org_new"
OLD_EVENTS = 20_000  # so many that the trees of the indexes differ in height
NEW_EVENTS = 5_001
LONG_LOG = 1_000_000  # events
PAGE_EVENTS = 50
_CHANGES_UNTIL_ANALYZED = """
SELECT coalesce(max(option_value) FILTER (WHERE option_name = 'autovacuum_analyze_threshold'),
         current_setting('autovacuum_analyze_threshold'))::float8
     + coalesce(max(option_value) FILTER (WHERE option_name = 'autovacuum_analyze_scale_factor'),
         current_setting('autovacuum_analyze_scale_factor'))::float8 * $1::float8
FROM pg_class LEFT JOIN LATERAL pg_options_to_table(reloptions) ON true
WHERE oid = 'audit_event'::regclass
"""
_FILL = """
WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < {last})
INSERT INTO audit_event (org_id, seq, id, actor_email, action, target_type, target_id, metadata,
  source_key, created_at, recorded_at, pii_commitment, leaf_hash)
SELECT {org}, n, 'ae_00000000000000' || CAST(100000000000 + n AS TEXT),
  'person-' || CAST(n % 7 AS TEXT),
  CASE n % 3 WHEN 0 THEN 'pod.exec_started' WHEN 1 THEN 'auth.signin' ELSE 'org.updated' END,
  'pod', 'web', '{{}}', {key}, n, n, {key}, {key}
FROM numbers
"""
_KEYS = {
    "postgresql": "decode(lpad(to_hex(n), 20, '0'), 'hex')",
    "sqlite": "CAST(printf('%010d', n) AS BLOB)",
}


async def _fill(database: Database, org_id: str, count: int) -> None:
    args = Arguments(database.dialect)
    org, key = f"CAST({args.add(org_id)} AS TEXT)", _KEYS[database.dialect]
    async with database.write() as connection:
        statement = _FILL.format(org=org, last=count - 1, key=key)
        await fetch(connection, statement, args.values)


async def _changes_until_analyzed(database: Database) -> float:
    """Return after how many new events PostgreSQL gathers the statistics of a long log."""
    async with database.read() as connection:
        rows = await fetch(connection, _CHANGES_UNTIL_ANALYZED, [LONG_LOG])
    return float(rows[0][0])


async def _analyze(database: Database) -> None:
    async with database.write() as connection:
        await fetch(connection, "ANALYZE audit_event", [])


@pytest.mark.parametrize("dialect", ["postgresql"])
async def test_statistics_of_a_long_log_are_gathered_after_few_events(database: Database) -> None:
    """So many may be of one org that they do not know, all of which a search then reads."""
    assert await _changes_until_analyzed(database) <= NEW_EVENTS
    await migrate(database, "0013", down=True)
    assert await _changes_until_analyzed(database) > LONG_LOG / 100
    await migrate(database)
    assert await _changes_until_analyzed(database) <= NEW_EVENTS


_SEARCHES = ("", "action:auth.signin", "action:auth.signin,org.updated", "actor:person-3")


async def test_a_search_of_a_new_org_reads_about_a_page(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_postgresql = database.dialect == "postgresql"
    await _fill(database, OLD, OLD_EVENTS)
    if is_postgresql:
        await _analyze(database)
    await _fill(database, NEW, NEW_EVENTS)
    if is_postgresql and await _changes_until_analyzed(database) < NEW_EVENTS:
        await _analyze(database)
    explained = noted_plans(monkeypatch, database, query)
    for text in _SEARCHES:
        found = await query.page(
            database, NEW, parse(text), Floors(0), before=None, limit=PAGE_EVENTS
        )
        assert len(found.rows) == PAGE_EVENTS
    assert len(explained) == len(_SEARCHES)
    for plan in explained:
        if is_postgresql:
            assert rows_read(plan) <= 2 * (PAGE_EVENTS + 1), plan[0][0]
        else:
            steps = [step[-1] for step in plan if "audit_event" in step[-1]]
            assert steps
            assert all(step.endswith(" AND id>?)") for step in steps), steps
