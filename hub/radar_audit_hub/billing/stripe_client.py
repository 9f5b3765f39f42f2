"""Stripe's HTTP API, as much of it as billing needs: form-encoded requests, JSON answers.

Owns the requests, the pinned version and what a failure means for who asked. Called by billing's
handlers, webhook and jobs, always outside a transaction. Never retries, and never shows the key,
a parameter or Stripe's own words: those may name a customer.

Shapes and errors: https://docs.stripe.com/api.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NoReturn, TypeVar
from urllib.parse import urlencode

import msgspec

from radar_audit_hub.errors import ConflictError
from radar_audit_hub.outbound import Outbound, OutboundAnswer, OutboundError
from radar_audit_hub.settings_billing import StripeSettings

from .plans import Prices

API_VERSION = "2025-07-30.basil"
T = TypeVar("T")
_ID = re.compile(r"^[A-Za-z0-9_]{1,255}\Z")
_WORD = re.compile(r"^[a-z0-9_]{1,60}\Z")
# Nothing is kept under an idempotency key with these: the same request may come again.
_TRY_AGAIN = frozenset({409, 429})


class StripeAwayError(Exception):
    """Whether Stripe did what it was asked is not known, or it asks to come again.

    The same request under the same idempotency key settles it.
    """


class StripeBusyError(StripeAwayError):
    """The same request is under way already, or too many are: come again in a moment."""


class StripeRefusedError(Exception):
    """Stripe's last word: `status` of HTTP. The same key would only bring the same answer."""

    def __init__(self, message: str, status: int) -> None:
        """Keep the status beside the sentence."""
        super().__init__(message)
        self.status = status


class CheckoutSession(msgspec.Struct):
    """A page of Stripe's where somebody can pay; `expires_at` in Unix seconds."""

    id: str
    url: str
    expires_at: int


class _Price(msgspec.Struct):
    id: str


class Item(msgspec.Struct):
    """What a subscription is for; `current_period_end` in Unix seconds."""

    id: str
    price: _Price
    quantity: int = 1
    current_period_end: int | None = None


class _Items(msgspec.Struct):
    data: list[Item]


class RemoteSubscription(msgspec.Struct):
    """A subscription as Stripe has it now; times in Unix seconds."""

    id: str
    customer: str
    status: str
    items: _Items
    metadata: dict[str, str] = {}
    cancel_at_period_end: bool = False

    def paying_item(self, prices: Prices) -> tuple[Item, str | None] | None:
        """Return the item that pays for a plan, and the plan; None for one without any item.

        Where no item's price is in the settings it is the first one, and the plan None.
        """
        known = [(item, prices.plan_of(item.price.id)) for item in self.items.data]
        return next((pair for pair in known if pair[1] is not None), next(iter(known), None))


class _Page(msgspec.Struct):
    url: str


class _Fault(msgspec.Struct):
    type: str = ""
    code: str | None = None


class _Failure(msgspec.Struct):
    error: _Fault


class Stripe:
    """One Stripe account, as the settings name it."""

    def __init__(self, outbound: Outbound, settings: StripeSettings) -> None:
        """Take the way out. Raises ConflictError if the hub has no account at Stripe."""
        if settings.secret_key is None or settings.webhook_secret is None:
            raise ConflictError(
                "this server is not connected to Stripe; whoever runs it sets the plan with "
                "`radar-audit-hub plan`"
            )
        self._outbound, self._url, self._key = outbound, settings.url, settings.secret_key
        self.webhook_secret = settings.webhook_secret
        self.prices = settings.prices

    async def open_checkout(self, params: Mapping[str, str], key: str) -> CheckoutSession:
        """Open a Checkout session; under the same `key` it is the same session.

        Raises StripeAwayError, StripeRefusedError.
        """
        answer = await self._send("POST", "/v1/checkout/sessions", params, key)
        return _decode(answer, CheckoutSession)

    async def expire_checkout(self, session_id: str, key: str) -> None:
        """Take back a Checkout session that was not paid. Raises as `open_checkout`."""
        await self._send("POST", f"/v1/checkout/sessions/{_checked(session_id)}/expire", {}, key)

    async def open_portal(self, customer_id: str, return_url: str) -> str:
        """Return a short-lived address of the customer portal. Raises as `open_checkout`."""
        params = {"customer": customer_id, "return_url": return_url}
        answer = await self._send("POST", "/v1/billing_portal/sessions", params)
        return _decode(answer, _Page).url

    async def get_subscription(self, subscription_id: str) -> RemoteSubscription:
        """Return a subscription as it is now. Raises as `open_checkout`."""
        answer = await self._send("GET", f"/v1/subscriptions/{_checked(subscription_id)}")
        return _decode(answer, RemoteSubscription)

    async def set_quantity(
        self, subscription_id: str, item_id: str, quantity: int, key: str
    ) -> None:
        """Have a subscription billed for `quantity`, in proportion for the running period.

        Raises as `open_checkout`.
        """
        params = {
            "items[0][id]": item_id,
            "items[0][quantity]": str(quantity),
            "proration_behavior": "create_prorations",
        }
        await self._send("POST", f"/v1/subscriptions/{_checked(subscription_id)}", params, key)

    async def cancel(self, subscription_id: str) -> None:
        """End a subscription now; the rest of the period is credited. Raises as `open_checkout`."""
        path = f"/v1/subscriptions/{_checked(subscription_id)}"
        await self._send("DELETE", path, {"prorate": "true"})

    async def _send(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        key: str | None = None,
    ) -> OutboundAnswer:
        headers = {
            "Authorization": f"Bearer {self._key}",
            "Stripe-Version": API_VERSION,
            "Content-Type": "application/x-www-form-urlencoded",
        }
        if key is not None:
            headers["Idempotency-Key"] = key
        body = None if params is None else urlencode(params).encode()
        try:
            answer = await self._outbound.send(
                method, self._url.rstrip("/") + path, headers=headers, body=body
            )
        except OutboundError as error:
            raise StripeAwayError(f"Stripe did not answer: {error}") from None
        if answer.status != 200:
            _refuse(answer)
        return answer


def _checked(identifier: str) -> str:
    if not _ID.match(identifier):
        raise StripeRefusedError("the id is none of Stripe's", 404)
    return identifier


def _refuse(answer: OutboundAnswer) -> NoReturn:
    try:
        fault = msgspec.json.decode(answer.body, type=_Failure).error
    except msgspec.MsgspecError:
        fault = _Fault()
    words = [word for word in (fault.type, fault.code) if word and _WORD.match(word)]
    message = " ".join((f"Stripe answered {answer.status}", *words))
    if answer.status in _TRY_AGAIN:
        raise StripeBusyError(message)
    raise StripeRefusedError(message, answer.status)


def _decode(answer: OutboundAnswer, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except msgspec.MsgspecError:
        raise StripeRefusedError(f"Stripe's answer is no {kind.__name__}", answer.status) from None


def member_of(raw: Any, *path: str) -> str | None:
    """Return the string at a path of an object of Stripe's, or the id of the object there."""
    for name in path:
        raw = raw.get(name) if isinstance(raw, dict) else None
    if isinstance(raw, dict):
        raw = raw.get("id")
    return raw if isinstance(raw, str) and _ID.match(raw) else None
