"""The tables of notifications: destinations, their messages, each attempt to deliver one.

Owns table and column names; `migrations/versions/0009_notify.py` creates them. Called by the
`notify_*.py` modules of this folder. Times are Unix milliseconds. Never holds a secret: those
stay sealed with their owner's document.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Index, PrimaryKeyConstraint, Table, UniqueConstraint

from .schema import metadata, raw_column, text_column, whole_column

# One row per destination of each owner's document; `identity` is the same for two that lead to
# the same receiver, so that an event is told there once. `disabled_*`: nothing is sent any more.
notify_destination = Table(
    "notify_destination",
    metadata,
    text_column("org_id"),
    text_column("id"),
    text_column("owner_id"),
    text_column("name"),
    text_column("kind"),
    raw_column("identity"),
    Column("has_secret", Boolean, nullable=False),
    whole_column("created_at"),
    whole_column("disabled_at", null=True),
    text_column("disabled_reason", null=True),
    whole_column("failing_since", null=True),
    whole_column("last_attempt_at", null=True),
    whole_column("last_delivery_at", null=True),
    whole_column("last_error_at", null=True),
    text_column("last_error", null=True),
    whole_column("suppressed"),
    PrimaryKeyConstraint("org_id", "id"),
    UniqueConstraint("org_id", "owner_id", "name"),
)
# One message for one destination; its id is the same over all attempts. `payload` is what
# `notify/content.py` says. `state`: pending, delivered, failed, dropped. `event_ids`: the events
# that it shows, sorted, with spaces between, null for none; it is kept no longer than they are.
notify_message = Table(
    "notify_message",
    metadata,
    text_column("org_id"),
    text_column("id"),
    text_column("destination_id"),
    text_column("owner_id"),
    text_column("rule"),
    text_column("kind"),
    text_column("severity"),
    text_column("dedup_key"),
    text_column("payload"),
    whole_column("created_at"),
    whole_column("recorded_at", null=True),
    whole_column("due_at"),
    text_column("state"),
    whole_column("attempts"),
    whole_column("settled_at", null=True),
    text_column("replay_of", null=True),
    text_column("event_ids", null=True),
    PrimaryKeyConstraint("org_id", "id"),
    UniqueConstraint("org_id", "dedup_key"),
    Index(None, "state", "due_at"),
    Index(None, "org_id", "destination_id", "state", "due_at"),
    Index(None, "org_id", "destination_id", "created_at"),
    Index(None, "org_id", "event_ids"),
)
# Who delivers to a destination now, and until when nobody else does: one at a time. With `token`
# null nobody does, and the destination rests until then, since its receiver failed.
notify_lane = Table(
    "notify_lane",
    metadata,
    text_column("org_id"),
    text_column("destination_id"),
    text_column("token", null=True),
    whole_column("until"),
    PrimaryKeyConstraint("org_id", "destination_id"),
)
# `outcome` null: begun, and not known how it ended (the process died in between).
notify_attempt = Table(
    "notify_attempt",
    metadata,
    text_column("org_id"),
    text_column("message_id"),
    whole_column("number"),
    whole_column("started_at"),
    whole_column("duration_ms", null=True),
    whole_column("receiver_status", null=True),
    text_column("outcome", null=True),
    text_column("error", null=True),
    text_column("request"),
    text_column("response", null=True),
    PrimaryKeyConstraint("org_id", "message_id", "number"),
)
