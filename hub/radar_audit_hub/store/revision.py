"""Which schema this code needs, and whether a database has it.

Owns the list of the schema's revisions, as the names of the steps' files have it. Called at
start-up, by the readiness check and by the admin commands. Never loads Alembic, which takes 12 MiB
that a server has no use for once its schema is current: `migrate.py` does.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from .database import Database

STEPS = Path(__file__).parent / "migrations" / "versions"
_VERSION_TABLE = "alembic_version"


@cache
def revisions() -> tuple[str, ...]:
    """Return what a schema can be at, the oldest first: `base` is a database without tables."""
    steps = sorted(path.name.partition("_")[0] for path in STEPS.glob("[0-9]*_*.py"))
    return ("base", *steps)


def head_revision() -> str:
    """Return the newest revision that this code knows."""
    return revisions()[-1]


def _current(connection: Connection) -> str | None:
    if not inspect(connection).has_table(_VERSION_TABLE):
        return None
    found: str | None = connection.scalar(text(f"SELECT version_num FROM {_VERSION_TABLE}"))  # noqa: S608 - a name of ours
    return found


async def is_current(database: Database) -> bool:
    """Tell whether the schema is exactly the one this code needs."""
    async with database.read() as connection:
        return await connection.run_sync(_current) == head_revision()
