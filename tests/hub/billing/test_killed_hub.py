"""A hub that is killed while Stripe works finishes its calls when it is back, each once."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import aiohttp

from tests.hub.billing.conftest import BILLING, stripe_settings
from tests.support.hub_builder import ORG
from tests.support.hub_process import HubProcess
from tests.support.stripe_server import running_stripe


async def post(hub: HubProcess, path: str, token: str, body: dict[str, str]) -> None:
    """POST; how it ends does not matter, since the hub may be killed meanwhile."""
    headers = {"Authorization": f"Bearer {token}"}
    with suppress(aiohttp.ClientError):
        async with (
            aiohttp.ClientSession() as client,
            client.post(hub.url + path, headers=headers, json=body) as answer,
        ):
            await answer.read()


def ask(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    """Run a statement on the hub's database file."""
    with closing(sqlite3.connect(folder / "hub.db", timeout=10)) as connection, connection:
        return connection.execute(sql).fetchall()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what another process does."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - another process's database
            await asyncio.sleep(0.05)


async def restart_with_work_due(hub: HubProcess, folder: Path) -> None:
    """Start the hub again as if the claims of the one that was killed had run out."""
    ask(folder, "UPDATE outbox SET due_at = 0, claimed_until = NULL WHERE done_at IS NULL")
    await hub.start()
    await until(lambda: ask(folder, "SELECT 1 FROM outbox WHERE done_at IS NULL") == [])


async def test_killed_hub_finishes_its_calls_to_stripe_once(tmp_path: Path) -> None:
    async with running_stripe(lambda: int(time.time())) as stripe:
        settings = stripe_settings(stripe.url)
        hub = HubProcess(
            data_dir=tmp_path,
            stripe_secret_key=settings.secret_key,
            stripe_webhook_secret=settings.webhook_secret,
            stripe_price_team="price_team",
            stripe_url=settings.url,
        )
        code, out, err = await hub.command("init", "--org-id", ORG, "--plan", "free", "-o", "json")
        assert code == 0, err
        owner = json.loads(out)["pat"]["token"]
        async with hub:
            # Stripe has opened the session, but its answer does not come.
            held = asyncio.Event()
            stripe.faults.after.append(held.wait)
            asking = asyncio.create_task(post(hub, f"{BILLING}/checkout", owner, {"plan": "team"}))
            await until(lambda: bool(stripe.account.sessions))
            await hub.kill()
            await asking
            held.set()
            await restart_with_work_due(hub, tmp_path)
            (session,) = stripe.account.sessions
            events = "SELECT target_id FROM audit_event WHERE action = 'billing.checkout_started'"
            assert ask(tmp_path, events) == [(session,)]

            # The same with a quantity: asked first (GET), told (POST), not answered.
            subscription = stripe.account.pay(session)
            assert set(await stripe.deliver(hub.url, *stripe.account.events)) == {200}
            held = asyncio.Event()
            stripe.faults.after.extend([lambda: None, held.wait])
            cluster = {"name": "two", "environment": "production"}
            await post(hub, f"/api/orgs/{ORG}/clusters", owner, cluster)
            await until(lambda: bool(stripe.done("POST", "/v1/subscriptions/")))
            await hub.kill()
            held.set()
            await restart_with_work_due(hub, tmp_path)
            assert len(stripe.done("POST", "/v1/subscriptions/")) == 1
            assert subscription["items"]["data"][0]["quantity"] == 2
