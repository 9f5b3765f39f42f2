"""From where on an owner's rules tell: noted in the change that stores its document.

Owns that hook. Called wherever an owner's document is stored or ends, with the org locked. A rule
that is new, or active again, and a new destination of a rule begin with the events after this
change; an org's first active rule has its log followed at all. Never judges anything.
"""

from __future__ import annotations

import msgspec
from radar_audit_events.policy_wire import OwnerDocument

from radar_audit_hub.notify.rules import is_active
from radar_audit_hub.store.database import Connection
from radar_audit_hub.store.notify_following import (
    delete_route,
    forget_rules,
    get_route,
    head_seq,
    put_route,
)

Since = dict[str, dict[str, int]]  # by rule and destination: the first seq that may be told
_since = msgspec.json.Decoder(Since)


def read_since(text: str) -> Since:
    """Return what is stored of an owner's routes."""
    return _since.decode(text)


async def follow_document(
    conn: Connection, org_id: str, owner_id: str, document: OwnerDocument | None, now_ms: int
) -> None:
    """Let the routes of an owner follow its document (None: it has ended) at `now_ms` (Unix ms)."""
    asked = None if document is None else document.notifications
    active = [] if asked is None else [rule for rule in asked.rules if is_active(rule)]
    known = await get_route(conn, org_id, owner_id)
    await forget_rules(conn, org_id, owner_id, [rule.name for rule in active])
    if not active:
        if known is not None:
            await delete_route(conn, org_id, owner_id)
        return
    before = {} if known is None else read_since(known)
    next_seq = await head_seq(conn, org_id)
    after = {
        rule.name: {
            name: before.get(rule.name, {}).get(name, next_seq) for name in rule.destinations
        }
        for rule in active
    }
    if known is None or after != before:
        text = msgspec.json.encode(after).decode()
        await put_route(conn, org_id, owner_id, text, next_seq=next_seq, now_ms=now_ms)
