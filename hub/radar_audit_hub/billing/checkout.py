"""A checkout from the owner's request to the open Stripe session: intent, call, row and event.

Owns the three steps. `handlers.py` runs them for a request; when that is interrupted,
`finish_checkout` (outbox work) runs what is left, under the same idempotency key, so that Stripe
opens one session and the log has one event. Never calls Stripe inside a transaction.
"""

from __future__ import annotations

from dataclasses import dataclass

from radar_audit_events.errors import FieldError
from radar_audit_events.ids import new_id

from radar_audit_hub.auth.principal import OWNER
from radar_audit_hub.changes import Actor, Change, changing_by_itself
from radar_audit_hub.context import Hub
from radar_audit_hub.errors import ConflictError, InvalidBodyError, NotFoundError
from radar_audit_hub.outbox.delivery import Delivery, DeliveryFailedError
from radar_audit_hub.store import checkouts, outbox
from radar_audit_hub.store.checkouts import CheckoutIntent
from radar_audit_hub.store.control import Org
from radar_audit_hub.store.database import Connection
from radar_audit_hub.store.subscriptions import Subscription, count_clusters, get_subscription

from .plans import rank
from .rules import ENDED, billed_quantity
from .stripe_client import CheckoutSession, Stripe, StripeAwayError, StripeRefusedError

KIND = "billing.checkout"
EXPIRE_KIND = "billing.expire_checkout"
ACTION = "billing.checkout_started"
FINISH_AFTER_MS = 60_000  # longer than a request takes that is not interrupted
# Stripe keeps an idempotency key for a day at least; after it a second session would open.
_KEY_LIVES_MS = 23 * 3_600_000
_KEEP_CLOSED_MS = 90 * 86_400_000
_STILL_OPEN_MS = 60_000  # a page that closes in a minute is of no use to anybody


@dataclass(frozen=True, slots=True)
class Asker:
    """Who began a checkout, as the actor of its event, also when a job finishes it."""

    user_id: str
    email: str
    pat_name: str | None


async def intend(
    change: Change, hub: Hub, stripe: Stripe, caller: Actor, org_id: str, plan: str
) -> CheckoutIntent:
    """Return the checkout that this request is to open, or has open already.

    Raises NotFoundError, ForbiddenError, ConflictError, InvalidBodyError.
    """
    org, _ = await change.lock_as(org_id, OWNER)
    subscription = await get_subscription(change.conn, org_id)
    price = _check(stripe, org, subscription, plan)
    quantity = billed_quantity(await count_clusters(change.conn, org_id))
    found = None
    for intent in await checkouts.open_intents(change.conn, org_id):
        same = (intent.plan, intent.quantity) == (plan, quantity)
        if found is None and same and _is_good(intent, change.now_ms):
            found = intent
        else:
            await give_up(change.conn, intent, change.now_ms)
    if found is not None:
        return found
    await checkouts.forget_closed(change.conn, org_id, change.now_ms - _KEEP_CLOSED_MS)
    intent_id = new_id("ci_", change.now_ms, hub.random_bytes(10))
    made = CheckoutIntent(
        org_id=org_id,
        id=intent_id,
        plan=plan,
        quantity=quantity,
        params=_params(hub.settings.public_url, org_id, intent_id, price, quantity)
        | _payer(subscription, caller),
        user_id=caller.user_id,
        user_email=caller.email,
        pat_name=caller.pat_name,
        created_at_ms=change.now_ms,
    )
    await checkouts.insert_intent(change.conn, made)
    await outbox.put(
        change.conn,
        kind=KIND,
        dedup_key=f"{KIND}:{intent_id}",
        payload={"org_id": org_id, "intent_id": intent_id},
        now_ms=change.now_ms,
        due_ms=change.now_ms + FINISH_AFTER_MS,
        org_id=org_id,
    )
    return made


async def note_opened(
    change: Change, intent: CheckoutIntent, session: CheckoutSession
) -> CheckoutIntent:
    """Write the session that Stripe opened, and its event, unless that was done already.

    Raises NotFoundError if the org is gone.
    """
    await change.lock(intent.org_id)
    new = await checkouts.note_session(
        change.conn,
        intent.org_id,
        intent.id,
        session_id=session.id,
        url=session.url,
        expires_at_ms=session.expires_at * 1000,
    )
    found = await checkouts.get_intent(change.conn, intent.org_id, intent.id)
    if found is None:
        raise NotFoundError("there is no such checkout")
    if new:
        metadata = {
            "checkout_session_id": session.id,
            "plan": found.plan,
            "quantity": found.quantity,
        }
        change.note(found.org_id, ACTION, session.id, metadata)
        if found.closed_at_ms is not None:
            # Given up while Stripe was being asked; harmless if it was closed by being paid.
            await _put_expiry(change.conn, found, session.id, change.now_ms)
    return found


async def give_up(conn: Connection, intent: CheckoutIntent, now_ms: int) -> None:
    """Close a checkout that is of no use any more, at Stripe too, under the org's lock."""
    await checkouts.close_intent(conn, intent.org_id, intent.id, now_ms)
    if intent.session_id is not None:
        await _put_expiry(conn, intent, intent.session_id, now_ms)


async def close(hub: Hub, intent: CheckoutIntent) -> None:
    """Close a checkout that Stripe refused: the next request begins another one."""
    async with changing_by_itself(hub) as change:
        await checkouts.close_intent(change.conn, intent.org_id, intent.id, change.now_ms)


async def finish_checkout(hub: Hub, delivery: Delivery) -> None:
    """Do what is left of a checkout (outbox work). Raises DeliveryFailedError."""
    org_id, intent_id = delivery.payload["org_id"], delivery.payload["intent_id"]
    async with hub.db.read() as conn:
        intent = await checkouts.get_intent(conn, org_id, intent_id)
    if intent is None or intent.session_id is not None or intent.closed_at_ms is not None:
        return
    if hub.now_ms() - intent.created_at_ms > _KEY_LIVES_MS:
        await close(hub, intent)
        return
    try:
        stripe = Stripe(hub.outbound, hub.settings.stripe)
        session = await stripe.open_checkout(intent.params, intent.id)
    except (StripeAwayError, ConflictError) as error:
        raise DeliveryFailedError(str(error), retry=True) from None
    except StripeRefusedError as error:
        await close(hub, intent)
        raise DeliveryFailedError(str(error), retry=False) from None
    asker = Asker(intent.user_id, intent.user_email, intent.pat_name)
    try:
        async with changing_by_itself(hub, asker) as change:
            await note_opened(change, intent, session)
    except NotFoundError:  # the org was deleted meanwhile
        return


async def expire_checkout(hub: Hub, delivery: Delivery) -> None:
    """Take a session back at Stripe (outbox work). Raises DeliveryFailedError."""
    try:
        stripe = Stripe(hub.outbound, hub.settings.stripe)
        await stripe.expire_checkout(delivery.payload["session_id"], delivery.id)
    except (StripeAwayError, ConflictError) as error:
        raise DeliveryFailedError(str(error), retry=True) from None
    except StripeRefusedError as error:
        # 400 and 404: it was paid or has run out, which is as good.
        if error.status not in (400, 404):
            raise DeliveryFailedError(str(error), retry=False) from None


async def _put_expiry(
    conn: Connection, intent: CheckoutIntent, session_id: str, now_ms: int
) -> None:
    await outbox.put(
        conn,
        kind=EXPIRE_KIND,
        dedup_key=f"{EXPIRE_KIND}:{session_id}",
        payload={"session_id": session_id},
        now_ms=now_ms,
        org_id=intent.org_id,
    )


def _check(stripe: Stripe, org: Org, subscription: Subscription | None, plan: str) -> str:
    """Return the plan's price. Raises ConflictError if it cannot be bought as things stand."""
    price = stripe.prices.price_of(plan)
    if price is None:
        sold = " or ".join(stripe.prices.sold())
        raise InvalidBodyError([FieldError("plan", f"must be {sold}, which are sold here")])
    if subscription is not None and subscription.status not in ENDED:
        raise ConflictError(
            "the organization has a subscription; it is changed in the customer portal"
        )
    if rank(org.plan) >= rank(plan):
        raise ConflictError(f"the organization is on the plan {org.plan} already")
    return price


def _is_good(intent: CheckoutIntent, now_ms: int) -> bool:
    if intent.expires_at_ms is not None:
        return intent.expires_at_ms - now_ms > _STILL_OPEN_MS
    return now_ms - intent.created_at_ms <= _KEY_LIVES_MS


def _params(
    public_url: str, org_id: str, intent_id: str, price: str, quantity: int
) -> dict[str, str]:
    page = f"{public_url.rstrip('/')}/orgs/{org_id}/billing"
    return {
        "mode": "subscription",
        "line_items[0][price]": price,
        "line_items[0][quantity]": str(quantity),
        "client_reference_id": org_id,
        "metadata[org_id]": org_id,
        "metadata[intent_id]": intent_id,
        "subscription_data[metadata][org_id]": org_id,
        "subscription_data[metadata][intent_id]": intent_id,
        "success_url": f"{page}?checkout=done",
        "cancel_url": f"{page}?checkout=left",
    }


def _payer(subscription: Subscription | None, caller: Actor) -> dict[str, str]:
    """Return who pays: Stripe's customer of before, or a new one with the caller's e-mail."""
    if subscription is not None:
        return {"customer": subscription.customer_id}
    return {"customer_email": caller.email}
