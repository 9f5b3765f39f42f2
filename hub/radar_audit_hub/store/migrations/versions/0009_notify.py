"""The tables of destinations, messages and attempts to deliver them.

Revision ID: 0009
Revises: 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from radar_audit_hub.store.migrations.columns import raw, text, whole

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    _create_destinations()
    _create_messages()
    _create_attempts()


def _create_destinations() -> None:
    op.create_table(
        "notify_destination",
        text("org_id"),
        text("id"),
        text("owner_id"),
        text("name"),
        text("kind"),
        raw("identity"),
        sa.Column("has_secret", sa.Boolean(), nullable=False),
        whole("created_at"),
        whole("disabled_at", null=True),
        text("disabled_reason", null=True),
        whole("failing_since", null=True),
        whole("last_attempt_at", null=True),
        whole("last_delivery_at", null=True),
        whole("last_error_at", null=True),
        text("last_error", null=True),
        whole("suppressed"),
        sa.PrimaryKeyConstraint("org_id", "id", name="pk_notify_destination"),
        sa.UniqueConstraint(
            "org_id", "owner_id", "name", name="uq_notify_destination_org_id_owner_id_name"
        ),
    )


def _create_messages() -> None:
    op.create_table(
        "notify_message",
        text("org_id"),
        text("id"),
        text("destination_id"),
        text("owner_id"),
        text("rule"),
        text("kind"),
        text("severity"),
        text("dedup_key"),
        text("payload"),
        whole("created_at"),
        whole("recorded_at", null=True),
        whole("due_at"),
        text("state"),
        whole("attempts"),
        whole("settled_at", null=True),
        text("replay_of", null=True),
        sa.PrimaryKeyConstraint("org_id", "id", name="pk_notify_message"),
        sa.UniqueConstraint("org_id", "dedup_key", name="uq_notify_message_org_id_dedup_key"),
    )
    op.create_index("ix_notify_message_state_due_at", "notify_message", ["state", "due_at"])
    op.create_index(
        "ix_notify_message_org_id_destination_id_state_due_at",
        "notify_message",
        ["org_id", "destination_id", "state", "due_at"],
    )
    op.create_index(
        "ix_notify_message_org_id_destination_id_created_at",
        "notify_message",
        ["org_id", "destination_id", "created_at"],
    )
    op.create_table(
        "notify_lane",
        text("org_id"),
        text("destination_id"),
        text("token", null=True),
        whole("until"),
        sa.PrimaryKeyConstraint("org_id", "destination_id", name="pk_notify_lane"),
    )


def _create_attempts() -> None:
    op.create_table(
        "notify_attempt",
        text("org_id"),
        text("message_id"),
        whole("number"),
        whole("started_at"),
        whole("duration_ms", null=True),
        whole("receiver_status", null=True),
        text("outcome", null=True),
        text("error", null=True),
        text("request"),
        text("response", null=True),
        sa.PrimaryKeyConstraint("org_id", "message_id", "number", name="pk_notify_attempt"),
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("notify_attempt")
    op.drop_table("notify_lane")
    op.drop_table("notify_message")
    op.drop_table("notify_destination")
