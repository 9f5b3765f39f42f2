"""Letting an owner go: what of its settings ends, and what stays.

Owns the one rule that a deleted object never deletes evidence: its holds last until somebody
releases them, and a shorter age waits. Called by the operator's DELETE, by its heartbeat and by an
admin. Never opens a transaction.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import msgspec
from radar_audit_events.policy_wire import OwnerDocument, RetentionSettings

from radar_audit_hub.changes import Change
from radar_audit_hub.notify.destinations import forget
from radar_audit_hub.notify.following.starting import follow_document
from radar_audit_hub.store.control import Org
from radar_audit_hub.store.owners import (
    Owner,
    delete_owner,
    put_owner,
)

from .differences import Changes, changes
from .settling import Settled, delay_ms, read_document, settle

ACTION = "audit.policy_changed"
Policy = Literal["revert", "retain"]


async def release(change: Change, org: Org, owner: Owner, policy: Policy) -> Settled | None:
    """Release an owner, whose org is locked, and note it; None where nothing was left to release.

    `retain`: its settings stay in force without it. `revert`: they end, but for holds that nobody
    has released.
    """
    if owner.detached:
        return None
    document = read_document(owner)
    told: Changes = {"state": ["in force", "kept without its object"]}
    if policy == "retain":
        await put_owner(change.conn, replace(owner, detached=True, missing_since_ms=None))
    else:
        left = _holds_alone(document)
        told = {**changes(document, left, {}, {}), "state": ["in force", "released"]}
        await follow_document(change.conn, org.id, owner.owner_id, None, change.now_ms)
        await forget(change, org.id, owner.owner_id)
        if left is None:
            await delete_owner(change.conn, org.id, owner.owner_id)
        else:
            text = msgspec.json.encode(left).decode()
            kept = replace(owner, document=text, secrets=None, detached=True, missing_since_ms=None)
            await put_owner(change.conn, kept)
    kind = "owner_released" if policy == "revert" else "owner_detached"
    change.note(org.id, ACTION, org.id, {"kind": kind, "owner": owner.owner_id, "changes": told})
    waits = delay_ms(document, released=True)
    return await settle(change.conn, org, now_ms=change.now_ms, delay_ms=waits)


def _holds_alone(document: OwnerDocument) -> OwnerDocument | None:
    """Return a document of the holds that are not released, None where there are none."""
    asked = document.retention
    lasting = [] if asked is None else [hold for hold in asked.holds if not hold.released]
    if not lasting:
        return None
    return OwnerDocument(
        uid=document.uid,
        generation=document.generation,
        spec_hash=document.spec_hash,
        created_at=document.created_at,
        scope=document.scope,
        retention=RetentionSettings(holds=lasting),
    )
