"""`radar-audit-hub log`: an organization's whole log, also that of a deleted one.

Owns the command, which `main.py` lists. Whoever may run it on the server may read every log, so
it asks nobody and writes no event. Never shows what retention has let go of.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import click
from radar_audit_events.query import Query

from . import console
from .command_line import now_ms, run
from .store.control import get_org
from .store.database import Database
from .store.export import csv_chunks, ndjson_chunks
from .store.holds import expiry_of


@click.command("log")
@click.option("--org-id", required=True, help="The organization's id; it may be deleted.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["ndjson", "csv"]),
    default="ndjson",
    show_default=True,
    help="One JSON event a line, or a table.",
)
@click.pass_obj
def log(config: Path | None, /, *, org_id: str, form: str) -> None:
    """Print an organization's log, newest first.

    This is the way to the log of a deleted organization, which the API no longer has. It is
    there until the retention of the plan that the organization was on is over.
    """

    async def work(db: Database) -> None:
        async with db.read() as connection:
            if await get_org(connection, org_id) is None:
                raise console.CommandError(f"there never was an organization {org_id}")
            floors = (await expiry_of(connection, org_id, now_ms())).floors
        chunks: AsyncIterator[bytes]
        if form == "csv":
            chunks = csv_chunks(db, org_id, Query(), floors)
        else:
            chunks = ndjson_chunks(db, org_id, Query(), floors)
        async for chunk in chunks:
            sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()

    run(config, work)
