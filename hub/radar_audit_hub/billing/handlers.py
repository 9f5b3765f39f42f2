"""The routes of billing: what an org has and pays for, checkout, customer portal, webhook.

Owns the edge and the list of billing's outbox work. Owners only. Money and cards are Stripe's:
the hub gives out addresses of Stripe's pages and learns the outcome by its webhook. Never
changes a plan because somebody came back from such a page.
"""

from __future__ import annotations

import asyncio
import logging

import msgspec
from aiohttp import web
from radar_audit_events.ids import format_ms

from radar_audit_hub.auth.access import require
from radar_audit_hub.auth.principal import ORG_READ_SCOPE, OWNER, Principal
from radar_audit_hub.changes import changing
from radar_audit_hub.context import HUB, Hub
from radar_audit_hub.declarations import declare
from radar_audit_hub.errors import ConflictError, UnavailableError
from radar_audit_hub.json_edge import json_document, no_parameters, read_document
from radar_audit_hub.outbox.delivery import Handlers
from radar_audit_hub.store.checkouts import CheckoutIntent
from radar_audit_hub.store.holds import holds_of
from radar_audit_hub.store.subscriptions import count_clusters, get_subscription

from . import cancellation, checkout, quantity, quantity_job, subscribing, webhook
from .answers import BillingAnswer, CheckoutAnswer, PageAnswer, billing_answer
from .stripe_client import (
    CheckoutSession,
    Stripe,
    StripeAwayError,
    StripeBusyError,
    StripeRefusedError,
)

SCOPE = "billing:write"
OUTBOX: Handlers = {
    quantity.KIND: quantity_job.sync_quantity,
    checkout.KIND: checkout.finish_checkout,
    checkout.EXPIRE_KIND: checkout.expire_checkout,
    cancellation.KIND: cancellation.cancel_subscription,
}
_AWAY = "Stripe cannot be asked for now; try again"
_REFUSED = "Stripe refused the request; the server's log says with which code"
_RETRY_SECONDS = 10
_BUSY_SECONDS = (0.2, 0.5, 1.0)  # pauses while the same session is being opened already
_logger = logging.getLogger(__name__)


class CheckoutRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Which plan is wanted."""

    plan: str


CHECKOUT = msgspec.json.Decoder(CheckoutRequest)


async def show(request: web.Request) -> web.Response:
    """Answer with the org's plan, limits, subscription and what a downgrade still holds."""
    caller = await require(request, OWNER, scope=ORG_READ_SCOPE)
    no_parameters(request)
    return json_document(await load(request, caller))


async def load(request: web.Request, caller: Principal) -> BillingAnswer:
    """Return what the caller's org has, pays for and may buy."""
    hub = request.app[HUB]
    async with hub.db.read() as conn:
        subscription = await get_subscription(conn, caller.org_id)
        clusters = await count_clusters(conn, caller.org_id)
        holds = await holds_of(conn, caller.org_id)
    settings = hub.settings.stripe
    sold = settings.prices.sold() if settings.secret_key is not None else ()
    return billing_answer(caller.plan, clusters, subscription, holds, sold, hub.now_ms())


async def start_checkout(request: web.Request) -> web.Response:
    """Open Stripe's page for a plan; asking again for the same one gives the same page."""
    caller = await require(request, OWNER, scope=SCOPE)
    return json_document(await buy(request, caller, await read_document(request, CHECKOUT)))


async def buy(request: web.Request, caller: Principal, asked: CheckoutRequest) -> CheckoutAnswer:
    """Open Stripe's page for a plan, or find the one that is open.

    Raises InvalidBodyError, ConflictError, UnavailableError.
    """
    hub = request.app[HUB]
    stripe = Stripe(hub.outbound, hub.settings.stripe)
    async with changing(request, caller) as change:
        intent = await checkout.intend(change, hub, stripe, caller, caller.org_id, asked.plan)
    if intent.session_id is None:
        intent = await _open(request, hub, stripe, caller, intent)
    if intent.closed_at_ms is not None:
        raise ConflictError("another checkout was begun, or this one paid, meanwhile; look again")
    if intent.session_id is None or intent.session_url is None or intent.expires_at_ms is None:
        raise AssertionError("a session was noted without its parts")
    return CheckoutAnswer(
        checkout_session_id=intent.session_id,
        url=intent.session_url,
        plan=intent.plan,
        quantity=intent.quantity,
        expires_at=format_ms(intent.expires_at_ms),
    )


async def _open(
    request: web.Request, hub: Hub, stripe: Stripe, caller: Principal, intent: CheckoutIntent
) -> CheckoutIntent:
    try:
        session = await _ask(stripe, intent)
    except StripeAwayError as error:
        # The intent stays: the next request, or the job, goes on under the same key.
        _logger.warning("a checkout was not opened yet", extra={"reason": str(error)})
        raise UnavailableError(_AWAY, _RETRY_SECONDS) from None
    except StripeRefusedError as error:
        await checkout.close(hub, intent)
        raise _refused(error) from None
    async with changing(request, caller) as change:
        return await checkout.note_opened(change, intent, session)


async def _ask(stripe: Stripe, intent: CheckoutIntent) -> CheckoutSession:
    """Open the session; another request for the same one, at the same time, is waited for."""
    for pause_seconds in _BUSY_SECONDS:
        try:
            return await stripe.open_checkout(intent.params, intent.id)
        except StripeBusyError:
            await asyncio.sleep(pause_seconds)
    return await stripe.open_checkout(intent.params, intent.id)


async def open_portal(request: web.Request) -> web.Response:
    """Answer with the address of Stripe's customer portal: cards, invoices, ending the plan."""
    caller = await require(request, OWNER, scope=SCOPE)
    no_parameters(request)
    return json_document(PageAnswer(await portal_address(request, caller)))


async def portal_address(request: web.Request, caller: Principal) -> str:
    """Return the address of Stripe's customer portal. Raises ConflictError, UnavailableError."""
    hub = request.app[HUB]
    stripe = Stripe(hub.outbound, hub.settings.stripe)
    async with hub.db.read() as conn:
        subscription = await get_subscription(conn, caller.org_id)
    if subscription is None:
        raise ConflictError("the organization never had a subscription; begin with a checkout")
    back = f"{hub.settings.public_url.rstrip('/')}/orgs/{caller.org_id}/billing"
    try:
        return await stripe.open_portal(subscription.customer_id, back)
    except StripeAwayError as error:
        _logger.warning("the customer portal was not opened", extra={"reason": str(error)})
        raise UnavailableError(_AWAY, _RETRY_SECONDS) from None
    except StripeRefusedError as error:
        raise _refused(error) from None


def _refused(error: StripeRefusedError) -> UnavailableError:
    _logger.error("Stripe refused a request", extra={"reason": str(error)})
    return UnavailableError(_REFUSED, _RETRY_SECONDS)


def routes() -> list[web.RouteDef]:
    """Return the feature's routes."""
    below = "/api/orgs/{org_id}/billing"
    return [
        web.get(below, show, allow_head=False),
        declare(web.post(f"{below}/checkout", start_checkout), events=(checkout.ACTION,)),
        declare(
            web.post(f"{below}/portal", open_portal),
            events=None,
            reason="a link to Stripe's own page; what is done there comes by the webhook",
        ),
        declare(web.post("/api/webhooks/stripe", webhook.receive), events=(subscribing.ACTION,)),
    ]
