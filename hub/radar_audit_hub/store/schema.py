"""The hub's tables, the same on SQLite and PostgreSQL.

Owns table and column names for all SQL of this folder; the migrations create
them. Times are Unix milliseconds; JSON is kept as text, because jsonb would
reorder the canonical bytes that the leaf hash is made of. Never holds a query.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)

# Byte order on both databases: ids sort by time only when compared as bytes.
TEXT = Text().with_variant(Text(collation="C"), "postgresql")

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


def _text(name: str, *, null: bool = False) -> Column[str]:
    return Column(name, TEXT, nullable=null)


def _whole(name: str, *, null: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=null, autoincrement=False)


def _raw(name: str, *, null: bool = False) -> Column[bytes]:
    return Column(name, LargeBinary, nullable=null)


org = Table(
    "org",
    metadata,
    _text("id"),
    _text("name"),
    _text("plan"),
    Column("record_log_access", Boolean, nullable=False),
    _whole("created_at"),
    _whole("deleted_at", null=True),
    PrimaryKeyConstraint("id"),
)
app_user = Table(
    "app_user",
    metadata,
    _text("id"),
    _text("email"),
    _whole("created_at"),
    PrimaryKeyConstraint("id"),
    UniqueConstraint("email"),
)
org_member = Table(
    "org_member",
    metadata,
    _text("org_id"),
    _text("user_id"),
    _text("role"),
    _whole("created_at"),
    PrimaryKeyConstraint("org_id", "user_id"),
)
cluster = Table(
    "cluster",
    metadata,
    _text("org_id"),
    _text("id"),
    _text("name"),
    _text("environment"),
    _text("labels"),
    _whole("created_at"),
    _whole("deleted_at", null=True),
    PrimaryKeyConstraint("org_id", "id"),
    UniqueConstraint("id"),
)
cluster_token = Table(
    "cluster_token",
    metadata,
    _raw("token_hash"),
    _text("org_id"),
    _text("cluster_id"),
    _text("scopes"),
    _whole("created_at"),
    _whole("last_used_at", null=True),
    _whole("revoked_at", null=True),
    PrimaryKeyConstraint("token_hash"),
)
pat = Table(
    "pat",
    metadata,
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
    PrimaryKeyConstraint("org_id", "id"),
    UniqueConstraint("token_hash"),
)
collector = Table(
    "collector",
    metadata,
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
    PrimaryKeyConstraint("org_id", "cluster_id", "collector_id"),
)
collector_gap = Table(
    "collector_gap",
    metadata,
    _text("org_id"),
    _text("cluster_id"),
    _text("gap_id"),
    _text("collector_id"),
    _whole("from_at"),
    _whole("to_at"),
    _whole("count"),
    _text("reason"),
    _whole("recorded_at"),
    PrimaryKeyConstraint("org_id", "cluster_id", "gap_id"),
)
job_lease = Table(
    "job_lease",
    metadata,
    _text("name"),
    _text("holder"),
    _whole("until_at"),
    PrimaryKeyConstraint("name"),
)

audit_log_head = Table(
    "audit_log_head",
    metadata,
    _text("org_id"),
    _whole("next_seq"),
    _whole("min_seq"),
    _raw("frontier"),
    _text("checkpoint", null=True),
    PrimaryKeyConstraint("org_id"),
    # Its row is rewritten by every batch: room for updates within the page.
    postgresql_with={"fillfactor": "50"},
)
audit_event = Table(
    "audit_event",
    metadata,
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
    PrimaryKeyConstraint("org_id", "seq"),
    UniqueConstraint("org_id", "id"),
    UniqueConstraint("org_id", "source_key"),
    Index(None, "org_id", "action", "id"),
    Index(None, "org_id", "actor_email", "id"),
    Index(None, "org_id", "actor_user_id", "id"),
    # Insert-only in the main: keep the visibility map fresh for index-only counts.
    postgresql_with={"autovacuum_vacuum_insert_scale_factor": "0.02"},
)
audit_tile = Table(
    "audit_tile",
    metadata,
    _text("org_id"),
    _whole("level"),
    _whole("tile"),
    _raw("hashes"),
    PrimaryKeyConstraint("org_id", "level", "tile"),
)
audit_day_count = Table(
    "audit_day_count",
    metadata,
    _text("org_id"),
    _whole("day"),
    _text("action"),
    _whole("n"),
    PrimaryKeyConstraint("org_id", "day", "action"),
)
