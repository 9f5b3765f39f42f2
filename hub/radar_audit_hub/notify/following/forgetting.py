"""Forgets what rules count once it can no longer reach a threshold: whom and what they counted by.

Owns that round. Called by the job that follows the log, now and then. A rule that selects nothing
more is not judged any more either, so its counts would stay. Never changes what a rule would tell:
a step that goes on from an older count drops the same by itself.
"""

from __future__ import annotations

import msgspec

from radar_audit_hub.notify.judging import RuleMemory
from radar_audit_hub.policy.alerts import DAY_SECONDS
from radar_audit_hub.store.database import Database
from radar_audit_hub.store.notify_following import (
    all_memories,
    orgs_with_memories,
    replace_memory,
)

# The longest that a threshold may count back, by the times of commits.
COUNTED_MS = DAY_SECONDS * 1000
_memory = msgspec.json.Decoder(RuleMemory)


async def forget_counted(db: Database, now_ms: int) -> int:
    """Forget the groups whose last event was counted a day before `now_ms` (Unix ms).

    Returns in how many rules there were any.
    """
    changed = 0
    async with db.read() as conn:
        orgs = await orgs_with_memories(conn)
    for org_id in orgs:
        async with db.read() as conn:
            found = await all_memories(conn, org_id)
        for rule, before in found.items():
            after = without_old(before, now_ms - COUNTED_MS)
            if after != before:
                async with db.write() as conn:
                    changed += await replace_memory(conn, org_id, rule, before, after)
    return changed


def without_old(text: str, before_ms: int) -> str | None:
    """Return what a rule remembers without groups that are older, None if nothing is left."""
    memory = _memory.decode(text)
    old = [key for key, times in memory.counted.items() if times[-1][0] <= before_ms]
    if not old:
        return text
    for key in old:
        del memory.counted[key]
    return None if memory == RuleMemory() else msgspec.json.encode(memory).decode()
