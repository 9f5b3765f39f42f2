"""Tables of signing in: sessions, identities, logins under way, one-time links, SSO.

Owns names and columns; the migration 0004 creates them. Secrets are here as SHA-256 only: of
sessions, states, browser cookies and links. Times are Unix milliseconds. Never holds a query.
"""

from __future__ import annotations

from sqlalchemy import Index, PrimaryKeyConstraint, Table, UniqueConstraint

from .schema import metadata, raw_column, text_column, whole_column

# A session is a person's, whatever the org: what they may do is looked up with every request.
session = Table(
    "session",
    metadata,
    raw_column("secret_hash"),
    text_column("id"),
    text_column("user_id"),
    text_column("method"),
    text_column("ip", null=True),
    text_column("user_agent", null=True),
    whole_column("created_at"),
    whole_column("last_seen_at"),
    whole_column("expires_at"),
    whole_column("revoked_at", null=True),
    PrimaryKeyConstraint("secret_hash"),
    UniqueConstraint("id"),
    Index(None, "user_id", "id"),
    Index(None, "expires_at"),
)
# Who an issuer says somebody is: the issuer's URL, or workos:<connection>, and its subject.
identity = Table(
    "identity",
    metadata,
    text_column("issuer"),
    text_column("subject"),
    text_column("user_id"),
    whole_column("created_at"),
    PrimaryKeyConstraint("issuer", "subject"),
    # One issuer names a user once: an e-mail that was given to somebody else takes nothing over.
    UniqueConstraint("user_id", "issuer"),
)
login = Table(
    "login",
    metadata,
    raw_column("state_hash"),
    raw_column("browser_hash"),
    text_column("kind"),
    text_column("issuer"),
    text_column("nonce"),
    text_column("verifier"),
    text_column("return_to"),
    text_column("org_id", null=True),
    whole_column("expires_at"),
    PrimaryKeyConstraint("state_hash"),
    Index(None, "expires_at"),
)
signin_link = Table(
    "signin_link",
    metadata,
    raw_column("token_hash"),
    text_column("user_id"),
    whole_column("expires_at"),
    PrimaryKeyConstraint("token_hash"),
    Index(None, "expires_at"),
)
# The WorkOS organization that stands for an org.
sso_org = Table(
    "sso_org",
    metadata,
    text_column("org_id"),
    text_column("workos_id"),
    whole_column("created_at"),
    PrimaryKeyConstraint("org_id"),
    UniqueConstraint("workos_id"),
)
sso_connection = Table(
    "sso_connection",
    metadata,
    text_column("org_id"),
    text_column("id"),
    text_column("idp"),
    text_column("domains"),
    whole_column("seen_at"),
    PrimaryKeyConstraint("org_id", "id"),
    UniqueConstraint("id"),
)
sso_portal = Table(
    "sso_portal",
    metadata,
    text_column("org_id"),
    text_column("id"),
    text_column("user_id"),
    text_column("email"),
    text_column("pat_name", null=True),
    text_column("intent"),
    whole_column("created_at"),
    whole_column("done_at", null=True),
    PrimaryKeyConstraint("org_id", "id"),
)
