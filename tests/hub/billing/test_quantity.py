"""The quantity at Stripe follows the number of clusters: told once, and put right when cut off."""

from __future__ import annotations

from typing import Any

import pytest
from radar_audit_hub.billing.cancellation import request_cancel
from radar_audit_hub.billing.quantity import request_sync
from radar_audit_hub.changes import changing_by_itself

from tests.hub.billing.conftest import Shop
from tests.support.hub_builder import ORG
from tests.support.stripe_server import cut, refuse

HOUR_MS = 3_600_000


async def request(shop: Shop) -> bool:
    async with changing_by_itself(shop.hub.hub) as change:
        await change.lock(ORG)
        return await request_sync(change.conn, ORG, change.now_ms)


def told(shop: Shop) -> list[str]:
    """Return the quantities that Stripe was told, each request that did something."""
    found = shop.stripe.done("POST", "/v1/subscriptions/")
    return [asked.params["items[0][quantity]"] for asked in found]


async def connect(shop: Shop, name: str) -> str:
    """Connect a cluster as an owner does; return its id."""
    body = {"name": name, "environment": "production"}
    answer = await shop.hub.send("POST", f"/api/orgs/{ORG}/clusters", json=body)
    assert answer.status == 201, answer.body
    made: str = answer.json["id"]
    return made


async def test_clusters_change_the_quantity_and_the_webhook_writes_the_row(
    any_shop: Shop,
) -> None:
    await any_shop.subscribe()
    await connect(any_shop, "one")
    second = await connect(any_shop, "two")
    await connect(any_shop, "three")
    await any_shop.work()
    assert told(any_shop) == ["3"], "several requests are one"
    assert (await any_shop.billing())["subscription"]["quantity"] == 1
    await any_shop.deliver_all()
    assert (await any_shop.billing())["subscription"]["quantity"] == 3
    await any_shop.hub.send("DELETE", f"/api/orgs/{ORG}/clusters/{second}")
    await any_shop.work()
    await any_shop.deliver_all()
    assert told(any_shop) == ["3", "2"]
    assert await any_shop.reasons() == ["checkout", "quantity_sync", "quantity_sync"]
    asked = any_shop.stripe.done("POST", "/v1/subscriptions/")
    assert {a.params["proration_behavior"] for a in asked} == {"create_prorations"}
    assert len({a.key for a in asked}) == 2


async def test_org_without_a_subscription_tells_nothing(shop: Shop) -> None:
    assert await request(shop) is False
    await connect(shop, "one")
    await shop.work()
    assert shop.stripe.requests == []


@pytest.mark.parametrize("fault", [cut, refuse(500), refuse(429), refuse(409)])
async def test_failed_call_is_tried_again(shop: Shop, fault: Any) -> None:
    await shop.subscribe()
    await shop.hub.add_cluster(cluster_id="cl_1")
    await shop.hub.add_cluster(cluster_id="cl_2")
    await request(shop)
    shop.stripe.faults.before.extend([lambda: None, fault])
    await shop.work()
    assert told(shop) == []
    shop.hub.clock.now_ms += HOUR_MS
    await shop.work()
    assert told(shop) == ["2"]


async def test_call_whose_answer_was_lost_is_not_made_twice(shop: Shop) -> None:
    await shop.subscribe()
    await shop.hub.add_cluster(cluster_id="cl_1")
    await shop.hub.add_cluster(cluster_id="cl_2")
    await request(shop)
    shop.stripe.faults.after.extend([lambda: None, cut])
    await shop.work()
    shop.hub.clock.now_ms += HOUR_MS
    await shop.work()
    assert told(shop) == ["2"]


async def test_request_during_a_call_is_another_one(shop: Shop) -> None:
    """A cluster is added after the number was counted: it is told, too."""
    await shop.subscribe()
    await shop.hub.add_cluster(cluster_id="cl_1")
    await shop.hub.add_cluster(cluster_id="cl_2")
    assert await request(shop) is True
    assert await request(shop) is False

    async def one_more() -> None:
        await shop.hub.add_cluster(cluster_id="cl_3")
        assert await request(shop) is True

    shop.stripe.faults.before.append(one_more)
    await shop.work()
    assert told(shop) == ["2", "3"]


async def test_ended_subscription_is_told_nothing(shop: Shop) -> None:
    subscription_id = await shop.subscribe()
    await request(shop)
    shop.stripe.account.cancel(subscription_id)
    await shop.hub.add_cluster(cluster_id="cl_1")
    await shop.hub.add_cluster(cluster_id="cl_2")
    await shop.work()
    await shop.deliver_all()
    await request(shop)
    await shop.work()
    assert told(shop) == []


async def test_deleted_org_ends_its_subscription_and_its_open_checkout(shop: Shop) -> None:
    page = (await shop.checkout("enterprise")).json["checkout_session_id"]
    async with changing_by_itself(shop.hub.hub) as change:
        await change.lock(ORG)
        assert await request_cancel(change.conn, ORG, change.now_ms) is False
    await shop.work()
    assert shop.stripe.account.sessions[page]["status"] == "expired"
    await shop.deliver_all()
    subscription_id = await shop.subscribe()
    assert (await shop.hub.send("DELETE", f"/api/orgs/{ORG}")).status == 204
    shop.stripe.faults.before.append(refuse(500))
    await shop.work()
    shop.hub.clock.now_ms += HOUR_MS
    await shop.work()
    assert shop.stripe.account.subscriptions[subscription_id]["status"] == "canceled"
    await shop.deliver_all()
    shop.hub.clock.now_ms += HOUR_MS
    await shop.work()
    assert len(shop.stripe.done("DELETE")) == 1


async def test_page_that_is_paid_after_its_org_is_deleted_pays_for_nothing(shop: Shop) -> None:
    page = (await shop.checkout()).json["checkout_session_id"]
    assert (await shop.hub.send("DELETE", f"/api/orgs/{ORG}")).status == 204
    subscription_id = shop.stripe.account.pay(page)["id"]
    account = shop.stripe.account
    foreign = account.add_subscription(
        account.add_customer(), "price_team", 1, {"org_id": "org_of_another_hub"}
    )
    account.tell("customer.subscription.created", foreign)
    await shop.deliver_all()
    await shop.work()
    assert account.subscriptions[subscription_id]["status"] == "canceled"
    assert foreign["status"] == "active"
