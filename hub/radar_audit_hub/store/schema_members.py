"""Tables of membership: allowed domains, departures, invitations and their tokens.

Owns names and columns; the migration 0003 creates them. A token is here as its SHA-256 only.
Times are Unix milliseconds. Never holds a query.
"""

from __future__ import annotations

from sqlalchemy import Index, PrimaryKeyConstraint, Table

from .schema import metadata, raw_column, text_column, whole_column

# Whose people join by themselves. Several orgs of one company may name the same domain.
org_domain = Table(
    "org_domain",
    metadata,
    text_column("org_id"),
    text_column("domain"),
    whole_column("created_at"),
    PrimaryKeyConstraint("org_id", "domain"),
    Index(None, "domain", "org_id"),
)
# Who was removed or has left: their domain does not bring them back.
org_departure = Table(
    "org_departure",
    metadata,
    text_column("org_id"),
    text_column("user_id"),
    whole_column("departed_at"),
    PrimaryKeyConstraint("org_id", "user_id"),
)
org_invitation = Table(
    "org_invitation",
    metadata,
    text_column("org_id"),
    text_column("id"),
    text_column("email"),
    text_column("role"),
    text_column("inviter_user_id", null=True),
    text_column("inviter_email", null=True),
    whole_column("created_at"),
    whole_column("sent_at"),
    whole_column("times_sent"),
    whole_column("expires_at"),
    whole_column("accepted_at", null=True),
    whole_column("revoked_at", null=True),
    PrimaryKeyConstraint("org_id", "id"),
    Index(None, "org_id", "email"),
)
# Every copy of the link has a token of its own: the one that is shown, and one in each mail.
org_invitation_token = Table(
    "org_invitation_token",
    metadata,
    raw_column("token_hash"),
    text_column("org_id"),
    text_column("invitation_id"),
    PrimaryKeyConstraint("token_hash"),
    Index(None, "org_id", "invitation_id"),
)
