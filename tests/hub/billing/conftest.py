"""A hub that is connected to a stand-in Stripe, over SQLite or over each kind of database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from radar_audit_hub.billing.handlers import OUTBOX
from radar_audit_hub.outbox.job import OutboxJob
from radar_audit_hub.settings_billing import StripeSettings

from tests.support.hub_builder import ORG, Answer, Clock, HubUnderTest, running_hub, sqlite_hub
from tests.support.stripe_objects import Object
from tests.support.stripe_server import SECRET_KEY, WEBHOOK_SECRET, StripeServer, running_stripe

BILLING = f"/api/orgs/{ORG}/billing"


@dataclass
class Shop:
    """The hub, its Stripe, and what owners do."""

    hub: HubUnderTest
    stripe: StripeServer

    async def checkout(self, plan: str = "team", **more: Any) -> Answer:
        """Begin a checkout."""
        return await self.hub.send("POST", f"{BILLING}/checkout", json={"plan": plan}, **more)

    async def billing(self) -> Any:
        """Return what the hub says about the org's billing."""
        answer = await self.hub.get(BILLING)
        assert answer.status == 200
        return answer.json

    async def subscribe(self, plan: str = "team") -> str:
        """Buy a plan, all webhooks delivered; return the subscription's id."""
        session = (await self.checkout(plan)).json["checkout_session_id"]
        subscription_id: str = self.stripe.account.pay(session)["id"]
        await self.deliver_all()
        return subscription_id

    async def deliver(self, *events: Object, **changes: Any) -> list[int]:
        """Send webhooks to the hub."""
        return await self.stripe.deliver(self.hub.url, *events, **changes)

    async def deliver_all(self) -> None:
        """Send all that Stripe has to tell, in its order."""
        events, self.stripe.account.events[:] = list(self.stripe.account.events), []
        assert set(await self.deliver(*events)) <= {200}

    async def work(self) -> None:
        """Do the outbox work that is due."""
        await OutboxJob(self.hub.hub, OUTBOX).drain()

    async def rows(self, action: str = "billing.") -> list[dict[str, Any]]:
        """Return the log's billing events, the oldest first."""
        found = (await self.hub.get("?limit=500")).json["events"]
        mine = [event for event in found if event["action"].startswith(action)]
        return sorted(mine, key=lambda event: int(event["seq"]))

    async def reasons(self) -> list[str]:
        """Return why the subscription changed, each time."""
        return [e["metadata"]["reason"] for e in await self.rows("billing.subscription_changed")]

    def counted(self, result: str) -> float:
        """Return how many webhooks had this outcome."""
        registry = self.hub.hub.metrics.registry
        labels = {"result": result}
        return registry.get_sample_value("radar_audit_hub_stripe_webhooks_total", labels) or 0


def stripe_settings(url: str) -> StripeSettings:
    """Return the settings for a stand-in."""
    return StripeSettings(
        secret_key=SECRET_KEY,
        webhook_secret=WEBHOOK_SECRET,
        price_team=("price_team", "price_team_old"),
        price_enterprise=("price_enterprise",),
        url=url,
    )


@asynccontextmanager
async def _shop(url: str | None, template: Path | None, folder: Path) -> AsyncIterator[Shop]:
    clock = Clock()
    async with running_stripe(lambda: clock.now_ms // 1000) as stripe:
        changes: dict[str, Any] = {
            "stripe": stripe_settings(stripe.url),
            "public_url": "https://audit.acme.com",
            "failed_auth_per_minute": 8,
        }
        opened = (
            sqlite_hub(template, folder, **changes)
            if template is not None
            else running_hub(str(url), migrated=True, **changes)
        )
        async with opened as hub:
            clock = hub.clock
            async with hub.hub.db.write() as conn:
                await conn.exec_driver_sql("UPDATE org SET plan = 'free'")
            yield Shop(hub, stripe)


@pytest.fixture
async def shop(template: Path, tmp_path: Path) -> AsyncIterator[Shop]:
    """A shop over SQLite; its org is on the plan free."""
    async with _shop(None, template, tmp_path) as opened:
        yield opened


@pytest.fixture
async def any_shop(database_url: str, tmp_path: Path) -> AsyncIterator[Shop]:
    """A shop, once over each kind of database."""
    async with _shop(database_url, None, tmp_path) as opened:
        yield opened
