"""A hub that is killed while Stripe works finishes its calls when it is back, each once."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import aiohttp
from radar_audit_hub.billing.quantity import request_sync
from radar_audit_hub.store.subscriptions import Subscription, save_subscription

from tests.hub.billing.conftest import BILLING, stripe_settings
from tests.support.hub_builder import HubUnderTest, sqlite_hub
from tests.support.hub_process import HubProcess
from tests.support.stripe_objects import Object
from tests.support.stripe_server import StripeServer, running_stripe

PAYING_ORG = "org_paying"


async def prepare(hub: HubUnderTest, stripe: StripeServer) -> Object:
    """Have an org that pays for one cluster, has two, and waits for Stripe to be told."""
    await hub.add_org(PAYING_ORG, "team")
    await hub.add_cluster(PAYING_ORG, "cl_1")
    await hub.add_cluster(PAYING_ORG, "cl_2")
    account = stripe.account
    made = account.add_subscription(account.add_customer(), "price_team", 1, {"org_id": PAYING_ORG})
    row = Subscription(
        org_id=PAYING_ORG,
        subscription_id=made["id"],
        customer_id=made["customer"],
        plan="team",
        quantity=1,
        status="active",
        current_period_end_ms=None,
        cancel_at_period_end=False,
    )
    async with hub.hub.db.write() as conn:
        await conn.exec_driver_sql("UPDATE org SET plan = 'free' WHERE id <> 'org_paying'")
        await save_subscription(conn, row, hub.clock.now_ms)
        await request_sync(conn, PAYING_ORG, 0)
    return made


async def ask_for_checkout(hub: HubProcess, token: str) -> None:
    """Begin a checkout; how that ends does not matter, since the hub is killed meanwhile."""
    headers = {"Authorization": f"Bearer {token}"}
    with suppress(aiohttp.ClientError):
        async with (
            aiohttp.ClientSession() as client,
            client.post(
                f"{hub.url}{BILLING}/checkout", headers=headers, json={"plan": "team"}
            ) as answer,
        ):
            await answer.read()


def ask(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    """Run a statement on the hub's database file."""
    with closing(sqlite3.connect(folder / "hub.db", timeout=60)) as connection, connection:
        return connection.execute(sql).fetchall()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what another process does."""
    async with asyncio.timeout(100):
        while not condition():  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)


async def test_killed_hub_finishes_its_calls_to_stripe_once(template: Path, tmp_path: Path) -> None:
    """Stripe has opened the session and changed the quantity, but its answers do not come."""
    async with running_stripe(lambda: int(time.time())) as stripe:
        settings = stripe_settings(stripe.url)
        async with sqlite_hub(template, tmp_path) as prepared:
            paying = await prepare(prepared, stripe)
            owner = prepared.owner
        process = HubProcess(
            data_dir=tmp_path,
            stripe_secret_key=settings.secret_key,
            stripe_webhook_secret=settings.webhook_secret,
            stripe_price_team="price_team",
            stripe_url=settings.url,
        )
        stripe.hold_posts()
        async with process as hub:
            asking = asyncio.create_task(ask_for_checkout(hub, owner))
            await until(lambda: len(stripe.done("POST")) == 2)
            await hub.kill()
            await asking
            stripe.gate.set()
            # As if the claims of the hub that was killed had run out.
            ask(tmp_path, "UPDATE outbox SET due_at = 0, claimed_until = NULL")
            await hub.start()
            await until(lambda: ask(tmp_path, "SELECT 1 FROM outbox WHERE done_at IS NULL") == [])
        (session,) = stripe.account.sessions
        started = "SELECT target_id FROM audit_event WHERE action = 'billing.checkout_started'"
        assert ask(tmp_path, started) == [(session,)]
        assert len(stripe.done("POST", "/v1/subscriptions/")) == 1
        assert paying["items"]["data"][0]["quantity"] == 2
