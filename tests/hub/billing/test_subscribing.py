"""From checkout to cancellation: plan, row and event follow what Stripe has, once and together."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from radar_audit_hub.billing import subscribing
from radar_audit_hub.store.control import Cluster, insert_cluster
from radar_audit_hub.store.subscriptions import get_subscription

from tests.hub.billing.conftest import Shop
from tests.support.hub_builder import ORG
from tests.support.log_rows import DAY_MS
from tests.support.stripe_objects import Object
from tests.support.stripe_server import cut, refuse


async def test_billing_checkout_started_row_is_written(any_shop: Shop) -> None:
    answer = await any_shop.checkout()
    assert answer.status == 200
    found = answer.json
    assert found["url"] == any_shop.stripe.account.sessions[found["checkout_session_id"]]["url"]
    (event,) = await any_shop.rows()
    assert event["action"] == "billing.checkout_started"
    assert event["target_type"] == "billing"
    assert event["target_id"] == found["checkout_session_id"]
    assert event["actor_email"] == "p1@acme.com"
    assert event["metadata"] == {
        "checkout_session_id": found["checkout_session_id"],
        "plan": "team",
        "quantity": 1,
        "via_pat": "token 1",
    }
    (asked,) = any_shop.stripe.requests
    assert asked.params["client_reference_id"] == asked.params["metadata[org_id]"] == ORG
    assert asked.params["success_url"].startswith("https://audit.acme.com/")
    assert asked.params["customer_email"] == "p1@acme.com"


async def test_billing_subscription_changed_row_is_written(any_shop: Shop) -> None:
    subscription_id = await any_shop.subscribe()
    _, event = await any_shop.rows()
    assert event["action"] == "billing.subscription_changed"
    assert event["target_id"] == subscription_id
    assert (event["actor_user_id"], event["actor_email"]) == (None, None)
    assert event["metadata"] == {
        "subscription_id": subscription_id,
        "previous_plan": "free",
        "plan": "team",
        "previous_quantity": None,
        "quantity": 1,
        "previous_status": None,
        "status": "active",
        "reason": "checkout",
    }
    found = await any_shop.billing()
    assert (found["plan"], found["retention_days"], found["limits"]) == (
        "team",
        30,
        {"clusters": None},
    )
    assert found["subscription"]["id"] == subscription_id
    assert found["subscription"]["status"] == "active"
    assert found["subscription"]["current_period_end"] is not None
    assert found["grace"] == []
    assert found["plans_sold"] == ["team", "enterprise"]


async def test_every_change_at_stripe_has_its_reason(shop: Shop) -> None:
    subscription_id = await shop.subscribe()
    account = shop.stripe.account
    account.change(subscription_id, price="price_enterprise")
    await shop.deliver_all()
    account.change(subscription_id, price="price_team_old")
    await shop.deliver_all()
    account.change(subscription_id, quantity=5)
    await shop.deliver_all()
    account.fail_payment(subscription_id)
    await shop.deliver_all()
    account.recover_payment(subscription_id)
    await shop.deliver_all()
    account.change(subscription_id, cancel_at_period_end=True)
    await shop.deliver_all()
    assert (await shop.billing())["subscription"]["cancel_at_period_end"] is True
    account.cancel(subscription_id)
    await shop.deliver_all()
    assert await shop.reasons() == [
        "checkout",
        "upgrade",
        "downgrade",
        "quantity_sync",
        "payment_failed",
        "payment_recovered",
        "canceled",
    ]
    found = await shop.billing()
    assert (found["plan"], found["subscription"]["status"]) == ("free", "canceled")
    assert [grace["plan"] for grace in found["grace"]] == ["enterprise", "team"]
    assert {e["metadata"]["plan"] for e in (await shop.rows())[-2:]} == {"team", "free"}


async def test_past_due_keeps_the_plan_and_unpaid_does_not(shop: Shop) -> None:
    subscription_id = await shop.subscribe()
    shop.stripe.account.fail_payment(subscription_id)
    await shop.deliver_all()
    assert (await shop.billing())["plan"] == "team"
    shop.stripe.account.change(subscription_id, status="unpaid")
    await shop.deliver_all()
    assert (await shop.billing())["plan"] == "free"
    shop.stripe.account.recover_payment(subscription_id)
    await shop.deliver_all()
    assert (await shop.billing())["plan"] == "team"
    assert (await shop.reasons())[1:] == ["payment_failed", "payment_failed", "payment_recovered"]
    told = (await shop.hub.get("/api/inbox")).json["notices"]
    assert [each["kind"] for each in told] == ["billing.payment_failed"]


async def test_downgrade_shows_its_grace_and_an_upgrade_ends_it(shop: Shop) -> None:
    subscription_id = await shop.subscribe("enterprise")
    shop.stripe.account.change(subscription_id, price="price_team")
    await shop.deliver_all()
    (grace,) = (await shop.billing())["grace"]
    assert (grace["plan"], grace["retention_days"]) == ("enterprise", 365)
    shop.hub.clock.now_ms += 7 * DAY_MS - 1
    assert len((await shop.billing())["grace"]) == 1
    shop.hub.clock.now_ms += 1
    assert (await shop.billing())["grace"] == []
    shop.stripe.account.change(subscription_id, price="price_enterprise")
    await shop.deliver_all()
    assert (await shop.billing())["plan"] == "enterprise"


async def test_webhooks_twice_and_in_any_order_lead_to_the_same(shop: Shop) -> None:
    """Events of one history, some orders of them, each twice: the end is what Stripe has."""
    subscription_id = await shop.subscribe()
    account = shop.stripe.account
    account.change(subscription_id, quantity=7)
    account.fail_payment(subscription_id)
    account.recover_payment(subscription_id)
    account.change(subscription_id, price="price_enterprise")
    events = list(account.events)
    before = len(await shop.reasons())
    for seed in range(4):
        order = random.Random(seed).sample(events, len(events))
        assert set(await shop.deliver(*order, *reversed(order))) == {200}
    assert (await shop.reasons())[before:] == ["upgrade"]
    found = await shop.billing()
    assert (found["plan"], found["subscription"]["quantity"]) == ("enterprise", 7)
    assert shop.counted("replayed") >= len(events)


async def test_the_same_webhook_many_times_at_once_is_taken_once(any_shop: Shop) -> None:
    subscription_id = await any_shop.subscribe()
    event = any_shop.stripe.account.change(subscription_id, quantity=3)
    statuses = await asyncio.gather(*(any_shop.deliver(event) for _ in range(8)))
    assert statuses == [[200]] * 8
    assert await any_shop.reasons() == ["checkout", "quantity_sync"]


async def test_slow_fetch_does_not_overwrite_a_later_one(any_shop: Shop) -> None:
    """The first webhook's fetch saw the old state and comes back after the second's was written."""
    subscription_id = await any_shop.subscribe()
    account = any_shop.stripe.account
    first = account.change(subscription_id, quantity=3)
    fetched, held = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        fetched.set()
        await held.wait()

    any_shop.stripe.faults.after.append(hold)
    slow = asyncio.create_task(any_shop.deliver(first))
    await fetched.wait()
    second = account.change(subscription_id, quantity=4)
    assert await any_shop.deliver(second) == [200]
    held.set()
    assert await slow == [200]
    assert (await any_shop.billing())["subscription"]["quantity"] == 4
    assert any_shop.counted("stale") == 1


async def test_deleted_webhook_before_the_created_one_leaves_a_canceled_row(shop: Shop) -> None:
    session = (await shop.checkout()).json["checkout_session_id"]
    subscription = shop.stripe.account.pay(session)
    created, completed, paid = shop.stripe.account.events
    deleted = shop.stripe.account.cancel(subscription["id"])
    assert await shop.deliver(deleted, completed, paid, created) == [200] * 4
    assert (await shop.billing())["plan"] == "free"
    assert await shop.reasons() == ["canceled"]


@pytest.mark.parametrize("fault", [cut, refuse(500), refuse(429), refuse(401)])
async def test_webhook_whose_subscription_cannot_be_fetched_is_asked_for_again(
    shop: Shop, fault: Any
) -> None:
    subscription_id = await shop.subscribe()
    event = shop.stripe.account.change(subscription_id, quantity=3)
    # Twice: the client asks again by itself when a connection that it had kept was closed.
    shop.stripe.faults.before.extend([fault] * (2 if fault is cut else 1))
    assert await shop.deliver(event) == [503]
    assert (await shop.billing())["subscription"]["quantity"] == 1
    assert await shop.deliver(event) == [200]
    assert (await shop.billing())["subscription"]["quantity"] == 3
    assert shop.counted("failed") == 1


async def test_fault_between_row_and_event_leaves_neither(
    any_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscription_id = await any_shop.subscribe()
    event = any_shop.stripe.account.change(subscription_id, price="price_enterprise")

    async def broken(*_: object, **__: object) -> None:
        raise ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(subscribing, "move_plan", broken)
        assert await any_shop.deliver(event) == [503]
    assert (await any_shop.billing())["plan"] == "team"
    assert (await any_shop.billing())["subscription"]["plan"] == "team"
    assert await any_shop.reasons() == ["checkout"]
    assert await any_shop.deliver(event) == [200]
    assert await any_shop.reasons() == ["checkout", "upgrade"]


async def test_subscription_of_nobody_here_is_ignored_and_counted(shop: Shop) -> None:
    account = shop.stripe.account
    foreign = account.add_subscription(account.add_customer(), "price_team", 1, {})
    gone = account.add_subscription(account.add_customer(), "price_team", 1, {"org_id": "org_none"})
    odd = account.add_subscription(account.add_customer(), "price_team", 1, {"org_id": "org_\x00"})
    told = [account.tell("customer.subscription.updated", s) for s in (foreign, gone, odd)]
    missing = account.tell("customer.subscription.updated", {"id": "sub_unknown"})
    assert await shop.deliver(*told, missing) == [200] * 4
    assert shop.counted("unknown") == 4
    assert await shop.rows() == []


async def test_events_of_other_kinds_are_answered_and_left_out(shop: Shop) -> None:
    account = shop.stripe.account
    events = [
        account.tell("customer.created", {"id": "cus_1"}),
        account.tell("invoice.paid", {"id": "in_1", "object": "invoice", "parent": None}),
        account.tell("checkout.session.completed", {"id": "cs_1", "mode": "payment"}),
        account.tell("customer.subscription.updated", {"id": "../../v1/customers"}),
    ]
    assert await shop.deliver(*events) == [200] * 4
    assert shop.counted("ignored") == 4
    assert shop.stripe.requests == []


async def test_invoice_of_an_older_api_version_names_its_subscription_too(shop: Shop) -> None:
    subscription_id = await shop.subscribe()
    shop.stripe.account.change(subscription_id, status="past_due")
    invoice: Object = {"id": "in_9", "object": "invoice", "subscription": subscription_id}
    await shop.deliver(shop.stripe.account.tell("invoice.payment_failed", invoice))
    assert await shop.reasons() == ["checkout", "payment_failed"]


async def test_second_subscription_replaces_only_one_that_has_ended(shop: Shop) -> None:
    first = await shop.subscribe()
    account = shop.stripe.account
    second = account.add_subscription(
        account.add_customer(), "price_enterprise", 1, {"org_id": ORG}
    )
    told = account.tell("customer.subscription.created", second)
    await shop.deliver(told)
    assert (await shop.billing())["subscription"]["id"] == first
    account.cancel(first)
    await shop.deliver_all()
    assert (await shop.billing())["plan"] == "free"
    await shop.deliver(account.change(second["id"], quantity=2))
    found = await shop.billing()
    assert (found["plan"], found["subscription"]["id"]) == ("enterprise", second["id"])
    assert await shop.reasons() == ["checkout", "canceled", "checkout"]


async def test_price_that_left_the_settings_keeps_its_plan(shop: Shop) -> None:
    subscription_id = await shop.subscribe()
    await shop.deliver(shop.stripe.account.change(subscription_id, price="price_gone", quantity=2))
    found = await shop.billing()
    assert (found["plan"], found["subscription"]["quantity"]) == ("team", 2)
    await shop.work()  # the number of clusters is billed at that price, too
    assert shop.stripe.account.subscriptions[subscription_id]["items"]["data"][0]["quantity"] == 1


async def test_old_webhooks_and_checkouts_are_forgotten(any_shop: Shop) -> None:
    subscription_id = await any_shop.subscribe()
    any_shop.hub.clock.now_ms += 91 * DAY_MS
    any_shop.stripe.account.cancel(subscription_id)
    await any_shop.deliver_all()
    assert (await any_shop.checkout()).status == 200
    async with any_shop.hub.hub.db.read() as conn:
        events = await conn.exec_driver_sql("SELECT type FROM stripe_event")
        intents = await conn.exec_driver_sql("SELECT closed_at FROM checkout_intent")
        assert events.scalars().all() == ["customer.subscription.deleted"]
        assert intents.scalars().all() == [None]


async def test_deleted_org_ignores_its_webhooks(shop: Shop) -> None:
    subscription_id = await shop.subscribe()
    async with shop.hub.hub.db.write() as conn:
        await conn.exec_driver_sql("UPDATE org SET deleted_at = 1")
    assert await shop.deliver(shop.stripe.account.cancel(subscription_id)) == [200]
    async with shop.hub.hub.db.read() as conn:
        found = await get_subscription(conn, ORG)
    assert found is not None
    assert found.status == "active"


async def test_wrong_quantity_at_stripe_is_put_right(shop: Shop) -> None:
    """Somebody changed it in Stripe's dashboard: the number of clusters counts."""
    subscription_id = await shop.subscribe()
    async with shop.hub.hub.db.write() as conn:
        for number in range(3):
            await insert_cluster(
                conn,
                Cluster(
                    org_id=ORG,
                    id=f"cl_{number}",
                    name=f"c{number}",
                    environment="production",
                    labels={},
                    created_at_ms=shop.hub.clock.now_ms,
                ),
            )
    shop.stripe.account.change(subscription_id, quantity=9)
    await shop.deliver_all()
    await shop.work()
    await shop.deliver_all()
    found = await shop.billing()
    assert (found["clusters_used"], found["subscription"]["quantity"]) == (3, 3)
    await shop.work()
    assert shop.stripe.account.events == []
