"""The tables of how far notifications have followed each org's log, and what rules remember.

Owns table and column names; `migrations/versions/0010_following.py` creates them. Called by
`notify_following.py`. Times are Unix milliseconds, JSON is text. Never holds an event, only the
places of events in the log, so that retention and erasure reach what waits here, too.
"""

from __future__ import annotations

from sqlalchemy import Index, PrimaryKeyConstraint, Table

from .schema import metadata, text_column, whole_column

# One row per org that has an active rule. `next_seq` is the first event that is not judged yet.
# `version` counts the steps: each is made under the condition that it is still what was read.
# `claim` says which replica works on the org, so that others do not do the same in vain.
notify_cursor = Table(
    "notify_cursor",
    metadata,
    text_column("org_id"),
    whole_column("next_seq"),
    whole_column("version"),
    text_column("claim", null=True),
    whole_column("claimed_until"),
    whole_column("judged_at"),
    PrimaryKeyConstraint("org_id"),
)
# One row per owner with an active rule: from which seq on each of its rules tells each of the
# rule's destinations, as JSON {rule: {destination: seq}}.
notify_route = Table(
    "notify_route",
    metadata,
    text_column("org_id"),
    text_column("owner_id"),
    text_column("since"),
    PrimaryKeyConstraint("org_id", "owner_id"),
)
# What a rule counts: events on the way to its threshold, messages in its throttle's window.
notify_memory = Table(
    "notify_memory",
    metadata,
    text_column("org_id"),
    text_column("owner_id"),
    text_column("rule"),
    text_column("memory"),
    PrimaryKeyConstraint("org_id", "owner_id", "rule"),
)
# What waits to become one message: a digest, a group, quiet hours, or what a throttle held back.
notify_window = Table(
    "notify_window",
    metadata,
    text_column("org_id"),
    text_column("owner_id"),
    text_column("rule"),
    text_column("destination_id"),
    text_column("kind"),
    text_column("key"),
    whole_column("due_at"),
    text_column("held"),
    PrimaryKeyConstraint("org_id", "owner_id", "rule", "destination_id", "kind", "key"),
    Index(None, "due_at"),
)
