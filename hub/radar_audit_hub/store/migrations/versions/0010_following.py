"""The tables of how far notifications have followed the log, and what rules remember.

Revision ID: 0010
Revises: 0009
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from radar_audit_hub.store.migrations.columns import text, whole

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_WINDOW_KEY = ("org_id", "owner_id", "rule", "destination_id", "kind", "key")


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "notify_cursor",
        text("org_id"),
        whole("next_seq"),
        whole("version"),
        text("claim", null=True),
        whole("claimed_until"),
        whole("judged_at"),
        sa.PrimaryKeyConstraint("org_id", name="pk_notify_cursor"),
    )
    op.create_table(
        "notify_route",
        text("org_id"),
        text("owner_id"),
        text("since"),
        sa.PrimaryKeyConstraint("org_id", "owner_id", name="pk_notify_route"),
    )
    op.create_table(
        "notify_memory",
        text("org_id"),
        text("owner_id"),
        text("rule"),
        text("memory"),
        sa.PrimaryKeyConstraint("org_id", "owner_id", "rule", name="pk_notify_memory"),
    )
    op.create_table(
        "notify_window",
        *(text(name) for name in _WINDOW_KEY),
        whole("due_at"),
        text("held"),
        sa.PrimaryKeyConstraint(*_WINDOW_KEY, name="pk_notify_window"),
    )
    op.create_index("ix_notify_window_due_at", "notify_window", ["due_at"])


def downgrade() -> None:
    """Drop them."""
    for name in ("notify_window", "notify_memory", "notify_route", "notify_cursor"):
        op.drop_table(name)
