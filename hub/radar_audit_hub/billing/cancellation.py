"""Ending the subscription of an org that is deleted.

Owns `request_cancel`, which the org's deletion calls inside that change, and the outbox work
that tells Stripe. Never writes the subscription's row: the org is gone.
"""

from __future__ import annotations

from radar_audit_hub.context import Hub
from radar_audit_hub.errors import ConflictError
from radar_audit_hub.outbox.delivery import Delivery, DeliveryFailedError
from radar_audit_hub.store import checkouts, outbox
from radar_audit_hub.store.database import Connection
from radar_audit_hub.store.subscriptions import get_subscription

from .checkout import give_up
from .rules import ENDED
from .stripe_client import Stripe, StripeAwayError, StripeRefusedError

KIND = "billing.cancel"


async def request_cancel(conn: Connection, org_id: str, now_ms: int) -> bool:
    """Have the org's subscription ended at Stripe, once this transaction has committed.

    To be called under the org's lock. Its open checkouts are taken back. False if there is no
    subscription to end.
    """
    for intent in await checkouts.open_intents(conn, org_id):
        await give_up(conn, intent, now_ms)
    found = await get_subscription(conn, org_id)
    if found is None or found.status in ENDED:
        return False
    return await put_cancel(conn, org_id, found.subscription_id, now_ms)


async def put_cancel(conn: Connection, org_id: str, subscription_id: str, now_ms: int) -> bool:
    """Have one subscription ended at Stripe after the commit; False if that was asked before."""
    return await outbox.put(
        conn,
        kind=KIND,
        dedup_key=f"{KIND}:{subscription_id}",
        payload={"subscription_id": subscription_id},
        now_ms=now_ms,
        org_id=org_id,
    )


async def cancel_subscription(hub: Hub, delivery: Delivery) -> None:
    """End a subscription at Stripe (outbox work). Raises DeliveryFailedError."""
    try:
        stripe = Stripe(hub.outbound, hub.settings.stripe)
        await stripe.cancel(delivery.payload["subscription_id"])
    except (StripeAwayError, ConflictError) as error:
        raise DeliveryFailedError(str(error), retry=True) from None
    except StripeRefusedError as error:
        if error.status != 404:  # that is: it has ended already
            raise DeliveryFailedError(str(error), retry=error.status != 400) from None
