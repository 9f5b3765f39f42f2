"""A whole operator between an API server and a hub, all in this process.

Owns the three and how long a test waits for them. Called by the operator's tests. Only the clocks
of retries and resyncs are shortened; the code that runs is the program's. Bounds of requests stay
long: a machine that pauses for seconds must not look like a hub that is away.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import copy
import itertools
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import trustme
from radar_audit_operator.active import Active
from radar_audit_operator.app import App
from radar_audit_operator.settings import OperatorSettings
from radar_audit_operator.specs import Key

from tests.support.agent_api import CLUSTER, ORG, TOKEN, AgentApi, stand_in
from tests.support.api_server import KINDS, ApiServer
from tests.support.crd_cases import API_VERSION
from tests.support.crd_checker import CrdChecker

OWN = "radar-audit"
WAIT_SECONDS = 60.0
_SOON_SECONDS = 60.0  # a comparison that is not due within it is one of an interval's end
SETTINGS = OperatorSettings(
    namespace=OWN,
    identity="one",
    lease_enabled=False,
    probes_listen="127.0.0.1:0",
    retry_max_seconds=0.3,
    secret_retry_seconds=0.2,
    event_quiet_seconds=0.0,
    hub_timeout_seconds=30.0,
    workers=8,
)


def secret(namespace: str, name: str, **values: str) -> dict[str, Any]:
    """Return a Secret."""
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    meta = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": data}


def policy(name: str = "main", namespace: str = OWN, /, **spec: Any) -> dict[str, Any]:
    """Return an AuditPolicy for the hub `main`; without a spec it keeps events for 30 days."""
    meta = {"name": name, "namespace": namespace}
    given = {"hubRef": {"name": "main"}, **(spec or {"retention": {"maxAge": "30d"}})}
    return {"apiVersion": API_VERSION, "kind": "AuditPolicy", "metadata": meta, "spec": given}


def alerts(**more: Any) -> dict[str, Any]:
    """Return notifications to one Slack channel."""
    destination = {"name": "sec", "slack": {"urlSecretRef": {"name": "alerts", "key": "url"}}}
    rule = {"name": "shells", "actions": ["pod.exec_started"], "destinations": ["sec"], **more}
    return {"destinations": [destination], "rules": [rule]}


def changed(raw: dict[str, Any], **annotations: str) -> dict[str, Any]:
    """Return a copy with annotations of ours, such as sync_now='1'."""
    made = copy.deepcopy(raw)
    notes = {f"audit.radarhq.io/{k.replace('_', '-')}": v for k, v in annotations.items()}
    made["metadata"]["annotations"] = notes
    return made


class OperatorWorld:
    """An API server, a hub, and the operators that a test starts."""

    def __init__(self, api: ApiServer, hub: AgentApi, folder: Path, ca_bundle: str) -> None:
        """Know them; `start` begins an operator."""
        self.api, self.hub, self.folder, self.ca_bundle = api, hub, folder, ca_bundle
        self.writes: list[tuple[str, str]] = []
        self.api.on_write = lambda verb, resource: self.writes.append((verb, resource))
        self._running: list[tuple[App, asyncio.Task[None]]] = []
        self._wishes = itertools.count(1)

    async def start(self, settings: OperatorSettings = SETTINGS) -> App:
        """Start one operator and wait until it knows all objects and watches them."""
        before = self.watches()
        app = App(settings, "0.1.0", self.api.write_kubeconfig(self.folder))
        self._running.append((app, asyncio.create_task(app.run())))
        if not settings.lease_enabled:
            await self.until(lambda: app.active is not None and app.active.is_ready())
            # What is deleted before its watch begins is found by the next comparison alone.
            await self.until_watched(before)
        return app

    def watches(self) -> Counter[str]:
        """Return how often the watch of each resource has begun."""
        return Counter(each.resource for each in self.api.requests if each.verb == "watch")

    async def until_watched(self, before: Counter[str]) -> None:
        """Wait until our kinds are watched once more than `before`."""
        await self.until(lambda: all(self.watches()[kind] > before[kind] for kind in KINDS))

    async def end(self, app: App) -> None:
        """Stop an operator gently."""
        for pair in [pair for pair in self._running if pair[0] is app]:
            self._running.remove(pair)
            await app.drain()
            pair[1].cancel()
            await asyncio.gather(pair[1], return_exceptions=True)

    async def close(self) -> None:
        """Stop everything."""
        for app, _ in list(self._running):
            await self.end(app)
        await self.hub.stop()
        await self.api.stop()

    def audit_hub(self, name: str = "main", /, **spec: Any) -> dict[str, Any]:
        """Return an AuditHub for the stand-in; what is null is left out."""
        whole = {
            "url": self.hub.url,
            "organization": ORG,
            "clusterId": CLUSTER,
            "caBundle": self.ca_bundle,
            "tokenSecretRef": {"name": "hub-token", "key": "token"},
        }
        meta = {"name": name}
        spec = {key: value for key, value in {**whole, **spec}.items() if value is not None}
        return {"apiVersion": API_VERSION, "kind": "AuditHub", "metadata": meta, "spec": spec}

    async def install(self, **hub_spec: Any) -> None:
        """Create what an admin creates first: namespace, token, AuditHub."""
        await self.api.apply({"kind": "Namespace", "metadata": {"name": OWN}})
        await self.api.apply(secret(OWN, "hub-token", token=TOKEN))
        await self.api.apply(self.audit_hub(**hub_spec))

    def status(self, name: str = "main", namespace: str = OWN) -> dict[str, Any]:
        """Return a policy's status."""
        return dict(self.api.get("auditpolicies", namespace, name).get("status") or {})

    def hub_status(self, name: str = "main") -> dict[str, Any]:
        """Return an AuditHub's status."""
        return dict(self.api.get("audithubs", "", name).get("status") or {})

    def says(self, kind: str = "Ready", name: str = "main", namespace: str = OWN) -> str:
        """Return a policy's condition as "True/Synced"; empty when there is none."""
        return said(self.status(name, namespace), kind)

    def hub_says(self, kind: str = "Ready", name: str = "main") -> str:
        """Return an AuditHub's condition as "True/Connected"."""
        return said(self.hub_status(name), kind)

    def message(self, kind: str = "Ready", name: str = "main", namespace: str = OWN) -> str:
        """Return the sentence of a policy's condition."""
        return str(condition(self.status(name, namespace), kind).get("message", ""))

    def events(self, reason: str = "") -> list[str]:
        """Return "reason: message" of the events that were posted, in no order."""
        found = self.api.objects.get("events", {}).values()
        return [f"{e['reason']}: {e['message']}" for e in found if reason in {"", e["reason"]}]

    def status_writes(self, resource: str = "auditpolicies") -> int:
        """Return how often a status was written since the last `forget`."""
        return self.writes.count(("patch", resource))

    def forget(self) -> None:
        """Count from here."""
        self.writes.clear()
        self.hub.asked.clear()
        self.hub.sent.clear()

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait until it is so."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                if is_so():
                    return
                await asyncio.sleep(0.01)

    async def until_says(self, expected: str, kind: str = "Ready", name: str = "main") -> None:
        """Wait until a policy's condition says so; a failure shows what it says instead."""
        try:
            await self.until(lambda: self.says(kind, name) == expected)
        except TimeoutError:
            raise AssertionError(f"{kind} is {self.says(kind, name)}, not {expected}") from None

    async def compare(self, app: App) -> None:
        """Have an operator compare everything with the hub now, and wait for its heartbeat."""
        assert app.active is not None
        connection = app.active.connections.by_name["main"]
        # No two wishes are alike: one that comes while a comparison is under way is its own.
        connection.due = wish = -float(next(self._wishes))
        beats = len(self.hub.heartbeats)
        await self.until(lambda: connection.due != wish and len(self.hub.heartbeats) > beats)

    async def settle(self, app: App) -> None:
        """Wait until an operator has seen all there is, and has nothing to do."""
        active = app.active
        assert active is not None
        for _ in range(3):  # what one object's write brings about is another's change
            await asyncio.sleep(0.05)
            await self.until(
                lambda: len(active.queue) == 0 and self.has_seen(app) and _has_compared(active)
            )

    def has_seen(self, app: App) -> bool:
        """Return whether an operator knows our objects as they are at the API server."""
        if app.active is None:
            return False
        held = app.active.world
        known: dict[Key, int] = {
            **{key: each.meta.resource_version for key, each in held.policies.items()},
            **{key: each.meta.resource_version for key, each in held.hubs.items()},
        }
        return all(
            known.get(Key(*place)) == int(raw["metadata"]["resourceVersion"])
            for resource in ("auditpolicies", "audithubs")
            for place, raw in self.api.objects.get(resource, {}).items()
        )


def _has_compared(active: Active) -> bool:
    """Return whether no first comparison is due or under way: it would send what has drifted."""
    later = time.monotonic() + _SOON_SECONDS
    connections = active.connections.by_name.values()
    return all(each.state != "up" or each.due > later for each in connections)


def condition(status: dict[str, Any], kind: str) -> dict[str, Any]:
    """Return a condition of a status, empty when there is none."""
    found = [each for each in status.get("conditions") or () if each["type"] == kind]
    return dict(found[0]) if found else {}


def said(status: dict[str, Any], kind: str) -> str:
    """Return a condition as "status/reason"."""
    found = condition(status, kind)
    return f"{found['status']}/{found['reason']}" if found else ""


@contextlib.asynccontextmanager
async def operator_world(
    checker: CrdChecker, folder: Path, *, speaks_for_org: bool = False
) -> AsyncIterator[OperatorWorld]:
    """Run an API server and a hub with TLS; no operator yet."""
    authority = trustme.CA()
    hub = stand_in(speaks_for_org=speaks_for_org)
    hub.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(hub.tls)
    await hub.start()
    api = ApiServer(checker)
    await api.start()
    bundle = base64.b64encode(authority.cert_pem.bytes()).decode()
    world = OperatorWorld(api, hub, folder, bundle)
    try:
        yield world
    finally:
        await world.close()


def with_lease(identity: str, seconds: float = 0.6) -> OperatorSettings:
    """Return settings of a replica that competes for a Lease; a short one is tried for often."""
    return replace(SETTINGS, lease_enabled=True, lease_seconds=seconds, identity=identity)
