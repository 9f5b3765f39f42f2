"""What an org of the page world has set up: clusters, people, tokens, destinations, rules, holds.

Owns the steps, which are the forms that an owner sends. Called by `page_world`. Names that deceive
the eye are among them.
"""

from __future__ import annotations

from typing import Any

from tests.support.hub_builder import HubUnderTest
from tests.support.pages import Elements, Reader, reader

LONG = "a-very-long-name-" * 7
NAMES = ("prod-eu", "prod-us", "<script>alert(1)</script>", "safe\u202egpj.exe", LONG[:100])


async def set_up(hub: HubUnderTest, org_id: str, now: str) -> dict[str, str]:
    """Set up an org as its owner; return ids by what they name (cluster, destination, delivery)."""
    # What the second owner does is told to the first one.
    owner, second = await reader(hub, "user_owner"), await reader(hub, "user_second")
    base = f"/orgs/{org_id}"
    token = await _clusters(owner, base)
    await _heartbeat(hub, token, now)
    for email, role in (("dana@acme.com", "auditor"), ("erin.with.a.long.name@acme.com", "viewer")):
        await second.post(f"{base}/invitations", email=email, role=role)
    for name in ("ci-bot", *NAMES[2:]):
        await owner.post(f"{base}/tokens", name=name, life="90", scopes="audit:read")
    found = {"cluster": await _link(owner, f"{base}/clusters", "/clusters/cl_")}
    found |= await _alerts(owner, base)
    await _retention(owner, base)
    return found


async def _clusters(owner: Reader, base: str) -> str:
    token = ""
    for name in NAMES:
        fields = {"name": name, "environment": "production", "labels": "team=payments"}
        answer = await owner.post(f"{base}/clusters/new", **fields)
        assert answer.status == 200, answer.body
        given = [one for _, one in Elements(answer.body.decode()).tags]
        token = token or next(one["value"] for one in given if one.get("id") == "cluster-token")
    return token


async def _heartbeat(hub: HubUnderTest, token: str, now: str) -> None:
    beat: dict[str, Any] = {
        "collector_id": "radar-7d9f6c5b8-x2k4q",
        "instance_id": "i-1",
        "version": "0.1.0",
        "sent_at": now,
        "sources": [{"name": "gateway", "state": "ok"}],
        "spool": {"events": 0, "bytes": 0},
    }
    await hub.send("POST", "/api/agent/heartbeat", token=token, json=beat)


async def _link(owner: Reader, path: str, part: str) -> str:
    links = [one["href"] for one in Elements(await owner.text(path)).all("a")]
    return next(one for one in links if part in one).rpartition("/")[2].partition("?")[0]


async def _alerts(owner: Reader, base: str) -> dict[str, str]:
    page = f"{base}/notifications"
    new = f"{page}/destinations/new"
    slack = {"kind": "slack", "name": "security", "url": "https://127.0.0.1/services/T0/B0/x"}
    for fields in (
        slack,
        {"kind": "webhook", "name": "siem", "url": "https://siem.example.com/in"},
        {"kind": "email", "name": "ops", "to": "ops@acme.com\nnight@acme.com"},
    ):
        answer = await owner.post(new, **fields)
        assert answer.status in (200, 303), answer.body
    address = f"{page}/destinations/{await _link(owner, page, '/destinations/nd_')}"
    await owner.post(f"{address}/test")
    for name, query in (("shells", ""), ("payments", "namespace:pay*")):
        fields = {
            "name": name,
            "actions": "pod.exec_started",
            "query": query,
            "severity": "critical",
            "destinations": "security",
            "revision": await _revision(owner, f"{page}/rules/new"),
        }
        answer = await owner.post(f"{page}/rules/new", **fields)
        assert answer.status == 303, answer.body
    return {
        "destination": address.rpartition("/")[2],
        "delivery": await _link(owner, address, "/deliveries/msg_"),
    }


async def _retention(owner: Reader, base: str) -> None:
    page = f"{base}/retention"
    hold = {"name": "case-7", "reason": "lawsuit 7/2026", "query": "actor:eve@acme.com"}
    exception = {"name": "sign-ins", "actions": "auth.*", "age": "10"}
    for path, fields in (
        (page, {"age": "14", "delay": "24"}),
        (f"{page}/new-exception", exception),
        (f"{page}/holds", hold),
    ):
        answer = await owner.post(path, **fields, revision=await _revision(owner, page))
        assert answer.status == 303, answer.body


async def _revision(owner: Reader, path: str) -> str:
    fields = Elements(await owner.text(path)).all("input")
    return next(one["value"] for one in fields if one.get("name") == "revision")
