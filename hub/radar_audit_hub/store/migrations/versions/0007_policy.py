"""Tables of the audit policy, and what is in force of it beside the org.

Revision ID: 0007
Revises: 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from radar_audit_hub.store.migrations.columns import raw, text, whole

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_SCOPE = "audit-settings:write"


def upgrade() -> None:
    """Create the tables; cluster tokens that are out may write their own cluster's settings."""
    op.add_column("org", text("retention", null=True))
    op.add_column(
        "org", sa.Column("settings_revision", sa.BigInteger, nullable=False, server_default="0")
    )
    _owners()
    _rest()
    op.execute(
        f"UPDATE cluster_token SET scopes = replace(scopes, ']', ', \"{_SCOPE}\"]') "  # noqa: S608 - a constant
        f"WHERE scopes LIKE '[\"%' AND scopes NOT LIKE '%{_SCOPE}%'"
    )


def _owners() -> None:
    op.create_table(
        "policy_owner",
        text("org_id"),
        text("owner_id"),
        text("cluster_id", null=True),
        text("uid"),
        whole("generation"),
        text("spec_hash"),
        text("scope"),
        text("document"),
        raw("secrets", null=True),
        whole("created_at"),
        whole("stored_at"),
        whole("seen_at"),
        whole("missing_since", null=True),
        sa.Column("detached", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("org_id", "owner_id", name="pk_policy_owner"),
    )
    op.create_index("ix_policy_owner_org_id_cluster_id", "policy_owner", ["org_id", "cluster_id"])
    op.create_table(
        "policy_holder",
        text("org_id"),
        text("key"),
        text("owner_id"),
        whole("since_at"),
        sa.PrimaryKeyConstraint("org_id", "key", name="pk_policy_holder"),
    )


def _rest() -> None:
    op.create_table(
        "policy_override",
        text("org_id"),
        text("retention"),
        text("set_by"),
        whole("until_at"),
        sa.PrimaryKeyConstraint("org_id", name="pk_policy_override"),
    )
    op.create_table(
        "policy_release",
        text("org_id"),
        text("cluster_id"),
        text("owner_id"),
        whole("released_at"),
        sa.PrimaryKeyConstraint("org_id", "cluster_id", "owner_id", name="pk_policy_release"),
    )
    op.create_table(
        "policy_cluster",
        text("org_id"),
        text("cluster_id"),
        whole("heard_at"),
        whole("blocked_since", null=True),
        whole("release_agreed_until", null=True),
        whole("radar_pods", null=True),
        whole("radar_pods_without_gateway", null=True),
        text("operator_version"),
        sa.PrimaryKeyConstraint("org_id", "cluster_id", name="pk_policy_cluster"),
    )


def downgrade() -> None:
    """Drop them; scopes of tokens stay, an older version does not look at this one."""
    for name in (
        "policy_cluster",
        "policy_release",
        "policy_override",
        "policy_holder",
        "policy_owner",
    ):
        op.drop_table(name)
    op.drop_column("org", "settings_revision")
    op.drop_column("org", "retention")
