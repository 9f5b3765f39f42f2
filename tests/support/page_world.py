"""A hub in a thread of its own, with an org as people have one, for browsers to look at.

Owns `PageWorld` and what is in its log. Called by the tests with a real browser and by the
screenshots. All of it is made of a fixed seed, so that two runs show the same.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from radar_audit_events.event import Event
from radar_audit_events.ids import event_id, format_ms, source_key
from radar_audit_hub.ingest.prepare import prepare
from radar_audit_hub.settings_billing import StripeSettings
from radar_audit_hub.settings_mail import SmtpSettings
from radar_audit_hub.settings_signin import OidcSettings, WorkosSettings
from radar_audit_hub.store.clusters import delete_cluster
from radar_audit_hub.store.control import Cluster, User, ensure_user, insert_cluster, insert_member
from radar_audit_hub.store.log import append_batch
from radar_audit_hub.store.subscriptions import Subscription, save_subscription

from tests.support.browsers import Browser, signed_in
from tests.support.hub_builder import HubUnderTest, running_hub
from tests.support.log_rows import NOW_MS, make_event
from tests.support.mail_server import mail_server
from tests.support.page_settings import set_up

T = TypeVar("T")
FULL, EMPTY = "org_acme", "org_empty"
PAID, OWED = "org_paid", "org_owed"  # with a subscription, and with one whose payment failed
ROLES = ("owner", "auditor", "member", "viewer")
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    '=HYPERLINK("http://evil.example")',
    "safe\u202egpj.exe\u2066",
    "a" * 2000,
    "zero\u200bwidth\u00adhyphen",
    "Z\u0351\u036b\u0343\u036a\u0302\u036b\u033d\u034f\u0334\u0319\u0324\u031e\u0349\u035aalgo",
    "日本語 العربية עברית 👩‍👩‍👧",
    "{{ 7*7 }} {% raw %}",
    "javascript:alert(1)",
)
_PEOPLE = ("alice", "bob", "carol", "dmitri", "eve", "farid")
_CLUSTERS = (("cl_1", "prod-eu"), ("cl_2", "prod-us"), ("cl_3", "staging"))
_PODS = (
    ("payments", "api-7d9f6c5b8-x2k4q", "app"),
    ("payments", "worker-5c7b-lm2nz", "app"),
    ("checkout", "web-0", "nginx"),
    ("observability", "prometheus-server-0", "prometheus"),
    ("kube-system", "coredns-6f6b679f8f-9v5lw", "coredns"),
)
_HOUR = 3_600_000


@dataclass
class PageWorld:
    """The hub and its people; `browsers` by role, all of them members of all orgs."""

    hub: HubUnderTest
    loop: asyncio.AbstractEventLoop
    browsers: dict[str, Browser] = field(default_factory=dict)
    event_id: str = ""
    ids: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where the hub is."""
        return self.hub.url

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something on the hub's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def page_world(folder: Path) -> Iterator[PageWorld]:
    """Serve the world until the block ends."""
    ready, over = threading.Event(), threading.Event()
    found: list[PageWorld] = []
    trouble: list[BaseException] = []

    async def serve() -> None:
        port = free_port()
        public_url = f"http://127.0.0.1:{port}"
        async with (
            mail_server() as mails,
            running_hub(
                f"sqlite:///{folder / 'hub.db'}",
                smtp=SmtpSettings(host="127.0.0.1", port=mails.port, security="none"),
                migrated=False,
                port=port,
                public_url=public_url,
                # Named, so that the sign-in shows every way; nobody is asked before one is taken.
                oidc=OidcSettings(issuer="https://id.example.com", client_id="radar-audit"),
                workos=WorkosSettings(api_key="sk_test", client_id="client_1"),
                stripe=StripeSettings(
                    secret_key="sk_test",
                    webhook_secret="whsec_test",
                    price_team=("price_team",),
                    price_enterprise=("price_enterprise",),
                ),
            ) as hub,
        ):
            world = PageWorld(hub, asyncio.get_running_loop())
            await fill(world)
            found.append(world)
            ready.set()
            await asyncio.to_thread(over.wait)

    def main() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:  # told to whoever waits
            trouble.append(error)
            ready.set()

    thread = threading.Thread(target=main, name="hub")
    thread.start()
    try:
        ready.wait(60)
        if trouble:
            raise trouble[0]
        yield found[0]
    finally:
        over.set()
        thread.join(60)


async def fill(world: PageWorld) -> None:
    """Make the people, the orgs, and the log of the full one."""
    hub = world.hub
    plans = {FULL: "team", EMPTY: "free", PAID: "team", OWED: "team"}
    for org_id, plan in plans.items():
        await hub.add_org(org_id, plan)
    async with hub.hub.db.write() as conn:
        for role in (*ROLES, "nobody"):
            user = User(id=f"user_{role}", email=f"{role}@acme.com", created_at_ms=NOW_MS)
            await ensure_user(conn, user)
            for org_id in plans if role != "nobody" else ():
                await insert_member(conn, org_id, user.id, role, NOW_MS)
        second = User(id="user_second", email="second@acme.com", created_at_ms=NOW_MS)
        await ensure_user(conn, second)
        await insert_member(conn, FULL, second.id, "owner", NOW_MS)
        for cluster_id, name in _CLUSTERS:  # they are gone, but the log still names them
            gone = _cluster(FULL, cluster_id, name)
            await insert_cluster(conn, gone)
            await delete_cluster(conn, gone, NOW_MS)
    await subscribe(hub, PAID, "active")
    await subscribe(hub, OWED, "past_due")
    for role in (*ROLES, "nobody"):
        world.browsers[role] = await signed_in(hub, f"user_{role}")
    events = log()
    world.event_id = next(e.id for e, _ in reversed(events) if e.action == "pod.exec_ended")
    rows = [prepare(event, os.urandom(32), key) for event, key in events]
    await append_batch(hub.hub.db, FULL, rows, NOW_MS)
    world.ids = await set_up(hub, FULL, format_ms(NOW_MS))


async def subscribe(hub: HubUnderTest, org_id: str, status: str) -> None:
    """Give an org two clusters and a subscription in a status, as Stripe's webhook leaves it."""
    bought = Subscription(
        org_id=org_id,
        subscription_id=f"sub_{org_id}",
        customer_id=f"cus_{org_id}",
        plan="team",
        quantity=2,
        status=status,
        current_period_end_ms=NOW_MS + 20 * 24 * _HOUR,
        cancel_at_period_end=False,
    )
    async with hub.hub.db.write() as conn:
        await save_subscription(conn, bought, NOW_MS)
        for number in range(bought.quantity):
            await insert_cluster(conn, _cluster(org_id, f"cl_{org_id}_{number}", f"prod-{number}"))


def _cluster(org_id: str, cluster_id: str, name: str) -> Cluster:
    return Cluster(
        org_id=org_id,
        id=cluster_id,
        name=name,
        environment="production",
        labels={},
        created_at_ms=NOW_MS,
    )


def log() -> list[tuple[Event, bytes | None]]:
    """Return a week of an org: terminals, changes, sign-ins, refusals, and hostile names."""
    dice = random.Random(7)  # the same week each time
    made: list[tuple[Event, bytes | None]] = []
    for number in range(90):
        start = NOW_MS - dice.randrange(5 * 60_000, 160 * _HOUR)
        made += terminal(dice, f"s-{number}", start, is_open=number % 15 == 0)
    for number in range(110):
        at_ms = NOW_MS - dice.randrange(60_000, 165 * _HOUR)
        made.append((_change(dice, number, at_ms), None))
    for number, name in enumerate(HOSTILE):
        at_ms = NOW_MS - (number + 1) * 47_000
        changes = {"name": ["Acme", name]}
        made.append((_event(number, "org.updated", at_ms, {"changes": changes}, "eve"), None))
        made += terminal(dice, f"h-{number}", at_ms - 9000, pod=name[:250], is_open=False)
    return sorted(made, key=lambda pair: pair[0].created_at_ms)


def terminal(
    dice: random.Random, session: str, start: int, *, is_open: bool, pod: str | None = None
) -> list[tuple[Event, bytes | None]]:
    """Return the events of one terminal, with the keys that collectors give them."""
    cluster_id, cluster_name = dice.choice(_CLUSTERS)
    namespace, name, container = dice.choice(_PODS)
    person = dice.choice(_PEOPLE)
    place = {
        "cluster_id": cluster_id,
        "cluster_name": cluster_name,
        "namespace": namespace,
        "pod": pod or name,
        "container": container,
        "session_id": session,
    }
    length = dice.randrange(4_000, 2_400_000)
    facts: list[tuple[str, str, int, dict[str, Any]]] = [
        ("pod.exec_started", "started", start, place)
    ]
    if not is_open and start + length <= NOW_MS:
        reason = dice.choice(["client_closed"] * 6 + ["server_closed", "error", "assumed"])
        kind = "assumed" if reason == "assumed" else "ended"
        end = place | {
            "duration_ms": length,
            "end_reason": reason,
            "observed": reason != "assumed",
            "started_at": format_ms(start),
        }
        facts.append(("pod.exec_ended", kind, start + length, end))
    found: list[tuple[Event, bytes | None]] = []
    for action, kind, at_ms, metadata in facts:
        key = source_key(cluster_id, session, kind)
        event = make_event(
            action=action,
            created_at_ms=at_ms,
            org_id=FULL,
            id=event_id(at_ms, key),
            metadata=metadata,
            # Kubernetes lets no such name be; what is hostile stands in the metadata.
            target_id=f"{cluster_id}/{namespace}/{name}",
            actor_user_id=f"user_{person}",
            actor_email=f"{person}@acme.com",
            cluster_id=cluster_id,
        )
        found.append((event, key))
    return found


def _change(dice: random.Random, number: int, at_ms: int) -> Event:
    person = dice.choice(_PEOPLE)
    cluster_id, cluster_name = dice.choice(_CLUSTERS)
    kinds: list[tuple[str, dict[str, Any]]] = [
        ("auth.signin", {"method": "oidc", "ip": "192.0.2.7"}),
        ("auth.signin", {"method": "sso", "ip": "198.51.100.4"}),
        ("cluster.action_denied", {"attempted_action": "pod.exec", "role": "viewer",
                                   "required_role": "member", "namespace": "payments"}),
        ("pat.created", {"name": "ci-bot", "scopes": ["audit:read"]}),
        ("pat.revoked", {"name": "ci-bot", "via_pat": "terraform"}),
        ("org_invitation.created", {"email": f"new{number}@acme.com", "role": "member",
                                    "expires_at": format_ms(at_ms + 168 * _HOUR)}),
        ("cluster.token_rotated", {"name": cluster_name}),
        ("cluster.created", {"name": cluster_name, "environment": "production"}),
    ]  # fmt: skip
    action, metadata = dice.choices(kinds, weights=[6, 3, 2, 1, 1, 1, 1, 1])[0]
    return _event(number, action, at_ms, metadata, person, cluster_id)


def _event(
    number: int,
    action: str,
    at_ms: int,
    metadata: dict[str, Any],
    person: str,
    cluster_id: str | None = None,
) -> Event:
    event = make_event(
        number,
        action=action,
        created_at_ms=at_ms,
        org_id=FULL,
        metadata=metadata,
        actor_user_id=f"user_{person}",
        actor_email=f"{person}@acme.com",
    )
    if event.target_type != "cluster":
        return event
    return make_event(
        number,
        action=action,
        created_at_ms=at_ms,
        org_id=FULL,
        metadata=metadata,
        actor_user_id=f"user_{person}",
        actor_email=f"{person}@acme.com",
        target_id=cluster_id,
        cluster_id=cluster_id,
    )
