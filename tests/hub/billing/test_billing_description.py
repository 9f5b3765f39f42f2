"""The API's description says what billing answers."""

from __future__ import annotations

import msgspec
import pytest
from radar_audit_hub.billing import answers
from radar_audit_hub.billing.handlers import CheckoutRequest
from radar_audit_hub.billing.plans import PLANS

from tests.hub.billing.conftest import BILLING, Shop
from tests.hub.test_openapi import SCHEMAS, check


@pytest.mark.parametrize(
    ("name", "struct"),
    [
        ("Billing", answers.BillingAnswer),
        ("PlanLimits", answers.Limits),
        ("Subscription", answers.SubscriptionAnswer),
        ("Grace", answers.Grace),
        ("Checkout", answers.CheckoutAnswer),
        ("StripePage", answers.PageAnswer),
        ("CheckoutRequest", CheckoutRequest),
    ],
)
def test_schema_has_exactly_the_fields_of_its_type(name: str, struct: type[msgspec.Struct]) -> None:
    assert list(SCHEMAS[name]["properties"]) == list(struct.__struct_fields__)
    assert SCHEMAS[name]["required"] == list(struct.__struct_fields__)
    assert SCHEMAS[name]["additionalProperties"] is False


def test_plans_of_the_description_are_those_of_the_table() -> None:
    assert SCHEMAS["Billing"]["properties"]["plan"]["enum"] == list(PLANS)


async def test_answers_fit_their_schemas(shop: Shop) -> None:
    check(SCHEMAS["Billing"], await shop.billing())
    check(SCHEMAS["Checkout"], (await shop.checkout("enterprise")).json)
    subscription_id = await shop.subscribe("enterprise")
    shop.stripe.account.change(subscription_id, price="price_team")
    await shop.deliver_all()
    found = await shop.billing()
    assert found["grace"]
    check(SCHEMAS["Billing"], found)
    check(SCHEMAS["StripePage"], (await shop.hub.send("POST", f"{BILLING}/portal")).json)
