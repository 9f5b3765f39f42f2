"""The subscription's quantity follows the number of clusters: telling Stripe.

Owns the outbox work that `quantity.request_sync` asks for. The number is counted when it is
told, and Stripe is asked first, so that doing it twice is doing it once. Never writes the
subscription's row or an event: Stripe's webhook does, about what really happened.
"""

from __future__ import annotations

from radar_audit_hub.changes import changing_by_itself
from radar_audit_hub.context import Hub
from radar_audit_hub.errors import ConflictError, NotFoundError
from radar_audit_hub.outbox.delivery import Delivery, DeliveryFailedError
from radar_audit_hub.store.subscriptions import (
    Subscription,
    count_clusters,
    end_sync_round,
    get_subscription,
)

from .rules import PAYING, billed_quantity
from .stripe_client import Stripe, StripeAwayError, StripeRefusedError

_HOPELESS = frozenset({400, 402, 404})  # the rest is the server's set-up or passes by itself


async def sync_quantity(hub: Hub, delivery: Delivery) -> None:
    """Make the quantity at Stripe the number of clusters. Raises DeliveryFailedError."""
    found = await _begin(hub, delivery.payload["org_id"], delivery.payload["round"])
    if found is None:
        return
    subscription, quantity = found
    try:
        stripe = Stripe(hub.outbound, hub.settings.stripe)
        remote = await stripe.get_subscription(subscription.subscription_id)
        found_item = remote.paying_item(stripe.prices)
        if remote.status not in PAYING or found_item is None or found_item[0].quantity == quantity:
            return
        # A key for each attempt: the number may have changed since the last one, and an answer
        # of 500 would come back for a day under the same. What an attempt did that was cut off
        # is seen by asking first.
        key = f"{delivery.id}-{delivery.attempt}"
        await stripe.set_quantity(remote.id, found_item[0].id, quantity, key)
    except (StripeAwayError, ConflictError) as error:
        raise DeliveryFailedError(str(error), retry=True) from None
    except StripeRefusedError as error:
        raise DeliveryFailedError(str(error), retry=error.status not in _HOPELESS) from None


async def _begin(hub: Hub, org_id: str, number: int) -> tuple[Subscription, int] | None:
    """Let later requests be another round, then count; None if there is nothing to tell."""
    try:
        async with changing_by_itself(hub) as change:
            await change.lock(org_id)
            await end_sync_round(change.conn, org_id, number)
            subscription = await get_subscription(change.conn, org_id)
            clusters = await count_clusters(change.conn, org_id)
    except NotFoundError:  # the org is deleted, and its subscription is cancelled
        return None
    if subscription is None or subscription.status not in PAYING:
        return None
    return subscription, billed_quantity(clusters)
