"""The migrations make exactly the tables that the code describes, and take them away again."""

from __future__ import annotations

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from radar_audit_hub.store.database import Database
from radar_audit_hub.store.migrate import migrate
from radar_audit_hub.store.revision import is_current
from radar_audit_hub.store.tables import metadata
from sqlalchemy import Connection, inspect


def _differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return list(compare_metadata(context, metadata))


async def test_migrated_tables_equal_the_schema(database: Database) -> None:
    async with database.read() as connection:
        assert await connection.run_sync(_differences) == []
    assert await is_current(database)


async def test_migrations_go_down_and_up_again_and_repeat_harmlessly(database: Database) -> None:
    await migrate(database, "base", down=True)
    assert not await is_current(database)
    async with database.read() as connection:
        names = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
    assert names == ["alembic_version"]
    await migrate(database)
    await migrate(database)
    assert await is_current(database)
