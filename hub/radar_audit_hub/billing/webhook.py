"""`POST /api/webhooks/stripe`: Stripe says that something changed; what did, is fetched.

Owns the edge: signature, replays, which events matter. A webhook is only a hint: the
subscription that it names is fetched, and that is what is written, whatever came first. If it
cannot be fetched the answer is 503, and Stripe sends the webhook again for three days. Never
believes an unsigned word, and never says which orgs exist.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web
from radar_audit_events.errors import FieldError

from radar_audit_hub.bodies import decode_body, read_body
from radar_audit_hub.changes import Change, changing
from radar_audit_hub.client_address import address_of
from radar_audit_hub.context import HUB, Hub
from radar_audit_hub.errors import InvalidBodyError, MalformedRequestError, UnavailableError
from radar_audit_hub.store import checkouts, subscriptions

from .signature import SignatureRefusedError, check_signature
from .stripe_client import Stripe, StripeAwayError, StripeRefusedError, member_of
from .subscribing import Fetched, apply

MAX_BODY_BYTES = 1024 * 1024
# Stripe repeats by itself for three days, and by hand for thirty.
KEEP_EVENTS_MS = 60 * 86_400_000
_EVENT_ID = re.compile(r"^evt_[A-Za-z0-9_]{1,250}\Z")
_ORG_ID = re.compile(r"^org_[A-Za-z0-9_]{1,60}\Z")
_INVOICES = frozenset(
    {
        "invoice.paid",
        "invoice.payment_succeeded",
        "invoice.payment_failed",
        "invoice.payment_action_required",
    }
)
_PAID_SESSIONS = frozenset(
    {"checkout.session.completed", "checkout.session.async_payment_succeeded"}
)
_EXPIRED_SESSION = "checkout.session.expired"
_logger = logging.getLogger(__name__)


class _Data(msgspec.Struct):
    object: dict[str, Any]


class StripeEvent(msgspec.Struct):
    """What of a webhook is looked at; `data.object` may be of any version of Stripe's API."""

    id: str
    type: str
    data: _Data


@dataclass(frozen=True, slots=True)
class _Meaning:
    """What an event is about: a subscription to fetch, a checkout (org, intent) that is over."""

    subscription_id: str | None
    checkout: tuple[str, str] | None


_decoder = msgspec.json.Decoder(StripeEvent)


async def receive(request: web.Request) -> web.Response:
    """Take a webhook; 200 says that it needs not be sent again."""
    hub = request.app[HUB]
    stripe = Stripe(hub.outbound, hub.settings.stripe)
    body = await read_body(
        request, limit_bytes=MAX_BODY_BYTES, timeout_seconds=hub.settings.body_timeout_seconds
    )
    _check_sender(request, hub, stripe, body)
    event = decode_body(body, _decoder, StripeEvent.__struct_fields__)
    if not _EVENT_ID.match(event.id):
        raise InvalidBodyError([FieldError("id", "must be the id of a Stripe event")])
    outcome = await _take(request, hub, stripe, event)
    hub.metrics.stripe_webhooks.labels(outcome).inc()
    return web.Response(body=b'{"received":true}', content_type="application/json")


def _check_sender(request: web.Request, hub: Hub, stripe: Stripe, body: bytes) -> None:
    headers = request.headers.getall("Stripe-Signature", [])
    try:
        check_signature(",".join(headers), body, stripe.webhook_secret, hub.now_ms())
    except SignatureRefusedError as error:
        hub.metrics.stripe_webhooks.labels("refused").inc()
        hub.auth_failures.count(address_of(request), hub.now_ms())
        raise MalformedRequestError(str(error)) from None


async def _take(request: web.Request, hub: Hub, stripe: Stripe, event: StripeEvent) -> str:
    meaning = _meaning(event)
    if meaning is None:
        return "ignored"
    async with hub.db.read() as conn:
        if await subscriptions.is_known_event(conn, event.id):
            return "replayed"
    fetched = None
    if meaning.subscription_id is not None:
        try:
            fetched = await _fetch(hub, stripe, meaning.subscription_id)
        except StripeRefusedError as error:
            if error.status == 404:
                return "unknown"
            raise _away(hub, str(error)) from None
        except StripeAwayError as error:
            raise _away(hub, str(error)) from None
    async with changing(request, None) as change:
        # First of all: a copy that is dealt with right now is waited for here.
        if not await subscriptions.note_event(change.conn, event.id, event.type, change.now_ms):
            return "replayed"
        outcome: str = "applied"
        if fetched is not None:
            grace_days = hub.settings.downgrade_grace_days
            outcome = await apply(change, fetched, stripe.prices, grace_days)
        if meaning.checkout is not None:
            await _close_checkout(change, *meaning.checkout)
    return outcome


async def _fetch(hub: Hub, stripe: Stripe, subscription_id: str) -> Fetched:
    async with hub.db.write() as conn:
        number = await subscriptions.begin_fetch(conn, subscription_id)
        await subscriptions.forget_events(conn, hub.now_ms() - KEEP_EVENTS_MS)
    return Fetched(remote=await stripe.get_subscription(subscription_id), number=number)


async def _close_checkout(change: Change, org_id: str, intent_id: str) -> None:
    await checkouts.close_intent(change.conn, org_id, intent_id, change.now_ms)


def _away(hub: Hub, reason: str) -> UnavailableError:
    hub.metrics.stripe_webhooks.labels("failed").inc()
    _logger.warning("a subscription cannot be fetched", extra={"reason": reason})
    return UnavailableError("Stripe cannot be asked for now; send the webhook again", 30)


def _meaning(event: StripeEvent) -> _Meaning | None:
    """Return what an event is about, None for one that changes nothing here."""
    found = event.data.object
    if event.type.startswith("customer.subscription."):
        subscription_id = member_of(found, "id")
    elif event.type in _INVOICES:
        # Where the invoice names its subscription depends on the endpoint's API version.
        subscription_id = member_of(
            found, "parent", "subscription_details", "subscription"
        ) or member_of(found, "subscription")
    elif event.type in _PAID_SESSIONS:
        subscription_id = member_of(found, "subscription")
    elif event.type == _EXPIRED_SESSION:
        subscription_id = None
    else:
        return None
    checkout = _checkout(found) if event.type.startswith("checkout.session.") else None
    if subscription_id is None and checkout is None:
        return None
    return _Meaning(subscription_id, checkout)


def _checkout(session: dict[str, Any]) -> tuple[str, str] | None:
    org_id = member_of(session, "metadata", "org_id")
    intent_id = member_of(session, "metadata", "intent_id")
    if org_id is None or intent_id is None or not _ORG_ID.match(org_id):
        return None
    return org_id, intent_id
