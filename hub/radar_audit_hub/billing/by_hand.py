"""Setting an org's plan by the server's own command, where no Stripe says what is paid for.

Owns `set_plan_by_hand`. Called by `main.py`. The event has no actor and the reason
`set_by_operator`. Never touches a subscription: while Stripe is paid for a plan, Stripe decides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from radar_audit_hub.changes import changing_offline
from radar_audit_hub.errors import ConflictError
from radar_audit_hub.store.database import Database
from radar_audit_hub.store.subscriptions import get_subscription

from .moving import move_plan
from .rules import PAYING
from .subscribing import ACTION

REASON = "set_by_operator"
NO_SUBSCRIPTION = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanChange:
    """What the command did; `plan` and `previous_plan` are the same if there was nothing to do."""

    org_id: str
    previous_plan: str
    plan: str


async def set_plan_by_hand(
    db: Database,
    org_id: str,
    plan: str,
    *,
    grace_days: int,
    now_ms: int,
    random_bytes: Callable[[int], bytes],
) -> PlanChange:
    """Put an org on a plan at `now_ms` (Unix ms). Raises NotFoundError, ConflictError."""
    async with changing_offline(db, now_ms, random_bytes) as change:
        org = await change.lock(org_id)
        found = await get_subscription(change.conn, org_id)
        if found is not None and found.status in PAYING:
            raise ConflictError(
                f"{org_id} has a subscription at Stripe, which decides its plan; change or end it "
                "there"
            )
        if plan != org.plan:
            await move_plan(change.conn, org, plan, now_ms=now_ms, grace_days=grace_days)
            last = found.subscription_id if found is not None else NO_SUBSCRIPTION
            metadata = {
                "subscription_id": last,
                "previous_plan": org.plan,
                "plan": plan,
                "previous_quantity": None if found is None else found.quantity,
                "quantity": None if found is None else found.quantity,
                "previous_status": None if found is None else found.status,
                "status": NO_SUBSCRIPTION if found is None else found.status,
                "reason": REASON,
            }
            change.note(org_id, ACTION, last if found is not None else org_id, metadata)
    return PlanChange(org_id=org_id, previous_plan=org.plan, plan=plan)
