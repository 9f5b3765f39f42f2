"""The answers of billing's routes, in the form that goes out.

Owns their fields. Called by `handlers.py`; the OpenAPI part describes the same. Times are
RFC 3339. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from radar_audit_events.ids import format_ms

from radar_audit_hub.retention.policy import Hold
from radar_audit_hub.store.subscriptions import Subscription

from .plans import PLANS, rank


class Limits(msgspec.Struct):
    """What the plan allows; null is any number."""

    clusters: int | None


class Grace(msgspec.Struct):
    """What a larger plan kept is not shown, but not deleted either, until then."""

    plan: str
    retention_days: int
    until: str


class SubscriptionAnswer(msgspec.Struct):
    """The subscription as Stripe last showed it; `plan` is what it is for."""

    id: str
    plan: str
    quantity: int
    status: str
    current_period_end: str | None
    cancel_at_period_end: bool


class BillingAnswer(msgspec.Struct):
    """An org's plan, what it gives and holds, and what pays for it."""

    plan: str
    retention_days: int
    limits: Limits
    clusters_used: int
    subscription: SubscriptionAnswer | None
    grace: list[Grace]
    plans_sold: list[str]


class CheckoutAnswer(msgspec.Struct):
    """A page of Stripe's where the plan can be paid for, until it expires."""

    checkout_session_id: str
    url: str
    plan: str
    quantity: int
    expires_at: str


class PageAnswer(msgspec.Struct):
    """The address of a page of Stripe's, for the one who asked and for a few minutes."""

    url: str


def billing_answer(
    plan: str,
    clusters: int,
    subscription: Subscription | None,
    holds: Sequence[Hold],
    sold: Sequence[str],
    now_ms: int,
) -> BillingAnswer:
    """Return the answer about an org at `now_ms` (Unix ms)."""
    held = sorted(holds, key=lambda hold: rank(hold.plan), reverse=True)
    return BillingAnswer(
        plan=plan,
        retention_days=PLANS[plan].retention_days,
        limits=Limits(PLANS[plan].max_clusters),
        clusters_used=clusters,
        subscription=None if subscription is None else _subscription(subscription),
        grace=[
            Grace(hold.plan, PLANS[hold.plan].retention_days, format_ms(hold.until_ms))
            for hold in held
            if hold.until_ms > now_ms
        ],
        plans_sold=list(sold),
    )


def _subscription(found: Subscription) -> SubscriptionAnswer:
    end = found.current_period_end_ms
    return SubscriptionAnswer(
        id=found.subscription_id,
        plan=found.plan,
        quantity=found.quantity,
        status=found.status,
        current_period_end=None if end is None else format_ms(end),
        cancel_at_period_end=found.cancel_at_period_end,
    )
