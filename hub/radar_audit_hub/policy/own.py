"""The org's own document: made from what its owners ask for, and stored over the last one.

Owns its identity and its versions. Called by the routes of the policy, which replace it as a
whole, and by those of destinations, which change one part. Never stores one with a mistake.
"""

from __future__ import annotations

import hashlib

import msgspec
from radar_audit_events.ids import format_ms
from radar_audit_events.policy_wire import (
    NotificationSettings,
    OwnerDocument,
    RetentionSettings,
)

from radar_audit_hub.changes import Change
from radar_audit_hub.context import Hub
from radar_audit_hub.store.control import Org
from radar_audit_hub.store.database import Connection
from radar_audit_hub.store.owners import Owner, get_owner

from .settling import ORG_OWNER, read_document
from .storing import refuse_mistakes, store


class OwnPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`PUT policy`: the org's own document, as a whole."""

    retention: RetentionSettings | None = None
    notifications: NotificationSettings | None = None


async def own_policy(conn: Connection, org_id: str) -> OwnPolicy:
    """Return what the org's own document asks for now, without its secrets."""
    before = await get_owner(conn, org_id, ORG_OWNER)
    if before is None:
        return OwnPolicy()
    document = read_document(before)
    return OwnPolicy(retention=document.retention, notifications=document.notifications)


async def store_own(hub: Hub, change: Change, org: Org, asked: OwnPolicy) -> None:
    """Store the org's own document, whose org is locked; the same again changes nothing.

    Raises InvalidBodyError, DocumentQueryError or UnknownActionError for what is wrong.
    """
    before = await get_owner(change.conn, org.id, ORG_OWNER)
    document = _document(org, before, asked)
    refuse_mistakes(document, is_hub=False)
    if before is not None and before.spec_hash == document.spec_hash:
        return
    await store(
        hub,
        change,
        org,
        owner_id=ORG_OWNER,
        cluster_id=None,
        before=before,
        document=document,
    )


def _document(org: Org, before: Owner | None, asked: OwnPolicy) -> OwnerDocument:
    return OwnerDocument(
        uid=ORG_OWNER,
        generation=1 if before is None else before.generation + 1,
        spec_hash=hashlib.sha256(msgspec.json.encode(asked, order="sorted")).hexdigest(),
        created_at=format_ms(org.created_at_ms),
        scope="organization",
        retention=asked.retention,
        notifications=asked.notifications,
    )
