"""The migrations make exactly the tables that the code describes, and take them away again."""

from __future__ import annotations

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from radar_audit_hub.store.database import Database
from radar_audit_hub.store.migrate import migrate
from radar_audit_hub.store.revision import is_current
from radar_audit_hub.store.tables import metadata
from sqlalchemy import Connection, inspect, text


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


_EVENTS = {
    "msg_two": '{"events":[{"id":"ae_2","metadata":{"id":"ae_9"}},{"id":"ae_1"}]}',
    "msg_one": '{"events":[{"id":"ae_3"}]}',
    "msg_none": '{"title":"Gone"}',
}


async def test_messages_that_are_there_get_the_events_that_they_show(database: Database) -> None:
    await migrate(database, "0012", down=True)
    async with database.write() as connection:
        for name, payload in _EVENTS.items():
            await connection.execute(
                text(
                    "INSERT INTO notify_message (org_id, id, destination_id, owner_id, rule, kind, "
                    "severity, dedup_key, payload, created_at, due_at, state, attempts) VALUES "
                    "('org_x', :name, 'nd_1', 'org', 'r', 'event', 'info', :name, :payload, "
                    "1, 1, 'delivered', 1)"
                ),
                {"name": name, "payload": payload},
            )
    await migrate(database)
    async with database.read() as connection:
        found = await connection.execute(text("SELECT id, event_ids FROM notify_message"))
        assert {row.id: row.event_ids for row in found} == {
            "msg_two": "ae_1 ae_2",
            "msg_one": "ae_3",
            "msg_none": None,
        }
