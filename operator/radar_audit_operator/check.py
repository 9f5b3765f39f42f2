"""`radar-audit-operator check`: says whether the operator could work here, and what is missing.

Owns the report. Called by `main`. It writes nothing anywhere; what it asks of the hub is what the
operator asks first.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from .cluster import API, Cluster
from .errors import ClusterError, OperatorError
from .hub_client import HubClient
from .hub_token import hub_token
from .permissions import PERMISSIONS, Permission
from .plan.hub_verdicts import belongs, lacks
from .settings import OperatorSettings
from .specs import HUBS, POLICIES, Hub, read_hub


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, and what is wrong (empty: nothing). A hint is no failure."""

    what: str
    wrong: str = ""
    is_hint: bool = False


async def findings(
    cluster: Cluster, settings: OperatorSettings, namespace: str, user_agent: str
) -> AsyncIterator[Finding]:
    """Yield what was looked at, in order."""
    try:
        served = await cluster.get(API)
        names = {each.get("name") for each in served.get("resources") or ()}
    except ClusterError:
        names = set()
    for plural in (HUBS, POLICIES):
        wrong = "" if plural in names else "the API server does not serve it; apply crds/"
        yield Finding(f"kind {plural}", wrong)
    for permission in PERMISSIONS:
        async for found in _allowed(cluster, settings, namespace, permission):
            yield found
    if HUBS in names:
        listed = await cluster.get(f"{API}/{HUBS}")
        hubs = [read_hub(raw) for raw in listed.get("items") or ()]
        if not hubs:
            yield Finding("AuditHub", "there is none; policies need one", is_hint=True)
        for hub in hubs:
            yield await _reached(cluster, settings, namespace, user_agent, hub)


async def _allowed(
    cluster: Cluster, settings: OperatorSettings, namespace: str, permission: Permission
) -> AsyncIterator[Finding]:
    places: dict[str, tuple[str, ...]] = {"cluster": ("",), "own namespace": (namespace,)}
    places["radar namespaces"] = settings.radar_namespaces
    resource, _, sub = permission.resource.partition("/")
    for place in places.get(permission.where, ()):
        for verb in permission.verbs:
            asked = {"group": permission.group, "resource": resource, "verb": verb}
            asked |= {"subresource": sub} if sub else {}
            asked |= {"namespace": place} if place else {}
            where = f" in {place}" if place else ""
            may = await cluster.may(asked)
            wrong = "" if may else f"not allowed; it is needed to {permission.reason}"
            what = f"{verb} {permission.resource}{where}"
            yield Finding(what, wrong, is_hint=permission.is_optional)


async def _reached(
    cluster: Cluster, settings: OperatorSettings, namespace: str, user_agent: str, hub: Hub
) -> Finding:
    what = f"AuditHub {hub.meta.key.name}"
    try:
        token = await hub_token(cluster, settings, namespace, hub.spec)
    except ClusterError as error:
        return Finding(what, str(error))
    if token.found.value is None:
        return Finding(what, token.found.message)
    client = None
    try:
        client = HubClient(
            hub.spec.url,
            token.read,
            hub.spec.ca_bundle,
            settings.hub_timeout_seconds,
            user_agent,
            _ignore,
        )
        answer = await client.settings()
        return Finding(what, belongs(hub.spec, answer) or lacks(hub.spec, answer) or "")
    except OperatorError as error:
        return Finding(what, str(error))
    finally:
        if client is not None:
            await client.close()


def _ignore(operation: str, code: str, seconds: float) -> None:
    """Count nothing: there are no metrics in a check."""
