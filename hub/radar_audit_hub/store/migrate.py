"""Schema migrations: up, down, and whether the schema is the one this code needs.

Owns the Alembic configuration; the steps are in `migrations/versions`. Called
at start-up and by the admin command. Never drops data on the way up.
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


def head_revision() -> str:
    """Return the newest revision that this code knows."""
    head = _script().get_current_head()
    if head is None:  # pragma: no cover - the package ships at least one step
        raise RuntimeError("the migrations folder of this installation is empty")
    return head


def revisions() -> list[str]:
    """Return what `migrate` can go to, the oldest first: `base` is a database without tables."""
    return ["base", *(step.revision for step in reversed([*_script().walk_revisions()]))]


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


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


async def is_current(database: Database) -> bool:
    """Tell whether the schema is exactly the one this code needs."""
    async with database.read() as connection:
        return await connection.run_sync(_current) == head_revision()
