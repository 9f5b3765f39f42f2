"""The hub's first tables, the same on SQLite and PostgreSQL; `tables.py` knows all of them.

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
    false,
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


def text_column(name: str, *, null: bool = False) -> Column[str]:
    """Return a column of text, compared byte by byte."""
    return Column(name, TEXT, nullable=null)


def whole_column(name: str, *, null: bool = False) -> Column[int]:
    """Return a column of 64-bit numbers, which the database never counts up by itself."""
    return Column(name, BigInteger, nullable=null, autoincrement=False)


def raw_column(name: str, *, null: bool = False) -> Column[bytes]:
    """Return a column of bytes."""
    return Column(name, LargeBinary, nullable=null)


org = Table(
    "org",
    metadata,
    text_column("id"),
    text_column("name"),
    text_column("plan"),
    Column("record_log_access", Boolean, nullable=False),
    whole_column("created_at"),
    whole_column("deleted_at", null=True),
    # Days that a new PAT is good for unless it says otherwise; null: without an end.
    whole_column("pat_default_days", null=True),
    # What people become who join by their domain.
    Column("default_role", TEXT, nullable=False, server_default="viewer"),
    # What deviates from the plan's retention (`retention/in_force.py`); null: nothing.
    text_column("retention", null=True),
    # Counts the changes of the audit policy.
    Column("settings_revision", BigInteger, nullable=False, server_default="0"),
    PrimaryKeyConstraint("id"),
)
app_user = Table(
    "app_user",
    metadata,
    text_column("id"),
    text_column("email"),
    whole_column("created_at"),
    # Whether an issuer that the hub trusts vouched for the e-mail.
    Column("email_verified", Boolean, nullable=False, server_default=false()),
    PrimaryKeyConstraint("id"),
    UniqueConstraint("email"),
)
org_member = Table(
    "org_member",
    metadata,
    text_column("org_id"),
    text_column("user_id"),
    text_column("role"),
    whole_column("created_at"),
    PrimaryKeyConstraint("org_id", "user_id"),
    Index(None, "user_id"),  # the orgs of whoever looks at a page
)
cluster = Table(
    "cluster",
    metadata,
    text_column("org_id"),
    text_column("id"),
    text_column("name"),
    text_column("environment"),
    text_column("labels"),
    whole_column("created_at"),
    whole_column("deleted_at", null=True),
    # When the hub last took a session of a silent collector as ended; null: it never did.
    whole_column("assumed_at", null=True),
    PrimaryKeyConstraint("org_id", "id"),
    UniqueConstraint("id"),
)
cluster_token = Table(
    "cluster_token",
    metadata,
    raw_column("token_hash"),
    text_column("org_id"),
    text_column("cluster_id"),
    text_column("scopes"),
    whole_column("created_at"),
    whole_column("last_used_at", null=True),
    whole_column("revoked_at", null=True),
    PrimaryKeyConstraint("token_hash"),
    Index(None, "org_id", "cluster_id"),
)
pat = Table(
    "pat",
    metadata,
    text_column("org_id"),
    text_column("id"),
    text_column("user_id"),
    text_column("name"),
    raw_column("token_hash"),
    text_column("scopes", null=True),
    whole_column("created_at"),
    whole_column("expires_at", null=True),
    whole_column("last_used_at", null=True),
    whole_column("revoked_at", null=True),
    PrimaryKeyConstraint("org_id", "id"),
    UniqueConstraint("token_hash"),
)
collector = Table(
    "collector",
    metadata,
    text_column("org_id"),
    text_column("cluster_id"),
    text_column("collector_id"),
    text_column("instance_id"),
    text_column("version"),
    text_column("sources"),
    text_column("spool"),
    text_column("losses"),
    text_column("open_sessions"),
    text_column("capture_hash", null=True),
    whole_column("first_seen_at"),
    whole_column("last_seen_at"),
    # When its silence was dealt with; null from the next heartbeat on.
    whole_column("settled_at", null=True),
    PrimaryKeyConstraint("org_id", "cluster_id", "collector_id"),
)
collector_gap = Table(
    "collector_gap",
    metadata,
    text_column("org_id"),
    text_column("cluster_id"),
    text_column("gap_id"),
    text_column("collector_id"),
    whole_column("from_at"),
    whole_column("to_at"),
    whole_column("count"),
    text_column("reason"),
    whole_column("recorded_at"),
    PrimaryKeyConstraint("org_id", "cluster_id", "gap_id"),
)
job_lease = Table(
    "job_lease",
    metadata,
    text_column("name"),
    text_column("holder"),
    whole_column("until_at"),
    PrimaryKeyConstraint("name"),
)

audit_log_head = Table(
    "audit_log_head",
    metadata,
    text_column("org_id"),
    whole_column("next_seq"),
    whole_column("min_seq"),
    raw_column("frontier"),
    text_column("checkpoint", null=True),
    PrimaryKeyConstraint("org_id"),
    # Its row is rewritten by every batch: room for updates within the page.
    postgresql_with={"fillfactor": "50"},
)
audit_event = Table(
    "audit_event",
    metadata,
    text_column("org_id"),
    whole_column("seq"),
    text_column("id"),
    text_column("actor_user_id", null=True),
    text_column("actor_email", null=True),
    text_column("action"),
    text_column("target_type"),
    text_column("target_id"),
    text_column("cluster_id", null=True),
    raw_column("source_key", null=True),
    text_column("metadata"),
    whole_column("created_at"),
    whole_column("recorded_at"),
    raw_column("pii_commitment"),
    raw_column("pii_salt", null=True),
    raw_column("leaf_hash"),
    PrimaryKeyConstraint("org_id", "seq"),
    UniqueConstraint("org_id", "id"),
    UniqueConstraint("org_id", "source_key"),
    Index(None, "org_id", "action", "id"),
    Index(None, "org_id", "actor_email", "id"),
    Index(None, "org_id", "actor_user_id", "id"),
    postgresql_with={
        # Insert-only in the main: keep the visibility map fresh for index-only counts.
        "autovacuum_vacuum_insert_scale_factor": "0.02",
        # So many new events may be of one org that the statistics do not know: then a search
        # reads all of them. A share of a long log would be far more.
        "autovacuum_analyze_scale_factor": "0",
        "autovacuum_analyze_threshold": "5000",
    },
)
audit_tile = Table(
    "audit_tile",
    metadata,
    text_column("org_id"),
    whole_column("level"),
    whole_column("tile"),
    raw_column("hashes"),
    PrimaryKeyConstraint("org_id", "level", "tile"),
)
audit_day_count = Table(
    "audit_day_count",
    metadata,
    text_column("org_id"),
    whole_column("day"),
    text_column("action"),
    whole_column("n"),
    PrimaryKeyConstraint("org_id", "day", "action"),
)
