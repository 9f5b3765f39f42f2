"""First tables: the log, and who may read and write it.

Revision ID: 0001
Revises:
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# A step keeps its own copy of the columns: later changes of the schema must not change it.
_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def _text(name: str, *, null: bool = False) -> sa.Column[str]:
    return sa.Column(name, _TEXT, nullable=null)


def _whole(name: str, *, null: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=null, autoincrement=False)


def _raw(name: str, *, null: bool = False) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary, nullable=null)


def upgrade() -> None:
    """Create all tables."""
    _org_tables()
    _access_tables()
    _collector_tables()
    _log_tables()


def downgrade() -> None:
    """Drop all tables, and with them the log."""
    for name in (
        "audit_day_count",
        "audit_tile",
        "audit_event",
        "audit_log_head",
        "job_lease",
        "collector_gap",
        "collector",
        "pat",
        "cluster_token",
        "cluster",
        "org_member",
        "app_user",
        "org",
    ):
        op.drop_table(name)


def _org_tables() -> None:
    op.create_table(
        "org",
        _text("id"),
        _text("name"),
        _text("plan"),
        sa.Column("record_log_access", sa.Boolean, nullable=False),
        _whole("created_at"),
        _whole("deleted_at", null=True),
        sa.PrimaryKeyConstraint("id", name="pk_org"),
    )
    op.create_table(
        "app_user",
        _text("id"),
        _text("email"),
        _whole("created_at"),
        sa.PrimaryKeyConstraint("id", name="pk_app_user"),
        sa.UniqueConstraint("email", name="uq_app_user_email"),
    )
    op.create_table(
        "org_member",
        _text("org_id"),
        _text("user_id"),
        _text("role"),
        _whole("created_at"),
        sa.PrimaryKeyConstraint("org_id", "user_id", name="pk_org_member"),
    )


def _access_tables() -> None:
    op.create_table(
        "cluster",
        _text("org_id"),
        _text("id"),
        _text("name"),
        _text("environment"),
        _text("labels"),
        _whole("created_at"),
        _whole("deleted_at", null=True),
        sa.PrimaryKeyConstraint("org_id", "id", name="pk_cluster"),
        sa.UniqueConstraint("id", name="uq_cluster_id"),
    )
    op.create_table(
        "cluster_token",
        _raw("token_hash"),
        _text("org_id"),
        _text("cluster_id"),
        _text("scopes"),
        _whole("created_at"),
        _whole("last_used_at", null=True),
        _whole("revoked_at", null=True),
        sa.PrimaryKeyConstraint("token_hash", name="pk_cluster_token"),
    )
    op.create_table(
        "pat",
        _text("org_id"),
        _text("id"),
        _text("user_id"),
        _text("name"),
        _raw("token_hash"),
        _text("scopes", null=True),
        _whole("created_at"),
        _whole("expires_at", null=True),
        _whole("last_used_at", null=True),
        _whole("revoked_at", null=True),
        sa.PrimaryKeyConstraint("org_id", "id", name="pk_pat"),
        sa.UniqueConstraint("token_hash", name="uq_pat_token_hash"),
    )


def _collector_tables() -> None:
    op.create_table(
        "collector",
        _text("org_id"),
        _text("cluster_id"),
        _text("collector_id"),
        _text("instance_id"),
        _text("version"),
        _text("sources"),
        _text("spool"),
        _text("losses"),
        _text("open_sessions"),
        _text("capture_hash", null=True),
        _whole("first_seen_at"),
        _whole("last_seen_at"),
        sa.PrimaryKeyConstraint("org_id", "cluster_id", "collector_id", name="pk_collector"),
    )
    op.create_table(
        "collector_gap",
        _text("org_id"),
        _text("cluster_id"),
        _text("gap_id"),
        _text("collector_id"),
        _whole("from_at"),
        _whole("to_at"),
        _whole("count"),
        _text("reason"),
        _whole("recorded_at"),
        sa.PrimaryKeyConstraint("org_id", "cluster_id", "gap_id", name="pk_collector_gap"),
    )
    op.create_table(
        "job_lease",
        _text("name"),
        _text("holder"),
        _whole("until_at"),
        sa.PrimaryKeyConstraint("name", name="pk_job_lease"),
    )


def _log_tables() -> None:
    op.create_table(
        "audit_log_head",
        _text("org_id"),
        _whole("next_seq"),
        _whole("min_seq"),
        _raw("frontier"),
        _text("checkpoint", null=True),
        sa.PrimaryKeyConstraint("org_id", name="pk_audit_log_head"),
        postgresql_with={"fillfactor": "50"},
    )
    op.create_table(
        "audit_event",
        _text("org_id"),
        _whole("seq"),
        _text("id"),
        _text("actor_user_id", null=True),
        _text("actor_email", null=True),
        _text("action"),
        _text("target_type"),
        _text("target_id"),
        _text("cluster_id", null=True),
        _raw("source_key", null=True),
        _text("metadata"),
        _whole("created_at"),
        _whole("recorded_at"),
        _raw("pii_commitment"),
        _raw("pii_salt", null=True),
        _raw("leaf_hash"),
        sa.PrimaryKeyConstraint("org_id", "seq", name="pk_audit_event"),
        sa.UniqueConstraint("org_id", "id", name="uq_audit_event_org_id_id"),
        sa.UniqueConstraint("org_id", "source_key", name="uq_audit_event_org_id_source_key"),
        postgresql_with={"autovacuum_vacuum_insert_scale_factor": "0.02"},
    )
    op.create_index("ix_audit_event_org_id_action_id", "audit_event", ["org_id", "action", "id"])
    op.create_index(
        "ix_audit_event_org_id_actor_email_id", "audit_event", ["org_id", "actor_email", "id"]
    )
    op.create_index(
        "ix_audit_event_org_id_actor_user_id_id", "audit_event", ["org_id", "actor_user_id", "id"]
    )
    _tile_tables()


def _tile_tables() -> None:
    op.create_table(
        "audit_tile",
        _text("org_id"),
        _whole("level"),
        _whole("tile"),
        _raw("hashes"),
        sa.PrimaryKeyConstraint("org_id", "level", "tile", name="pk_audit_tile"),
    )
    op.create_table(
        "audit_day_count",
        _text("org_id"),
        _whole("day"),
        _text("action"),
        _whole("n"),
        sa.PrimaryKeyConstraint("org_id", "day", "action", name="pk_audit_day_count"),
    )
