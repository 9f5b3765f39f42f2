"""Moving an org to another plan: what follows at once, and what waits.

Owns the order of it: limits and reading follow the new plan in the same moment, while what the
old one still kept is held from deletion for the grace period. Called inside a change, under the
org's lock. Never writes the event: its caller knows why the plan changed.
"""

from __future__ import annotations

from radar_audit_hub.retention.policy import DAY_MS, Hold
from radar_audit_hub.store.control import Org
from radar_audit_hub.store.database import Connection
from radar_audit_hub.store.holds import drop_holds, put_hold
from radar_audit_hub.store.subscriptions import set_plan

from .plans import PLANS, rank


async def move_plan(conn: Connection, org: Org, plan: str, *, now_ms: int, grace_days: int) -> None:
    """Put the org on `plan` at `now_ms` (Unix ms); nothing changes if it is on it already.

    `grace_days` after a downgrade the rows of the larger plan may be deleted. Raises KeyError
    for an unknown plan.
    """
    if plan == org.plan:
        return
    await set_plan(conn, org.id, plan)
    if rank(plan) < rank(org.plan):
        await put_hold(conn, org.id, Hold(org.plan, now_ms + grace_days * DAY_MS))
    # The new plan keeps all that these held; a hold of a still larger one stays.
    await drop_holds(conn, org.id, [name for name in PLANS if rank(name) <= rank(plan)])
