"""The events that each message shows, so that a message is kept no longer than they are.

Revision ID: 0013
Revises: 0012
"""

from __future__ import annotations

from alembic import op

from radar_audit_hub.store.migrations.columns import text

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_INDEX = "ix_notify_message_org_id_event_ids"
# Of the messages that are there already: the ids, sorted, with spaces between.
_IDS_POSTGRESQL = """
UPDATE notify_message SET event_ids = (
  SELECT string_agg(shown ->> 'id', ' ' ORDER BY (shown ->> 'id') COLLATE "C")
  FROM json_array_elements(payload::json -> 'events') AS shown
)
"""
_IDS_SQLITE = """
UPDATE notify_message SET event_ids = (
  SELECT group_concat(id, ' ') FROM (
    SELECT json_extract(value, '$.id') AS id
    FROM json_each(notify_message.payload, '$.events') ORDER BY 1
  )
)
"""


def upgrade() -> None:
    """Add the column, fill it, and let it be looked up."""
    op.add_column("notify_message", text("event_ids", null=True))
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    op.execute(_IDS_POSTGRESQL if is_postgresql else _IDS_SQLITE)
    op.create_index(_INDEX, "notify_message", ["org_id", "event_ids"])


def downgrade() -> None:
    """Take it away again."""
    op.drop_index(_INDEX, "notify_message")
    op.drop_column("notify_message", "event_ids")
