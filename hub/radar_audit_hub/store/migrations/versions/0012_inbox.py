"""The tables of people's inboxes and which kinds they want by e-mail.

Revision ID: 0012
Revises: 0011
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from radar_audit_hub.store.migrations.columns import text, whole

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "inbox_item",
        text("user_id"),
        text("id"),
        text("org_id"),
        text("kind"),
        text("dedup_key"),
        text("title"),
        text("path"),
        text("facts"),
        whole("created_at"),
        whole("read_at", null=True),
        sa.PrimaryKeyConstraint("user_id", "id", name="pk_inbox_item"),
        sa.UniqueConstraint(
            "user_id", "org_id", "dedup_key", name="uq_inbox_item_user_id_org_id_dedup_key"
        ),
    )
    op.create_index("ix_inbox_item_org_id_user_id", "inbox_item", ["org_id", "user_id"])
    op.create_table(
        "inbox_preference",
        text("user_id"),
        text("kind"),
        sa.Column("by_mail", sa.Boolean(), nullable=True),
        text("ending"),
        sa.PrimaryKeyConstraint("user_id", "kind", name="pk_inbox_preference"),
        sa.UniqueConstraint("ending", name="uq_inbox_preference_ending"),
    )
    op.create_table(
        "cluster_gone",
        text("org_id"),
        text("cluster_id"),
        whole("last_seen_at"),
        whole("told_at"),
        sa.PrimaryKeyConstraint("org_id", "cluster_id", name="pk_cluster_gone"),
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("cluster_gone")
    op.drop_table("inbox_preference")
    op.drop_table("inbox_item")
