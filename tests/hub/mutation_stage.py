"""The small world in which each mutation is made once: people, a cluster, Stripe, a provider.

Owns the stage and the one form of a request on it. Used by the table of mutations and by the test
that plays it. Everything is real but Stripe and WorkOS, which are stand-ins that check what the
real ones check.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from radar_audit_hub.settings_billing import StripeSettings
from radar_audit_hub.settings_signin import OidcSettings
from radar_audit_hub.store.schema import org
from sqlalchemy import update

from tests.support.browsers import signed_in
from tests.support.hub_builder import ORG, Answer, HubUnderTest
from tests.support.openid_provider import CLIENT_ID, CLIENT_SECRET, OpenIdProvider
from tests.support.stripe_server import SECRET_KEY, WEBHOOK_SECRET, StripeServer, running_stripe
from tests.support.visitor import PUBLIC_URL, SESSION
from tests.support.workos_server import WorkosServer, workos_server

ORG_PATH = f"/api/orgs/{ORG}"
OWNER_ID, OWNER_EMAIL = "user_1", "p1@acme.com"
BOB_ID, BOB_PAT = "user_2", "pat_2"
CLUSTER_ID = "cl_1"
CLUSTER_PATH = f"{ORG_PATH}/clusters/{CLUSTER_ID}"


TOKEN_SCOPES = ("ingest", "agent", "audit-settings:write")


@dataclass(frozen=True)
class Call:
    """One request; it is the owner's PAT that sends it, another `token`, or (None) no token."""

    method: str
    path: str
    json: Any = None
    token: str | None = ""
    headers: dict[str, str] = field(default_factory=dict)
    data: bytes | None = None

    async def send(self, hub: HubUnderTest) -> Answer:
        """Send it."""
        more: dict[str, Any] = {"headers": self.headers, "allow_redirects": False}
        if self.data is not None:
            more["data"] = self.data
        if self.json is not None:
            more["json"] = self.json
        return await hub.send(self.method, self.path, token=self.token, **more)


@dataclass
class Stage:
    """An org with an owner in a browser, the member Bob with a token, and a cluster's token."""

    hub: HubUnderTest
    stripe: StripeServer
    workos: WorkosServer
    provider: OpenIdProvider
    bob: str
    cluster: str

    async def browser(self) -> tuple[str, dict[str, str]]:
        """Open a session of the owner's; return its id and what its pages send."""
        found = await signed_in(self.hub, OWNER_ID)
        return found.session_id, {
            "Cookie": f"{SESSION}={found.secret}",
            "X-CSRF-Token": found.csrf,
        }


@asynccontextmanager
async def staged(
    serve: Callable[..., AbstractAsyncContextManager[HubUnderTest]], provider: OpenIdProvider
) -> AsyncIterator[Stage]:
    """Have a hub served by `serve`, fill it, and let its clock stand at the real time."""
    now_ms = time.time_ns() // 1_000_000
    async with (
        running_stripe(lambda: now_ms // 1000) as stripe,
        workos_server() as workos,
        serve(
            public_url=PUBLIC_URL,
            stripe=StripeSettings(
                secret_key=SECRET_KEY,
                webhook_secret=WEBHOOK_SECRET,
                price_team=("price_team",),
                url=stripe.url,
            ),
            workos=workos.settings(),
            oidc=OidcSettings(
                issuer=provider.issuer,
                client_id=CLIENT_ID,
                client_secret=CLIENT_SECRET,
                ca_file=provider.ca_file,
            ),
        ) as hub,
    ):
        hub.clock.now_ms = now_ms
        bob = await hub.add_person(role="member")
        cluster = await hub.add_cluster(ORG, CLUSTER_ID, TOKEN_SCOPES)
        async with hub.hub.db.write() as connection:
            await connection.execute(update(org).values(plan="free"))
        yield Stage(hub, stripe, workos, provider, bob, cluster)
