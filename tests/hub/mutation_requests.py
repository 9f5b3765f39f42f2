"""The requests that mutate: what is there before, and the one request that is judged.

Owns how each mutating route is asked in the world of `mutation_stage.py`. Used by the table of
mutations. What comes before is made through the store or over HTTP, as people would.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Any

from radar_audit_events.actions import ACTIONS, Field
from radar_audit_events.ids import format_ms
from radar_audit_hub.bootstrap import Means
from radar_audit_hub.external.rules import ALLOWED
from radar_audit_hub.signin.new_link import create_link
from radar_audit_hub.store.control import insert_new
from radar_audit_hub.store.schema_members import org_domain
from radar_audit_hub.store.schema_signin import sso_org

from tests.hub.mutation_stage import (
    BOB_ID,
    BOB_PAT,
    CLUSTER_ID,
    ORG_PATH,
    OWNER_EMAIL,
    Call,
    Stage,
)
from tests.support.collector_posts import a_batch, a_start, an_end
from tests.support.hub_builder import ORG
from tests.support.openid_provider import PASSWORD
from tests.support.visitor import PUBLIC_URL, Visitor

OWNER_PATH = f"/api/agent/owners/k8s:{CLUSTER_ID}:-:hub"
SETTINGS_PATH = f"{ORG_PATH}/audit/settings"


Ask = Callable[[Stage], Awaitable[Call]]


def simple(method: str, path: str, json: Any = None) -> Ask:
    """Return the asking that needs nothing before."""

    async def ask(_: Stage) -> Call:
        return Call(method, path, json)

    return ask


async def sign_out(stage: Stage) -> Call:
    _, headers = await stage.browser()
    return Call("DELETE", "/api/session", token=None, headers=headers)


async def end_another_session(stage: Stage) -> Call:
    other, _ = await stage.browser()
    _, headers = await stage.browser()
    return Call("DELETE", f"/api/sessions/{other}", token=None, headers=headers)


async def sign_in_by_link(stage: Stage) -> Call:
    means = Means(stage.hub.clock.now_ms, os.urandom)
    link = await create_link(stage.hub.hub.db, OWNER_EMAIL, PUBLIC_URL, means)
    return Call("POST", link.removeprefix(PUBLIC_URL), token=None)


async def sign_in_by_provider(stage: Stage) -> Call:
    """As Alice, whose e-mail's domain the org lets in."""
    domains = await stage.hub.send("PATCH", ORG_PATH, json={"allowed_domains": ["acme.com"]})
    assert domains.status == 200, domains.body
    visitor = Visitor(stage.hub, tls=stage.provider.tls())
    back = await visitor.log_in(await visitor.begin(), "alice", PASSWORD)
    return _of_visitor(visitor, back)


async def sign_in_by_sso(stage: Stage) -> Call:
    """As Carol, by the org's own connection; another org lets her in by her e-mail's domain."""
    workos_id = stage.workos.add_organization(ORG, "acme.com")
    row = {"org_id": ORG, "workos_id": workos_id, "created_at": 0}
    await stage.hub.add_org("org_y")
    async with stage.hub.hub.db.write() as connection:
        await insert_new(connection, sso_org, row)
        await insert_new(
            connection, org_domain, {"org_id": "org_y", "domain": "acme.com", "created_at": 0}
        )
    visitor = Visitor(stage.hub)
    address = await visitor.begin("/api/auth/sso/start", org_id=ORG)
    back = stage.workos.authorize(address, email="carol@acme.com")
    return _of_visitor(visitor, back)


def _of_visitor(visitor: Visitor, address: str) -> Call:
    cookies = "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())
    path = address.removeprefix(PUBLIC_URL)
    return Call("GET", path, token=None, headers={"Cookie": cookies})


async def heartbeat(stage: Stage) -> Call:
    body = {
        "collector_id": "c1",
        "instance_id": "i1",
        "version": "0.1.0",
        "sources": ["logfile"],
        "sent_at": "2026-11-24T10:00:00Z",
        "spool": {"events": 0, "bytes": 0, "oldest_at": None, "dead_letters": 0},
    }
    return Call("POST", "/api/agent/heartbeat", body, token=stage.cluster)


async def ingest(stage: Stage) -> Call:
    now_ms = stage.hub.clock.now_ms
    batch = a_batch(a_start(at_ms=now_ms), an_end(at_ms=now_ms))
    return Call("POST", "/api/ingest/events", batch, token=stage.cluster)


def _document(**changes: Any) -> dict[str, Any]:
    """Return what an operator sends of an AuditHub."""
    document = {
        "uid": "uid-1",
        "generation": 1,
        "spec_hash": "h-1",
        "created_at": "2026-11-24T10:00:00Z",
        "retention": {"max_age_hours": 100},
    }
    return document | changes


async def put_owner(stage: Stage) -> Call:
    return Call("PUT", OWNER_PATH, _document(), token=stage.cluster)


async def _stored(stage: Stage, **changes: Any) -> None:
    put = Call("PUT", OWNER_PATH, _document(**changes), token=stage.cluster)
    answer = await put.send(stage.hub)
    assert answer.status == 200, answer.body


async def delete_owner(stage: Stage) -> Call:
    await _stored(stage)
    return Call("DELETE", OWNER_PATH, token=stage.cluster)


async def _grant(stage: Stage) -> None:
    answer = await stage.hub.send("PUT", f"{SETTINGS_PATH}/grants/{CLUSTER_ID}")
    assert answer.status == 200, answer.body


async def revoke_grant(stage: Stage) -> Call:
    await _grant(stage)
    return Call("DELETE", f"{SETTINGS_PATH}/grants/{CLUSTER_ID}")


def _owner_id(name: str) -> str:
    return f"k8s:{CLUSTER_ID}:-:{name}"


async def take_over(stage: Stage) -> Call:
    """From the first of two owners that ask for the org's age."""
    await _grant(stage)
    for name in ("one", "two"):
        path = f"/api/agent/owners/{_owner_id(name)}"
        document = _document(uid=name, scope="organization")
        answer = await Call("PUT", path, document, token=stage.cluster).send(stage.hub)
        assert answer.status == 200, answer.body
    order = {"owner_id": _owner_id("two"), "holder_id": _owner_id("one")}
    return Call("POST", f"{SETTINGS_PATH}/takeover", order)


async def agree_to_release(stage: Stage) -> Call:
    """After a complete list in which most of the cluster's owners are missing."""
    for name in ("one", "two", "three", "four"):
        path = f"/api/agent/owners/{_owner_id(name)}"
        call = Call("PUT", path, _document(uid=name), token=stage.cluster)
        assert (await call.send(stage.hub)).status == 200
    for _ in range(2):
        await _beat(stage).send(stage.hub)
        stage.hub.clock.now_ms += 3_600_000
    return Call("POST", f"{SETTINGS_PATH}/release/{CLUSTER_ID}")


def _beat(stage: Stage) -> Call:
    """Return a heartbeat of an operator that sees no owner in its cluster any more."""
    beat = {
        "is_complete": True,
        "sent_at": format_ms(stage.hub.clock.now_ms),
        "version": "0.1.0",
        "owners": [],
    }
    return Call("POST", "/api/agent/operator-heartbeat", beat, token=stage.cluster)


async def try_destination(stage: Stage) -> Call:
    mail = {"name": "mail", "email": {"to": ["ops@acme.com"]}}
    await _stored(stage, notifications={"destinations": [mail]})
    return Call("POST", f"{OWNER_PATH}/destinations/mail/test", token=stage.cluster)


async def operator_heartbeat(stage: Stage) -> Call:
    """The second list without an owner, an hour after the first."""
    await _stored(stage)
    assert (await _beat(stage).send(stage.hub)).status == 200
    stage.hub.clock.now_ms += 3_600_000
    return _beat(stage)


async def record(stage: Stage) -> Call:
    """One event of each action that another control plane may record."""
    events = [
        {
            "key": f"deploy-1/{name}",
            "action": name,
            "target_id": TARGETS[ACTIONS[name].target_type],
            "created_at": format_ms(stage.hub.clock.now_ms),
            "actor": OWNER_EMAIL,
            "metadata": {field.name: _value(field) for field in ACTIONS[name].fields},
        }
        for name in ALLOWED
    ]
    return Call("POST", f"{ORG_PATH}/audit/events", {"events": events})


TARGETS = {
    "cluster": CLUSTER_ID,
    "org": ORG,
    "org_member": BOB_ID,
    "org_invitation": "inv_1",
    "pat": BOB_PAT,
    "billing": "sub_1",
    "auth": BOB_ID,
}


def _value(field: Field) -> Any:
    values: dict[str, Any] = {
        "string": field.choices[0] if field.choices else "text",
        "integer": field.minimum or 0,
        "boolean": True,
        "string_list": ["text"],
        "labels": {"team": "payments"},
        "changes": {"name": ["old", "new"]},
    }
    return values[field.type]


async def _subscribe(stage: Stage) -> list[dict[str, Any]]:
    """Buy a plan at Stripe; return what Stripe has to tell of it."""
    begun = await stage.hub.send("POST", f"{ORG_PATH}/billing/checkout", json={"plan": "team"})
    assert begun.status == 200, begun.body
    stage.stripe.account.pay(begun.json["checkout_session_id"])
    return list(stage.stripe.account.events)


async def webhook(stage: Stage) -> Call:
    events = await _subscribe(stage)
    told = next(event for event in events if event["type"] == "customer.subscription.created")
    body, signature = stage.stripe.signed(told)
    headers = {"Stripe-Signature": signature, "Content-Type": "application/json"}
    return Call("POST", "/api/webhooks/stripe", token=None, headers=headers, data=body)


async def billing_portal(stage: Stage) -> Call:
    assert await stage.stripe.deliver(stage.hub.url, *(await _subscribe(stage)))
    return Call("POST", f"{ORG_PATH}/billing/portal")


async def _invite(stage: Stage, email: str = "carol@acme.com") -> dict[str, Any]:
    body = {"email": email, "role": "viewer"}
    made = await stage.hub.send("POST", f"{ORG_PATH}/invitations", json=body)
    assert made.status == 201, made.body
    found: dict[str, Any] = made.json
    return found


async def resend(stage: Stage) -> Call:
    invitation = await _invite(stage)
    return Call("POST", f"{ORG_PATH}/invitations/{invitation['id']}/resend")


async def revoke_invitation(stage: Stage) -> Call:
    invitation = await _invite(stage)
    return Call("DELETE", f"{ORG_PATH}/invitations/{invitation['id']}")


async def accept(stage: Stage) -> Call:
    await stage.hub.add_org("org_y")
    token = await stage.hub.add_person("org_y")
    me = await stage.hub.get("/api/me", token=token)
    invitation = await _invite(stage, me.json["email"])
    secret = invitation["url"].partition("#token=")[2]
    return Call("POST", "/api/invitations/accept", {"token": secret}, token=token)
