"""From a valid event to the row that is stored: canonical text, commitment, leaf hash.

Owns the work that needs no lock, so that the org's log head is held only for
the write itself. Called by ingest and by every mutation that writes an event.
Pure: the salt is an argument.
"""

from __future__ import annotations

import msgspec
from radar_audit_events.actions import ACTIONS
from radar_audit_events.codec import (
    encode_plain,
    leaf_bytes,
    leaf_hash,
    personal_commitment,
    split_personal,
)
from radar_audit_events.event import Event, validate_event
from radar_audit_events.ids import format_ms


class PreparedEvent(msgspec.Struct, frozen=True, gc=False):
    """A row of `audit_event` but for its org, place and recording time.

    A struct, because making a frozen dataclass of so many fields costs as much as the leaf.
    """

    id: str
    actor_user_id: str | None
    actor_email: str | None
    action: str
    target_type: str
    target_id: str
    cluster_id: str | None
    source_key: bytes | None
    metadata: str
    created_at_ms: int
    pii_commitment: bytes
    pii_salt: bytes
    leaf_hash: bytes


def prepare(event: Event, salt: bytes, source_key: bytes | None = None) -> PreparedEvent:
    """Validate an event and compute all that is stored with it.

    `salt` is 32 fresh random bytes; `source_key` the 10 bytes of a captured
    fact. Raises EventInvalidError naming the wrong field.
    """
    text = validate_event(event)
    public, personal = split_personal(
        event.metadata, ACTIONS[event.action].personal_keys, event.actor_email
    )
    commitment = personal_commitment(salt, personal)
    leaf = leaf_bytes(
        org_id=event.org_id,
        id=event.id,
        action=event.action,
        target_type=event.target_type,
        target_id=event.target_id,
        actor_user_id=event.actor_user_id,
        created_at=format_ms(event.created_at_ms),
        public_metadata=text if public is event.metadata else encode_plain(public),
        commitment=commitment,
    )
    return PreparedEvent(
        id=event.id,
        actor_user_id=event.actor_user_id,
        actor_email=event.actor_email,
        action=event.action,
        target_type=event.target_type,
        target_id=event.target_id,
        cluster_id=event.cluster_id,
        source_key=source_key,
        metadata=text.decode(),
        created_at_ms=event.created_at_ms,
        pii_commitment=commitment,
        pii_salt=salt,
        leaf_hash=leaf_hash(leaf),
    )
