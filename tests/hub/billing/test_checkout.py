"""A checkout: one session and one event, whatever is interrupted, repeated or done at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from radar_audit_hub.billing import checkout
from radar_audit_hub.store import checkouts

from tests.hub.billing.conftest import BILLING, Shop
from tests.support.hub_builder import ORG, HubUnderTest
from tests.support.stripe_server import cut, refuse

MINUTE_MS = 60_000
HOUR_MS = 3_600_000


async def started(shop: Shop) -> list[str]:
    """Return the sessions of the log's checkout events."""
    return [row["target_id"] for row in await shop.rows("billing.checkout_started")]


async def test_asking_again_gives_the_same_page_and_no_second_event(shop: Shop) -> None:
    first, second = await shop.checkout(), await shop.checkout()
    assert (first.status, first.json) == (200, second.json)
    assert await started(shop) == [first.json["checkout_session_id"]]
    assert len(shop.stripe.requests) == 1


async def test_two_checkouts_at_once_open_one_session(any_shop: Shop) -> None:
    answers = await asyncio.gather(*(any_shop.checkout() for _ in range(4)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.json["url"] for answer in answers}) == 1
    assert await started(any_shop) == [answers[0].json["checkout_session_id"]]
    assert len(any_shop.stripe.account.sessions) == 1


async def test_checkout_that_was_not_answered_goes_on_when_asked_again(shop: Shop) -> None:
    shop.stripe.faults.after.append(cut)
    assert (await shop.checkout()).status == 503
    assert await started(shop) == []
    again = await shop.checkout()
    assert again.status == 200
    assert list(shop.stripe.account.sessions) == [again.json["checkout_session_id"]]
    assert await started(shop) == list(shop.stripe.account.sessions)


@pytest.mark.parametrize("where", ["before", "after"])
async def test_interrupted_checkout_is_finished_by_the_job_once(any_shop: Shop, where: str) -> None:
    getattr(any_shop.stripe.faults, where).append(cut)
    assert (await any_shop.checkout()).status == 503
    await any_shop.work()
    assert await started(any_shop) == [], "the request may still be under way"
    any_shop.hub.clock.now_ms += MINUTE_MS
    await any_shop.work()
    await any_shop.work()
    assert await started(any_shop) == list(any_shop.stripe.account.sessions)
    (event,) = await any_shop.rows()
    assert event["actor_email"] == "p1@acme.com"
    assert event["metadata"]["via_pat"] == "token 1"
    assert (await any_shop.checkout()).json["checkout_session_id"] == event["target_id"]


async def test_fault_between_session_and_event_leaves_neither_and_is_made_good(
    any_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(checkouts, "get_intent", broken)  # between the row and its event
        assert (await any_shop.checkout()).status == 503
    async with any_shop.hub.hub.db.read() as conn:
        (intent,) = await checkouts.open_intents(conn, ORG)
    assert intent.session_id is None
    any_shop.hub.clock.now_ms += MINUTE_MS
    await any_shop.work()
    assert await started(any_shop) == list(any_shop.stripe.account.sessions)
    assert len(await started(any_shop)) == 1


@pytest.mark.parametrize("status", [400, 500])
async def test_refused_checkout_is_closed_and_the_next_one_begins_anew(
    shop: Shop, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Stripe keeps its answer under the key, so that only another key can bring another one."""
    shop.stripe.faults.before.append(refuse(status, "some_code"))
    assert (await shop.checkout()).status == 503
    reasons = [vars(record).get("reason", "") for record in caplog.records]
    assert f"Stripe answered {status} invalid_request_error some_code" in reasons
    again = await shop.checkout()
    assert again.status == 200
    shop.hub.clock.now_ms += MINUTE_MS
    await shop.work()
    assert await started(shop) == [again.json["checkout_session_id"]]


async def test_checkout_older_than_its_key_is_not_opened(shop: Shop) -> None:
    shop.stripe.faults.before.append(cut)
    assert (await shop.checkout()).status == 503
    shop.hub.clock.now_ms += 24 * HOUR_MS
    await shop.work()
    assert len(shop.stripe.requests) == 1
    assert (await shop.checkout()).status == 200
    assert len(await started(shop)) == 1


async def test_another_plan_takes_the_first_page_back(shop: Shop) -> None:
    first = (await shop.checkout("team")).json["checkout_session_id"]
    second = (await shop.checkout("enterprise")).json["checkout_session_id"]
    await shop.work()
    sessions = shop.stripe.account.sessions
    assert (sessions[first]["status"], sessions[second]["status"]) == ("expired", "open")
    assert await started(shop) == [first, second]
    await shop.deliver_all()
    assert (await shop.checkout("enterprise")).json["checkout_session_id"] == second


async def test_subscription_takes_back_every_page_but_its_own(shop: Shop) -> None:
    """A page of another plan that its owner still has open must not be paid as well."""
    paid = (await shop.checkout("team")).json["checkout_session_id"]
    shop.stripe.account.pay(paid)
    other = (await shop.checkout("enterprise")).json["checkout_session_id"]
    await shop.deliver_all()
    await shop.work()
    sessions = shop.stripe.account.sessions
    assert (sessions[paid]["status"], sessions[other]["status"]) == ("complete", "expired")
    # The first was given up for the other one before the hub knew that it was paid.
    taken_back = {a.path.split("/")[-2] for a in shop.stripe.requests if "expire" in a.path}
    assert taken_back == {paid, other}


async def test_page_that_ran_out_is_replaced(shop: Shop) -> None:
    first = await shop.checkout()
    shop.hub.clock.now_ms += 24 * HOUR_MS
    second = await shop.checkout()
    assert second.status == 200
    assert second.json["url"] != first.json["url"]


async def test_more_clusters_need_another_page(shop: Shop) -> None:
    first = await shop.checkout()
    await shop.hub.add_cluster(cluster_id="cl_1")
    assert (await shop.checkout()).json == first.json
    await shop.hub.add_cluster(cluster_id="cl_2")
    assert (await shop.checkout()).json["quantity"] == 2


async def test_webhook_during_the_checkout_loses_nothing(any_shop: Shop) -> None:
    """The page is paid and told of before the request that opened it has its answer."""
    opened, held = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        opened.set()
        await held.wait()

    any_shop.stripe.faults.after.append(hold)
    asking = asyncio.create_task(any_shop.checkout())
    await opened.wait()
    (session,) = any_shop.stripe.account.sessions
    any_shop.stripe.account.pay(session)
    await any_shop.deliver_all()
    held.set()
    assert (await asking).status == 409
    assert (await any_shop.billing())["plan"] == "team"
    actions = [row["action"] for row in await any_shop.rows()]
    assert sorted(actions) == ["billing.checkout_started", "billing.subscription_changed"]
    await any_shop.work()
    assert any_shop.stripe.account.sessions[session]["status"] == "complete"


async def test_checkout_is_refused_where_it_makes_no_sense(shop: Shop) -> None:
    assert (await shop.checkout("free")).status == 422
    assert (await shop.checkout("golden")).status == 422
    await shop.subscribe("team")
    assert (await shop.checkout("enterprise")).status == 409
    (subscription_id,) = shop.stripe.account.subscriptions
    shop.stripe.account.cancel(subscription_id)
    await shop.deliver_all()
    again = await shop.checkout("team")
    assert again.status == 200
    asked = shop.stripe.requests[-1]
    assert asked.params["customer"] in shop.stripe.account.customers
    assert "customer_email" not in asked.params


async def test_plan_that_was_set_by_hand_is_not_sold_again(shop: Shop) -> None:
    async with shop.hub.hub.db.write() as conn:
        await conn.exec_driver_sql("UPDATE org SET plan = 'enterprise'")
    assert (await shop.checkout("team")).status == 409
    assert shop.stripe.requests == []


async def test_owner_who_lost_the_role_meanwhile_begins_nothing(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = checkout.intend

    async def demoted(change: Any, *rest: Any) -> Any:
        await change.conn.exec_driver_sql("UPDATE org_member SET role = 'viewer'")
        return await real(change, *rest)

    monkeypatch.setattr(checkout, "intend", demoted)
    assert (await shop.checkout()).status == 403
    assert shop.stripe.requests == []


async def test_portal_is_for_orgs_that_had_a_subscription(shop: Shop) -> None:
    assert (await shop.hub.send("POST", f"{BILLING}/portal")).status == 409
    await shop.subscribe()
    answer = await shop.hub.send("POST", f"{BILLING}/portal")
    assert answer.json == {"url": "https://billing.stripe.com/p/session/bps_1"}
    shop.stripe.faults.before.append(refuse(429))
    assert (await shop.hub.send("POST", f"{BILLING}/portal")).status == 503
    shop.stripe.faults.before.append(refuse(400))
    assert (await shop.hub.send("POST", f"{BILLING}/portal")).status == 503


ROUTES = (("GET", ""), ("POST", "/checkout"), ("POST", "/portal"))


@pytest.mark.parametrize(
    ("role", "scopes", "statuses"),
    [
        ("owner", None, [200, 200, 409]),
        ("owner", ("billing:write",), [403, 200, 409]),
        ("owner", ("org:read",), [200, 403, 403]),
        ("auditor", None, [403, 403, 403]),
        ("member", None, [403, 403, 403]),
        ("viewer", None, [403, 403, 403]),
    ],
)
async def test_billing_is_for_owners_with_its_scope(
    shop: Shop, role: str, scopes: Sequence[str] | None, statuses: list[int]
) -> None:
    token = await shop.hub.add_person(role=role, scopes=scopes)
    found = [
        (await shop.hub.send(method, BILLING + below, token=token, json={"plan": "team"})).status
        for method, below in ROUTES
    ]
    assert found == statuses


async def test_foreign_org_looks_like_none(shop: Shop) -> None:
    await shop.hub.add_org("org_y")
    for method, below in ROUTES:
        for org_id in ("org_y", "org_none"):
            path = f"/api/orgs/{org_id}/billing{below}"
            assert (await shop.hub.send(method, path, json={"plan": "team"})).status == 404


async def test_hub_without_stripe_says_so_and_still_shows_the_plan(hub: HubUnderTest) -> None:
    shown = await hub.get(BILLING)
    assert (shown.status, shown.json["plans_sold"]) == (200, [])
    for path in (f"{BILLING}/checkout", f"{BILLING}/portal", "/api/webhooks/stripe"):
        answer = await hub.send("POST", path, json={"plan": "team"})
        assert (answer.status, answer.json["code"]) == (409, "conflict")
        assert "not connected to Stripe" in answer.json["detail"]
