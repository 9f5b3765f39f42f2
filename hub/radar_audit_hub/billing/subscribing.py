"""Writing what Stripe has about a subscription: the row, the org's plan and the event, as one.

Owns that step. Called by `webhook.py` with what was fetched. A fetch that began before one that
was written already is left out: whatever it brings is older or will be told again. Never asks
Stripe, and never takes a state from a webhook's own words.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal

from radar_audit_events.ids import is_opaque_id

from radar_audit_hub.changes import Change
from radar_audit_hub.errors import NotFoundError
from radar_audit_hub.notices import words
from radar_audit_hub.notices.telling import tell
from radar_audit_hub.store import checkouts, subscriptions
from radar_audit_hub.store.control import Org, get_org
from radar_audit_hub.store.subscriptions import Subscription

from .cancellation import put_cancel
from .checkout import give_up
from .moving import move_plan
from .plans import FREE, Prices
from .quantity import request_sync
from .rules import ENDED, PAYING, Standing, billed_quantity, plan_of_status, reason_of, replaces
from .stripe_client import RemoteSubscription

ACTION = "billing.subscription_changed"
FAILED = frozenset({"past_due", "unpaid"})  # Stripe's statuses after a payment that failed
Outcome = Literal["applied", "unchanged", "stale", "unknown"]
# What our checkouts put into a subscription's metadata.
_ORG_KEY, _INTENT_KEY = "org_id", "intent_id"
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A subscription as Stripe had it, and which fetch that was (`begin_fetch`)."""

    remote: RemoteSubscription
    number: int


async def apply(change: Change, fetched: Fetched, prices: Prices, grace_days: int) -> Outcome:
    """Write what was fetched, within the caller's change; say what came of it."""
    remote = fetched.remote
    org_id = await subscriptions.org_of_subscription(change.conn, remote.id)
    org_id = org_id or remote.metadata.get(_ORG_KEY, "")
    if not is_opaque_id("org", org_id):
        return "unknown"
    try:
        org = await change.lock(org_id)
    except NotFoundError:
        await _end_orphan(change, org_id, remote)
        return "unknown"
    if not await subscriptions.is_newest_fetch(change.conn, remote.id, fetched.number):
        return "stale"
    current = await subscriptions.get_subscription(change.conn, org.id)
    new = _subscription(org, remote, prices, current)
    if new is None:
        return "unknown"
    held = None if current is None else (current.subscription_id, current.status)
    if not replaces(held, (new.subscription_id, new.status)):
        if new.status in PAYING:
            _logger.error(
                "an organization pays for two subscriptions; end one of them at Stripe",
                extra={"org_id": org.id},
            )
        return "unknown"
    await subscriptions.save_subscription(change.conn, new, change.now_ms)
    if new.status in PAYING:
        await _end_checkouts(change, org, remote.metadata.get(_INTENT_KEY))
    return await _follow(change, org, current, new, grace_days)


async def _end_orphan(change: Change, org_id: str, remote: RemoteSubscription) -> None:
    """End the subscription of a deleted org: its checkout was paid when it was too late.

    Never one of an org that was never here: another hub may share the Stripe account.
    """
    if remote.status not in ENDED and await get_org(change.conn, org_id) is not None:
        await put_cancel(change.conn, org_id, remote.id, change.now_ms)


async def _end_checkouts(change: Change, org: Org, paid: str | None) -> None:
    """Close the checkout that was paid, and take back the others: nobody is to pay twice."""
    for intent in await checkouts.open_intents(change.conn, org.id):
        if intent.id == paid:
            await checkouts.close_intent(change.conn, org.id, intent.id, change.now_ms)
        else:
            await give_up(change.conn, intent, change.now_ms)


async def _follow(
    change: Change, org: Org, current: Subscription | None, new: Subscription, grace_days: int
) -> Outcome:
    """Bring plan and quantity into line, and write the event."""
    plan = _plan(org, current, new)
    await move_plan(change.conn, org, plan, now_ms=change.now_ms, grace_days=grace_days)
    if new.status in PAYING:
        clusters = await subscriptions.count_clusters(change.conn, org.id)
        if new.quantity != billed_quantity(clusters):
            await request_sync(change.conn, org.id, change.now_ms)
    same = current is not None and current.subscription_id == new.subscription_id
    before = Standing(
        org.plan,
        None if current is None else current.quantity,
        None if current is None else current.status,
    )
    after = Standing(plan, new.quantity, new.status)
    reason = reason_of(before, after)
    if reason is None and same:
        return "unchanged"
    metadata = {
        "subscription_id": new.subscription_id,
        "previous_plan": before.plan,
        "plan": after.plan,
        "previous_quantity": before.quantity,
        "quantity": after.quantity,
        "previous_status": before.status,
        "status": after.status,
        "reason": reason or "checkout",
    }
    change.note(org.id, ACTION, new.subscription_id, metadata)
    if after.status in FAILED and before.status not in FAILED:
        notice = words.payment_failed(
            org.id,
            new.subscription_id,
            plan=after.plan,
            status=new.status,
            now_ms=change.now_ms,
        )
        await tell(change, org.id, notice)
    return "applied"


def _plan(org: Org, current: Subscription | None, new: Subscription) -> str:
    """Return the plan that the org is on now.

    A subscription that never paid takes nothing away: the plan may have been set by hand.
    """
    plan = plan_of_status(new.plan, new.status)
    paid = current is not None and current.status in PAYING
    return org.plan if plan == FREE and not paid else plan


def _subscription(
    org: Org, remote: RemoteSubscription, prices: Prices, current: Subscription | None
) -> Subscription | None:
    """Return the row for a subscription, None if it is for nothing that is sold here."""
    item, plan = remote.paying_item(prices) or (None, None)
    # A price that was taken out of the settings still pays for what it paid for.
    if plan is None and current is not None and current.subscription_id == remote.id:
        plan = current.plan
    if item is None or plan is None:
        _logger.error("a subscription has a price that no plan has", extra={"org_id": org.id})
        return None
    end = item.current_period_end
    return Subscription(
        org_id=org.id,
        subscription_id=remote.id,
        customer_id=remote.customer,
        plan=plan,
        quantity=item.quantity,
        status=remote.status,
        current_period_end_ms=None if end is None else end * 1000,
        cancel_at_period_end=remote.cancel_at_period_end,
    )
