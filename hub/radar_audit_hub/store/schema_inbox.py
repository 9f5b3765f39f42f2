"""The tables of people's inboxes, of what they want by mail, and of clusters that are gone.

Owns names and columns; the migration 0012 creates them. Times are Unix milliseconds. Never holds
a query.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Index, PrimaryKeyConstraint, Table, UniqueConstraint

from .schema import metadata, text_column, whole_column

# One row per notice and person; `facts` is JSON. It stays until it is deleted by hand.
inbox_item = Table(
    "inbox_item",
    metadata,
    text_column("user_id"),
    text_column("id"),
    text_column("org_id"),
    text_column("kind"),
    text_column("dedup_key"),
    text_column("title"),
    text_column("path"),
    text_column("facts"),
    whole_column("created_at"),
    whole_column("read_at", null=True),
    PrimaryKeyConstraint("user_id", "id"),
    UniqueConstraint("user_id", "org_id", "dedup_key"),
    Index(None, "org_id", "user_id"),
)
# `by_mail` null: as the kind's default. `ending` is what stands in the link that ends the mails.
inbox_preference = Table(
    "inbox_preference",
    metadata,
    text_column("user_id"),
    text_column("kind"),
    Column("by_mail", Boolean, nullable=True),
    text_column("ending"),
    PrimaryKeyConstraint("user_id", "kind"),
    UniqueConstraint("ending"),
)
# Clusters that were told to be disconnected, and have not come back since.
cluster_gone = Table(
    "cluster_gone",
    metadata,
    text_column("org_id"),
    text_column("cluster_id"),
    whole_column("last_seen_at"),
    whole_column("told_at"),
    PrimaryKeyConstraint("org_id", "cluster_id"),
)
