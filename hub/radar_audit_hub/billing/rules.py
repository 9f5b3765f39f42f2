"""What a subscription at Stripe means for its org: pure rules.

Owns which statuses pay for a plan, why a change happened, and which of two subscriptions
counts. Called by billing's other modules. Never reads a clock, never asks Stripe.
"""

from __future__ import annotations

from dataclasses import dataclass

from .plans import FREE, rank

# Stripe tries to collect for some weeks while a subscription is past due: the plan stays.
PAYING = frozenset({"active", "trialing", "past_due"})
ENDED = frozenset({"canceled", "incomplete_expired"})
_UNPAID = frozenset({"past_due", "unpaid", "incomplete", "paused"})
_PAID = frozenset({"active", "trialing"})


@dataclass(frozen=True, slots=True)
class Standing:
    """How an org stood at one moment: the plan it was on, its quantity and status at Stripe."""

    plan: str
    quantity: int | None
    status: str | None


def plan_of_status(plan: str, status: str) -> str:
    """Return the plan that an org is on whose subscription for `plan` has this status."""
    return plan if status in PAYING else FREE


def billed_quantity(clusters: int) -> int:
    """Return the quantity for a number of clusters: Stripe bills at least one."""
    return max(1, clusters)


def replaces(current: tuple[str, str] | None, new: tuple[str, str]) -> bool:
    """Tell whether a subscription, as (id, status), is to be the org's instead of `current`.

    What is told about one that has ended never replaces another, and one that has not ended is
    only replaced by one that pays while it does not.
    """
    if current is None or current[0] == new[0]:
        return True
    if new[1] in ENDED:
        return False
    return current[1] in ENDED or (new[1] in PAYING and current[1] not in PAYING)


def reason_of(before: Standing, after: Standing) -> str | None:
    """Return why a subscription changed, None if nothing did that the log tells of."""
    if before == after:
        return None
    if after.status in ENDED:
        return "canceled"
    if before.status is None or before.status in ENDED:
        return "checkout"
    if after.status in _UNPAID and after.status != before.status:
        return "payment_failed"
    if before.status == "incomplete" and after.status in _PAID:
        return "checkout"  # its first payment took a while
    if before.status in _UNPAID and after.status in _PAID:
        return "payment_recovered"
    if before.plan != after.plan:
        return "upgrade" if rank(after.plan) > rank(before.plan) else "downgrade"
    if before.quantity != after.quantity:
        return "quantity_sync"
    return "status_changed"
