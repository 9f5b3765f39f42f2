"""The other half of a terminal: events found by the key of what they state of a session.

Owns that look-up, by the unique index over `source_key`. Called by the pages that show start and
end of a terminal as one row. Applies the retention floor as every read path does. Never writes.
"""

from __future__ import annotations

from collections.abc import Sequence

from radar_audit_hub.retention.policy import Floors

from .database import Database, fetch
from .query import ROW_COLUMNS, StoredEvent, stored_event
from .sql import Arguments, floor_sql

MAX_KEYS = 2000


async def events_by_key(
    database: Database, org_id: str, keys: Sequence[bytes], floors: Floors
) -> dict[bytes, StoredEvent]:
    """Return the visible events with these keys, at most MAX_KEYS of them."""
    if not keys:
        return {}
    args = Arguments(database.dialect)
    org = args.add(org_id)
    if args.dialect == "postgresql":
        among = f"source_key = ANY({args.add(list(keys[:MAX_KEYS]))}::bytea[])"
    else:
        among = f"source_key IN ({', '.join(args.add(key) for key in keys[:MAX_KEYS])})"
    sql = (
        f"SELECT {ROW_COLUMNS}, source_key FROM audit_event "  # noqa: S608 - arguments only
        f"WHERE org_id = {org} AND {among} AND {floor_sql(floors, args)}"
    )
    async with database.read() as connection:
        rows = await fetch(connection, sql, args.values)
    return {bytes(row[10]): stored_event(row[:10]) for row in rows}
