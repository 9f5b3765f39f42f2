"""Work that leaves the hub through a table.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from radar_audit_hub.store.migrations.columns import text, whole

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the outbox."""
    op.create_table(
        "outbox",
        text("id"),
        text("org_id", null=True),
        text("kind"),
        text("dedup_key"),
        text("payload"),
        whole("created_at"),
        whole("due_at"),
        whole("give_up_at"),
        whole("attempts"),
        text("last_error", null=True),
        whole("claimed_until", null=True),
        whole("done_at", null=True),
        text("outcome", null=True),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
        sa.UniqueConstraint("dedup_key", name="uq_outbox_dedup_key"),
    )
    op.create_index("ix_outbox_done_at_due_at", "outbox", ["done_at", "due_at"])


def downgrade() -> None:
    """Drop it, and with it the work that still waits."""
    op.drop_table("outbox")
