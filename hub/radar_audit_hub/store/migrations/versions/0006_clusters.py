"""Upgrades of agents, and collectors that fell silent.

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from radar_audit_hub.store.migrations.columns import text, whole

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables, add the columns."""
    op.create_table(
        "agent_upgrade",
        text("org_id"),
        text("cluster_id"),
        text("version"),
        whole("requested_at"),
        whole("seen_at", null=True),
        whole("done_at", null=True),
        whole("failed_at", null=True),
        text("failure", null=True),
        sa.PrimaryKeyConstraint("org_id", "cluster_id", name="pk_agent_upgrade"),
    )
    op.create_table(
        "former_instance",
        text("org_id"),
        text("cluster_id"),
        text("collector_id"),
        text("instance_id"),
        text("open_sessions"),
        whole("last_seen_at"),
        sa.PrimaryKeyConstraint(
            "org_id", "cluster_id", "collector_id", "instance_id", name="pk_former_instance"
        ),
    )
    op.add_column("org", whole("pat_default_days", null=True))
    op.add_column("cluster", whole("assumed_at", null=True))
    op.add_column("collector", whole("settled_at", null=True))
    op.create_index("ix_cluster_token_org_id_cluster_id", "cluster_token", ["org_id", "cluster_id"])


def downgrade() -> None:
    """Take them away again."""
    op.drop_index("ix_cluster_token_org_id_cluster_id", "cluster_token")
    op.drop_column("collector", "settled_at")
    op.drop_column("cluster", "assumed_at")
    op.drop_column("org", "pat_default_days")
    op.drop_table("former_instance")
    op.drop_table("agent_upgrade")
