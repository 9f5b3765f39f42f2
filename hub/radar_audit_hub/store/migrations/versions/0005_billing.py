"""Tables of billing, and the holds that a downgrade puts on retention.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from radar_audit_hub.store.migrations.columns import text, whole

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "subscription",
        text("org_id"),
        text("subscription_id"),
        text("customer_id"),
        text("plan"),
        whole("quantity"),
        text("status"),
        whole("current_period_end", null=True),
        sa.Column("cancel_at_period_end", sa.Boolean, nullable=False),
        whole("sync_round"),
        whole("updated_at"),
        sa.PrimaryKeyConstraint("org_id", name="pk_subscription"),
        sa.UniqueConstraint("subscription_id", name="uq_subscription_subscription_id"),
    )
    op.create_table(
        "subscription_fetch",
        text("subscription_id"),
        whole("begun"),
        whole("written"),
        sa.PrimaryKeyConstraint("subscription_id", name="pk_subscription_fetch"),
    )
    op.create_table(
        "stripe_event",
        text("event_id"),
        text("type"),
        whole("received_at"),
        sa.PrimaryKeyConstraint("event_id", name="pk_stripe_event"),
    )
    op.create_index("ix_stripe_event_received_at", "stripe_event", ["received_at"])
    _checkout_intent()
    op.create_table(
        "retention_hold",
        text("org_id"),
        text("plan"),
        whole("until_at"),
        sa.PrimaryKeyConstraint("org_id", "plan", name="pk_retention_hold"),
    )


def _checkout_intent() -> None:
    op.create_table(
        "checkout_intent",
        text("org_id"),
        text("id"),
        text("plan"),
        whole("quantity"),
        text("params"),
        text("user_id"),
        text("user_email"),
        text("pat_name", null=True),
        whole("created_at"),
        text("session_id", null=True),
        text("session_url", null=True),
        whole("expires_at", null=True),
        whole("closed_at", null=True),
        sa.PrimaryKeyConstraint("org_id", "id", name="pk_checkout_intent"),
        sa.UniqueConstraint("session_id", name="uq_checkout_intent_session_id"),
    )


def downgrade() -> None:
    """Drop them."""
    for name in (
        "retention_hold",
        "checkout_intent",
        "stripe_event",
        "subscription_fetch",
        "subscription",
    ):
        op.drop_table(name)
