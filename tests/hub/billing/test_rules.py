"""Plans, reasons and which subscription counts: the pure rules of billing."""

from __future__ import annotations

import pytest
from radar_audit_hub.billing.plans import PLANS, Prices, cluster_limit, rank
from radar_audit_hub.billing.rules import (
    Standing,
    billed_quantity,
    plan_of_status,
    reason_of,
    replaces,
)
from radar_audit_hub.settings import load_settings

PREFIX = "RADAR_AUDIT_HUB_"


def test_plans_are_radar_clouds() -> None:
    assert {name: plan.retention_days for name, plan in PLANS.items()} == {
        "free": 7,
        "team": 30,
        "enterprise": 365,
    }
    assert [cluster_limit(name) for name in PLANS] == [3, None, None]
    assert [rank(name) for name in PLANS] == [0, 1, 2]


def test_first_price_is_sold_and_older_ones_are_known() -> None:
    prices = Prices(team=("new", "old"))
    assert (prices.price_of("team"), prices.price_of("enterprise")) == ("new", None)
    assert [prices.plan_of(price) for price in ("new", "old", "other")] == ["team", "team", None]
    assert prices.sold() == ("team",)


@pytest.mark.parametrize(
    ("status", "plan"),
    [
        ("active", "team"),
        ("trialing", "team"),
        ("past_due", "team"),
        ("unpaid", "free"),
        ("incomplete", "free"),
        ("incomplete_expired", "free"),
        ("paused", "free"),
        ("canceled", "free"),
        ("a_status_of_tomorrow", "free"),
    ],
)
def test_plan_is_given_while_it_is_paid_for(status: str, plan: str) -> None:
    assert plan_of_status("team", status) == plan


def test_at_least_one_cluster_is_billed() -> None:
    assert [billed_quantity(n) for n in (0, 1, 2)] == [1, 1, 2]


ACTIVE = Standing("team", 2, "active")


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        (Standing("free", None, None), ACTIVE, "checkout"),
        (Standing("free", 2, "canceled"), ACTIVE, "checkout"),
        (Standing("free", 2, "incomplete"), ACTIVE, "checkout"),
        (ACTIVE, ACTIVE, None),
        (ACTIVE, Standing("enterprise", 3, "active"), "upgrade"),
        (Standing("enterprise", 2, "active"), ACTIVE, "downgrade"),
        (ACTIVE, Standing("team", 3, "active"), "quantity_sync"),
        (ACTIVE, Standing("team", 2, "past_due"), "payment_failed"),
        (Standing("team", 2, "past_due"), Standing("free", 2, "unpaid"), "payment_failed"),
        (Standing("team", 2, "past_due"), ACTIVE, "payment_recovered"),
        (Standing("free", 2, "unpaid"), ACTIVE, "payment_recovered"),
        (Standing("team", 2, "trialing"), ACTIVE, "status_changed"),
        (Standing("team", 2, "past_due"), Standing("free", 2, "canceled"), "canceled"),
    ],
)
def test_every_change_has_a_reason(before: Standing, after: Standing, reason: str | None) -> None:
    assert reason_of(before, after) == reason


@pytest.mark.parametrize(
    ("current", "new", "expected"),
    [
        (None, ("a", "canceled"), True),
        (("a", "active"), ("a", "canceled"), True),
        (("a", "active"), ("b", "active"), False),
        (("a", "canceled"), ("b", "active"), True),
        (("a", "canceled"), ("b", "incomplete_expired"), False),
        (("a", "incomplete"), ("b", "active"), True),
        (("a", "incomplete"), ("b", "incomplete"), False),
        (("a", "active"), ("b", "canceled"), False),
    ],
)
def test_only_a_better_subscription_replaces_another(
    current: tuple[str, str] | None, new: tuple[str, str], *, expected: bool
) -> None:
    assert replaces(current, new) is expected


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"SECRET_KEY": "sk_test_x"}, "WEBHOOK_SECRET is needed"),
        ({"SECRET_KEY": "sk_test_x", "WEBHOOK_SECRET": "whsec_x"}, "PRICE_TEAM or"),
        (
            {
                "SECRET_KEY": "sk_test_x",
                "WEBHOOK_SECRET": "whsec_x",
                "PRICE_TEAM": "p,q",
                "PRICE_ENTERPRISE": "q",
            },
            "must not overlap",
        ),
        ({"URL": "http://stripe.example.com"}, "must be an https"),
    ],
)
def test_half_an_account_is_refused(given: dict[str, str], sentence: str) -> None:
    environ = {f"{PREFIX}STRIPE_{name}": value for name, value in given.items()}
    with pytest.raises(Exception, match=sentence) as caught:
        load_settings(environ)
    assert "sk_test_x" not in str(caught.value)


def test_secrets_are_not_in_the_settings_repr() -> None:
    environ = {
        f"{PREFIX}STRIPE_SECRET_KEY": "sk_test_x",
        f"{PREFIX}STRIPE_WEBHOOK_SECRET": "whsec_x",
        f"{PREFIX}STRIPE_PRICE_TEAM": "price_1,price_2",
    }
    settings = load_settings(environ)
    assert settings.stripe.price_team == ("price_1", "price_2")
    assert "sk_test_x" not in repr(settings)
    assert "whsec_x" not in repr(settings)
