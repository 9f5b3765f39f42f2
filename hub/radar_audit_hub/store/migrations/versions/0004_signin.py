"""Tables of signing in.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from radar_audit_hub.store.migrations.columns import raw, text, whole

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.add_column(
        "app_user",
        sa.Column("email_verified", sa.Boolean, nullable=False, server_default=sa.false()),
    )
    _session_table()
    _login_tables()
    _sso_tables()


def downgrade() -> None:
    """Drop them: everybody has to sign in again."""
    for name in (
        "sso_portal",
        "sso_connection",
        "sso_org",
        "signin_link",
        "login",
        "identity",
        "session",
    ):
        op.drop_table(name)
    op.drop_column("app_user", "email_verified")


def _session_table() -> None:
    op.create_table(
        "session",
        raw("secret_hash"),
        text("id"),
        text("user_id"),
        text("method"),
        text("ip", null=True),
        text("user_agent", null=True),
        whole("created_at"),
        whole("last_seen_at"),
        whole("expires_at"),
        whole("revoked_at", null=True),
        sa.PrimaryKeyConstraint("secret_hash", name="pk_session"),
        sa.UniqueConstraint("id", name="uq_session_id"),
    )
    op.create_index("ix_session_user_id_id", "session", ["user_id", "id"])
    op.create_index("ix_session_expires_at", "session", ["expires_at"])


def _login_tables() -> None:
    op.create_table(
        "identity",
        text("issuer"),
        text("subject"),
        text("user_id"),
        whole("created_at"),
        sa.PrimaryKeyConstraint("issuer", "subject", name="pk_identity"),
        sa.UniqueConstraint("user_id", "issuer", name="uq_identity_user_id_issuer"),
    )
    op.create_table(
        "login",
        raw("state_hash"),
        raw("browser_hash"),
        text("kind"),
        text("issuer"),
        text("nonce"),
        text("verifier"),
        text("return_to"),
        text("org_id", null=True),
        whole("expires_at"),
        sa.PrimaryKeyConstraint("state_hash", name="pk_login"),
    )
    op.create_index("ix_login_expires_at", "login", ["expires_at"])
    op.create_table(
        "signin_link",
        raw("token_hash"),
        text("user_id"),
        whole("expires_at"),
        sa.PrimaryKeyConstraint("token_hash", name="pk_signin_link"),
    )
    op.create_index("ix_signin_link_expires_at", "signin_link", ["expires_at"])


def _sso_tables() -> None:
    op.create_table(
        "sso_org",
        text("org_id"),
        text("workos_id"),
        whole("created_at"),
        sa.PrimaryKeyConstraint("org_id", name="pk_sso_org"),
        sa.UniqueConstraint("workos_id", name="uq_sso_org_workos_id"),
    )
    op.create_table(
        "sso_connection",
        text("org_id"),
        text("id"),
        text("idp"),
        text("domains"),
        whole("seen_at"),
        sa.PrimaryKeyConstraint("org_id", "id", name="pk_sso_connection"),
        sa.UniqueConstraint("id", name="uq_sso_connection_id"),
    )
    op.create_table(
        "sso_portal",
        text("org_id"),
        text("id"),
        text("user_id"),
        text("email"),
        text("pat_name", null=True),
        text("intent"),
        whole("created_at"),
        whole("done_at", null=True),
        sa.PrimaryKeyConstraint("org_id", "id", name="pk_sso_portal"),
    )
