"""What the stand-in Stripe keeps: sessions, subscriptions, invoices, events, as Stripe shows them.

Owns the objects with the fields that Stripe's public API reference documents, and what people
and banks do to them (`pay`, `fail_payment` …), each with the events that Stripe would send.
Never speaks HTTP: `stripe_server.py` does.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]
PRICES = ("price_team", "price_team_old", "price_enterprise")
MONTH_SECONDS = 30 * 86_400
SESSION_SECONDS = 86_400


@dataclass
class Account:
    """One Stripe account; `now` is its clock in Unix seconds."""

    now: Callable[[], int]
    sessions: dict[str, Object] = field(default_factory=dict)
    subscriptions: dict[str, Object] = field(default_factory=dict)
    customers: dict[str, Object] = field(default_factory=dict)
    events: list[Object] = field(default_factory=list)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def open_session(self, params: dict[str, str]) -> Object:
        """Open a Checkout session in the mode subscription."""
        session_id = self._id("cs_test_")
        session: Object = {
            "id": session_id,
            "object": "checkout.session",
            "cancel_url": params.get("cancel_url"),
            "client_reference_id": params.get("client_reference_id"),
            "created": self.now(),
            "customer": params.get("customer"),
            "customer_email": params.get("customer_email"),
            "expires_at": self.now() + SESSION_SECONDS,
            "livemode": False,
            "metadata": _map(params, "metadata"),
            "mode": "subscription",
            "payment_status": "unpaid",
            "status": "open",
            "subscription": None,
            "success_url": params["success_url"],
            "url": f"https://checkout.stripe.com/c/pay/{session_id}",
        }
        self.sessions[session_id] = session
        # What the session is for is no part of the object that is shown.
        session["_item"] = (params["line_items[0][price]"], int(params["line_items[0][quantity]"]))
        session["_metadata"] = _map(params, "subscription_data[metadata]")
        return session

    def expire_session(self, session_id: str) -> Object:
        """Let a session run out, or take it back."""
        session = self.sessions[session_id]
        session.update(status="expired", url=None)
        self.tell("checkout.session.expired", session)
        return session

    def pay(self, session_id: str) -> Object:
        """Pay for a session, as its page does; return the subscription."""
        session = self.sessions[session_id]
        assert session["status"] == "open", session["status"]
        customer = session["customer"] or self.add_customer()
        price, quantity = session["_item"]
        subscription = self.add_subscription(customer, price, quantity, session["_metadata"])
        session.update(
            status="complete",
            payment_status="paid",
            url=None,
            customer=customer,
            subscription=subscription["id"],
        )
        self.tell("customer.subscription.created", subscription)
        self.tell("checkout.session.completed", session)
        self.tell("invoice.paid", self._invoice(subscription, "paid"))
        return subscription

    def add_customer(self) -> str:
        """Return the id of a new customer."""
        customer_id = self._id("cus_")
        self.customers[customer_id] = {"id": customer_id, "object": "customer"}
        return customer_id

    def add_subscription(
        self, customer: str, price: str, quantity: int, metadata: dict[str, str]
    ) -> Object:
        """Return a new subscription that is active; nothing is told."""
        subscription_id = self._id("sub_")
        item = {
            "id": self._id("si_"),
            "object": "subscription_item",
            "current_period_start": self.now(),
            "current_period_end": self.now() + MONTH_SECONDS,
            "price": {"id": price, "object": "price", "currency": "usd", "type": "recurring"},
            "quantity": quantity,
            "subscription": subscription_id,
        }
        subscription = {
            "id": subscription_id,
            "object": "subscription",
            "cancel_at_period_end": False,
            "canceled_at": None,
            "collection_method": "charge_automatically",
            "created": self.now(),
            "customer": customer,
            "items": {"object": "list", "data": [item], "has_more": False, "total_count": 1},
            "livemode": False,
            "metadata": dict(metadata),
            "status": "active",
        }
        self.subscriptions[subscription_id] = subscription
        return subscription

    def change(self, subscription_id: str, **changes: Any) -> Object:
        """Change a subscription (`price`, `quantity` of its item, or own fields) and tell of it."""
        subscription = self.subscriptions[subscription_id]
        item = subscription["items"]["data"][0]
        if "price" in changes:
            item["price"] = {**item["price"], "id": changes.pop("price")}
        if "quantity" in changes:
            item["quantity"] = changes.pop("quantity")
        subscription.update(changes)
        return self.tell("customer.subscription.updated", subscription)

    def fail_payment(self, subscription_id: str) -> list[Object]:
        """Let the renewal's payment fail; return the events."""
        updated = self.change(subscription_id, status="past_due")
        invoice = self._invoice(self.subscriptions[subscription_id], "open")
        return [self.tell("invoice.payment_failed", invoice), updated]

    def recover_payment(self, subscription_id: str) -> list[Object]:
        """Let the payment succeed after all; return the events."""
        updated = self.change(subscription_id, status="active")
        invoice = self._invoice(self.subscriptions[subscription_id], "paid")
        return [self.tell("invoice.paid", invoice), updated]

    def cancel(self, subscription_id: str) -> Object:
        """End a subscription at once; return the event."""
        subscription = self.subscriptions[subscription_id]
        subscription.update(status="canceled", canceled_at=self.now())
        return self.tell("customer.subscription.deleted", subscription)

    def tell(self, kind: str, about: Object) -> Object:
        """Note an event with the object as it is now; the server sends it when asked to."""
        shown = {key: value for key, value in about.items() if not key.startswith("_")}
        event = {
            "id": self._id("evt_"),
            "object": "event",
            "api_version": "2025-07-30.basil",
            "created": self.now(),
            "data": {"object": shown},
            "livemode": False,
            "pending_webhooks": 1,
            "request": {"id": None, "idempotency_key": None},
            "type": kind,
        }
        self.events.append(event)
        return event

    def _invoice(self, subscription: Object, status: str) -> Object:
        return {
            "id": self._id("in_"),
            "object": "invoice",
            "customer": subscription["customer"],
            "parent": {
                "type": "subscription_details",
                "quote_details": None,
                "subscription_details": {
                    "metadata": subscription["metadata"],
                    "subscription": subscription["id"],
                },
            },
            "status": status,
        }

    def _id(self, prefix: str) -> str:
        return f"{prefix}{next(self._numbers):06d}"


def _map(params: dict[str, str], name: str) -> dict[str, str]:
    start = f"{name}["
    return {key[len(start) : -1]: params[key] for key in params if key.startswith(start)}
