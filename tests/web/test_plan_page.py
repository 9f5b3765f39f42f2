"""The page of plan and billing says how the subscription stands, and offers what can be done."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from radar_audit_hub.settings_billing import StripeSettings
from radar_audit_hub.store.subscriptions import Subscription, save_subscription, set_plan

from tests.support.hub_builder import ORG, HubUnderTest, sqlite_hub
from tests.support.log_rows import DAY_MS, NOW_MS
from tests.support.pages import Elements, reader

PAGE = f"/orgs/{ORG}/billing"
SELLING = StripeSettings(
    secret_key="sk_test",
    webhook_secret="whsec_test",
    price_team=("price_team",),
    price_enterprise=("price_enterprise",),
)


@pytest.fixture
async def selling(template: Path, tmp_path: Path) -> AsyncIterator[HubUnderTest]:
    """A hub that sells both plans; its org is on the smallest one."""
    async with sqlite_hub(template, tmp_path, stripe=SELLING) as hub:
        async with hub.hub.db.write() as conn:
            await set_plan(conn, ORG, "free")
        yield hub


async def subscribe(hub: HubUnderTest, status: str, plan: str, *, ends: bool = False) -> None:
    """Store a subscription for the plan team, and the plan that follows from it."""
    bought = Subscription(
        org_id=ORG,
        subscription_id="sub_1",
        customer_id="cus_1",
        plan="team",
        quantity=2,
        status=status,
        current_period_end_ms=NOW_MS + 20 * DAY_MS,
        cancel_at_period_end=ends,
    )
    async with hub.hub.db.write() as conn:
        await save_subscription(conn, bought, NOW_MS)
        await set_plan(conn, ORG, plan)


def offered(page: Elements) -> list[str]:
    """Return the plans that the page has a button for."""
    return [one["value"] for one in page.all("input") if one.get("name") == "plan"]


async def looked_at(hub: HubUnderTest) -> Elements:
    return Elements(await (await reader(hub)).text(PAGE))


async def test_only_what_a_checkout_would_take_is_offered(selling: HubUnderTest) -> None:
    assert offered(await looked_at(selling)) == ["team", "enterprise"]
    await subscribe(selling, "active", "team")
    page = await looked_at(selling)
    assert offered(page) == []
    assert "Another plan is chosen at Stripe" in page.text
    assert "Manage at Stripe" in page.text
    owner = await reader(selling)
    assert (await owner.post(f"{PAGE}/checkout", plan="enterprise")).status == 409
    await subscribe(selling, "canceled", "free")
    assert offered(await looked_at(selling)) == ["team", "enterprise"]
    async with selling.hub.db.write() as conn:
        await set_plan(conn, ORG, "team")  # by hand
    assert offered(await looked_at(selling)) == ["enterprise"]


@pytest.mark.parametrize(
    ("status", "plan", "said", "unsaid"),
    [
        ("active", "team", ("team for 2 clusters Paid", "Renews"), ("ayment failed", "ot paid")),
        ("past_due", "team", ("Payment failed", "the plan stays meanwhile", "Renews"), ()),
        ("unpaid", "free", ("The subscription is not paid", "Manage at Stripe"), ("Renews",)),
        ("canceled", "free", ("Invoices at Stripe", "Ended"), ("Renews", "Another plan is chosen")),
        ("of-the-future", "free", ("of-the-future",), ("Renews",)),
    ],
)
async def test_the_page_says_how_a_subscription_stands(
    selling: HubUnderTest, status: str, plan: str, said: tuple[str, ...], unsaid: tuple[str, ...]
) -> None:
    await subscribe(selling, status, plan)
    text = (await looked_at(selling)).text
    assert [one for one in said if one not in text] == []
    assert [one for one in unsaid if one in text] == []


async def test_an_end_that_was_asked_for_is_called_one(selling: HubUnderTest) -> None:
    await subscribe(selling, "active", "team", ends=True)
    text = (await looked_at(selling)).text
    assert "Ends" in text
    assert "Renews" not in text
