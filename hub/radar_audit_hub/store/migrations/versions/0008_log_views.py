"""The table of who has read the log in an hour, where an org records that.

Revision ID: 0008
Revises: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from radar_audit_hub.store.migrations.columns import text, whole

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "log_view",
        text("org_id"),
        text("user_id"),
        text("pat_name"),
        whole("hour_at"),
        text("email"),
        whole("requests"),
        sa.PrimaryKeyConstraint("org_id", "user_id", "pat_name", "hour_at", name="pk_log_view"),
    )
    op.create_index("ix_log_view_hour_at", "log_view", ["hour_at"])


def downgrade() -> None:
    """Drop it."""
    op.drop_table("log_view")
