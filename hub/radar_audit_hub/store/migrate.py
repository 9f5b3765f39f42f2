"""Schema migrations, up and down.

Owns the Alembic configuration; the steps are in `migrations/versions`. Called by the admin
commands and by the process that a starting server has for it (`__main__.py`). Never drops data on
the way up.
"""

from __future__ import annotations

from pathlib import Path

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from .database import Database
from .tables import metadata

# Two replicas may start at once: whoever comes second waits here, then finds nothing to do.
_LOCK_KEY = 0x7261_6461  # "rada"


def _script() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return ScriptDirectory.from_config(config)


def _run(connection: Connection, revision: str, *, down: bool) -> None:
    script = _script()
    config = Config()

    def steps(current: object, _context: MigrationContext) -> list[object]:
        at = current or "base"
        if down:
            return list(script._downgrade_revs(revision, at))  # type: ignore[arg-type] # noqa: SLF001 - Alembic's own commands do this
        return list(script._upgrade_revs(revision, at))  # type: ignore[arg-type] # noqa: SLF001 - Alembic's own commands do this

    with EnvironmentContext(config, script, fn=steps) as environment:
        environment.configure(connection=connection, target_metadata=metadata)
        environment.run_migrations()


async def migrate(database: Database, revision: str = "head", *, down: bool = False) -> None:
    """Bring the schema to `revision` in one transaction, under a lock that all replicas share."""
    async with database.write() as connection:
        if database.dialect == "postgresql":
            await connection.execute(text("SET LOCAL lock_timeout = '120s'"))
            await connection.execute(text("SET LOCAL statement_timeout = 0"))
            await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
        await connection.run_sync(_run, revision, down=down)


async def upgrade(url: str) -> None:
    """Open the database at `url`, bring its schema to the newest revision, close it."""
    database = await Database.open(url)
    try:
        await migrate(database)
    finally:
        await database.close()
