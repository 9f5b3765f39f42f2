"""Prints an organization's whole log for the server's own command, also that of a deleted one.

Owns `write_log`. Called by `main.py`. Whoever may run the command on the server may read every
log, so nobody is asked and no event is written. Never shows what retention has let go of.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import IO

from radar_audit_events.query import Query

from .bootstrap import BootstrapError
from .store.control import get_org
from .store.database import Database
from .store.export import csv_chunks, ndjson_chunks
from .store.holds import expiry_of


async def write_log(db: Database, org_id: str, form: str, now_ms: int, out: IO[bytes]) -> None:
    """Write the log to `out`, newest first, as `ndjson` or `csv`. Raises BootstrapError."""
    async with db.read() as connection:
        if await get_org(connection, org_id) is None:
            raise BootstrapError(f"there never was an organization {org_id}")
        floors = (await expiry_of(connection, org_id, now_ms)).floors
    chunks: AsyncIterator[bytes]
    if form == "csv":
        chunks = csv_chunks(db, org_id, Query(), floors)
    else:
        chunks = ndjson_chunks(db, org_id, Query(), floors)
    async for chunk in chunks:
        out.write(chunk)
    out.flush()
