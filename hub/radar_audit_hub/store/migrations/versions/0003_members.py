"""Default role and domains of orgs, departures, invitations.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from radar_audit_hub.store.migrations.columns import raw, text, whole

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Create the tables; orgs that exist give newcomers the least role."""
    op.add_column("org", sa.Column("default_role", _TEXT, nullable=False, server_default="viewer"))
    op.create_table(
        "org_domain",
        text("org_id"),
        text("domain"),
        whole("created_at"),
        sa.PrimaryKeyConstraint("org_id", "domain", name="pk_org_domain"),
    )
    op.create_index("ix_org_domain_domain_org_id", "org_domain", ["domain", "org_id"])
    op.create_table(
        "org_departure",
        text("org_id"),
        text("user_id"),
        whole("departed_at"),
        sa.PrimaryKeyConstraint("org_id", "user_id", name="pk_org_departure"),
    )
    _invitations()


def downgrade() -> None:
    """Drop them, and with them the invitations that are open."""
    for name in ("org_invitation_token", "org_invitation", "org_departure", "org_domain"):
        op.drop_table(name)
    op.drop_column("org", "default_role")


def _invitations() -> None:
    op.create_table(
        "org_invitation",
        text("org_id"),
        text("id"),
        text("email"),
        text("role"),
        text("inviter_user_id", null=True),
        text("inviter_email", null=True),
        whole("created_at"),
        whole("sent_at"),
        whole("times_sent"),
        whole("expires_at"),
        whole("accepted_at", null=True),
        whole("revoked_at", null=True),
        sa.PrimaryKeyConstraint("org_id", "id", name="pk_org_invitation"),
    )
    op.create_index("ix_org_invitation_org_id_email", "org_invitation", ["org_id", "email"])
    op.create_table(
        "org_invitation_token",
        raw("token_hash"),
        text("org_id"),
        text("invitation_id"),
        sa.PrimaryKeyConstraint("token_hash", name="pk_org_invitation_token"),
    )
    op.create_index(
        "ix_org_invitation_token_org_id_invitation_id",
        "org_invitation_token",
        ["org_id", "invitation_id"],
    )
