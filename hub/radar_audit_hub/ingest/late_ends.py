"""Real ends of sessions that the hub had taken as ended when their collector fell silent.

Owns the look-up of those assumed ends, which a collector knows nothing of. Called by
`handlers.py`, and only for clusters where the hub ever assumed an end: for all others a batch
costs no statement more. Never changes what is stored: a real end that supersedes an assumed one
is stored beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from radar_audit_events import ids
from radar_audit_events.wire import WireEvent

from radar_audit_hub.store.database import Database
from radar_audit_hub.store.facts import stored_facts

from .rules import AssumedEnd, is_real_end


async def assumed_ends(
    db: Database, org_id: str, cluster_id: str, events: Sequence[object]
) -> Mapping[str, AssumedEnd]:
    """Return the stored assumed ends of those sessions that really end in this batch, by session.

    What no session could be called is passed over: it will be rejected.
    """
    keys = {
        ids.source_key(cluster_id, event.session_id, "assumed"): event.session_id
        for event in events
        if isinstance(event, WireEvent) and is_real_end(event)
    }
    if not keys:
        return {}
    async with db.read() as conn:
        found = await stored_facts(conn, org_id, keys)
    return {
        keys[key]: AssumedEnd(fact.id, fact.target_id, fact.started_at)
        for key, fact in found.items()
    }
