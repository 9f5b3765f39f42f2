"""The tables of billing, described for SQLAlchemy: all ours, none a copy of Stripe's.

Owns table and column names; `migrations/versions/0005_billing.py` creates them. Called by
`subscriptions.py`, `checkouts.py` and `retention.py` of this folder. Times are Unix
milliseconds. Never holds a card, an address or a secret: those stay with Stripe.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Index, PrimaryKeyConstraint, Table, UniqueConstraint

from .schema import metadata, text_column, whole_column

# One a org, the last one it had. `sync_round` counts the requests to tell Stripe the number of
# clusters: those that come before one is carried out are that same one.
subscription = Table(
    "subscription",
    metadata,
    text_column("org_id"),
    text_column("subscription_id"),
    text_column("customer_id"),
    text_column("plan"),
    whole_column("quantity"),
    text_column("status"),
    whole_column("current_period_end", null=True),
    Column("cancel_at_period_end", Boolean, nullable=False),
    whole_column("sync_round"),
    whole_column("updated_at"),
    PrimaryKeyConstraint("org_id"),
    UniqueConstraint("subscription_id"),
)
# Which fetch of a subscription began last, and which one was written last: an older one that
# comes back later must not be written over it.
subscription_fetch = Table(
    "subscription_fetch",
    metadata,
    text_column("subscription_id"),
    whole_column("begun"),
    whole_column("written"),
    PrimaryKeyConstraint("subscription_id"),
)
stripe_event = Table(
    "stripe_event",
    metadata,
    text_column("event_id"),
    text_column("type"),
    whole_column("received_at"),
    PrimaryKeyConstraint("event_id"),
    Index(None, "received_at"),
)
# `params` is the request to Stripe: repeated word for word under the same key, the intent's id.
checkout_intent = Table(
    "checkout_intent",
    metadata,
    text_column("org_id"),
    text_column("id"),
    text_column("plan"),
    whole_column("quantity"),
    text_column("params"),
    text_column("user_id"),
    text_column("user_email"),
    text_column("pat_name", null=True),
    whole_column("created_at"),
    text_column("session_id", null=True),
    text_column("session_url", null=True),
    whole_column("expires_at", null=True),
    whole_column("closed_at", null=True),
    PrimaryKeyConstraint("org_id", "id"),
    UniqueConstraint("session_id"),
)
# After a downgrade the rows of the larger plan are kept, unseen, until `until_at`.
retention_hold = Table(
    "retention_hold",
    metadata,
    text_column("org_id"),
    text_column("plan"),
    whole_column("until_at"),
    PrimaryKeyConstraint("org_id", "plan"),
)
