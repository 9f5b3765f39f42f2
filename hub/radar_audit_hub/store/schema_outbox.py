"""The table of work that leaves the hub: mails, calls to other services.

Owns the table's name and columns for `outbox.py`. Never holds a query.
"""

from __future__ import annotations

from sqlalchemy import Index, PrimaryKeyConstraint, Table, UniqueConstraint

from .schema import metadata, text_column, whole_column

outbox = Table(
    "outbox",
    metadata,
    text_column("id"),
    text_column("org_id", null=True),
    text_column("kind"),
    text_column("dedup_key"),
    text_column("payload"),
    whole_column("created_at"),
    whole_column("due_at"),
    whole_column("give_up_at"),
    whole_column("attempts"),
    text_column("last_error", null=True),
    whole_column("claimed_until", null=True),
    whole_column("done_at", null=True),
    text_column("outcome", null=True),
    PrimaryKeyConstraint("id"),
    UniqueConstraint("dedup_key"),
    Index(None, "done_at", "due_at"),
)
