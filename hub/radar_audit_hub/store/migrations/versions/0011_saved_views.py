"""The table of people's saved views of the log.

Revision ID: 0011
Revises: 0010
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from radar_audit_hub.store.migrations.columns import text, whole

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "saved_view",
        text("org_id"),
        text("user_id"),
        text("id"),
        text("name"),
        text("query"),
        text("range"),
        whole("created_at"),
        sa.PrimaryKeyConstraint("org_id", "user_id", "id", name="pk_saved_view"),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("saved_view")
