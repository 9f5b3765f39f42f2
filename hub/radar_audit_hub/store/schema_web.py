"""The table of what people keep for themselves on the pages: saved views of the log.

Owns names and columns; the migration 0011 creates it. Times are Unix milliseconds. Never holds a
query.
"""

from __future__ import annotations

from sqlalchemy import PrimaryKeyConstraint, Table

from .schema import metadata, text_column, whole_column

# `query` is canonical text of the query language; `range` a relative range's word, else empty.
saved_view = Table(
    "saved_view",
    metadata,
    text_column("org_id"),
    text_column("user_id"),
    text_column("id"),
    text_column("name"),
    text_column("query"),
    text_column("range"),
    whole_column("created_at"),
    PrimaryKeyConstraint("org_id", "user_id", "id"),
)
