"""PostgreSQL plans for an organization that it has not met as for one that has a long log."""

from __future__ import annotations

import re

import pytest
from radar_audit_hub.store.database import Database, driver
from radar_audit_hub.store.log import append_batch

from tests.support.log_rows import NOW_MS, make_row

OLD, NEW = "org_old", "org_new"
_EXPLAIN = "EXPLAIN SELECT 1 FROM audit_event WHERE org_id = $1"


@pytest.mark.parametrize("dialect", ["postgresql"])
async def test_an_org_newer_than_the_statistics_is_expected_to_have_a_log(
    database: Database,
) -> None:
    """With one row expected any index seems good, and a search reads and sorts all of the log."""
    rows = [
        make_row(number, org_id=OLD, created_at_ms=NOW_MS - number * 1000) for number in range(1000)
    ]
    await append_batch(database, OLD, rows, NOW_MS)
    async with database.write() as connection:
        await (await driver(connection)).execute("ANALYZE audit_event")
    await append_batch(database, NEW, [make_row(1, org_id=NEW)], NOW_MS)
    async with database.read() as connection:
        told = await (await driver(connection)).fetchval(_EXPLAIN, NEW)
    expected = re.search(r"rows=(\d+)", told)
    assert expected is not None
    assert int(expected[1]) > 1, told
