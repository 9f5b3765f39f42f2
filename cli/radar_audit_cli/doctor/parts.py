"""Checks of Radar Audit's side of the cluster: CRDs, hub, operator, AuditHubs, versions.

Owns the verdicts. Called by `examine.py` with what kubectl returned. Pure: asks nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .findings import Finding, fail, named, ok, unknown, warn
from .objects import at, image_version, listed, living, name_of, sidecar_of

CRDS = ("audithubs.audit.radarhq.io", "auditpolicies.audit.radarhq.io")
OLDEST_MINOR = 29
_COMPONENT = "app.kubernetes.io/component"
_VERSION = "app.kubernetes.io/version"


def cluster_version(answer: Mapping[str, Any]) -> Finding:
    """Check that the API server is one that has native sidecars."""
    check = "cluster"
    server = at(answer, "serverVersion")
    if server is None:
        return fail(check, "kubectl reaches no API server; choose another context")
    major, minor = str(at(server, "major")), str(at(server, "minor")).rstrip("+")
    version = at(server, "gitVersion")
    if not (major.isdecimal() and minor.isdecimal()):
        return unknown(check, f"the API server says {version}, which is no version of Kubernetes")
    if (int(major), int(minor)) < (1, OLDEST_MINOR):
        return fail(
            check,
            f"the API server is {version}; the gateway needs Kubernetes 1.{OLDEST_MINOR} or newer "
            "(native sidecars)",
        )
    return ok(check, f"the API server answers ({version})")


def crds_installed(crds: list[Any]) -> Finding:
    """Check that our kinds are there and served."""
    check = "crds"
    found = {name_of(crd): crd for crd in crds}
    missing = [name for name in CRDS if name not in found]
    if missing:
        return fail(
            check, f"{named(missing)} is not installed; install the chart with crds.enabled: true"
        )
    unready = [
        name
        for name in CRDS
        if not any(
            c.get("type") == "Established" and c.get("status") == "True"
            for c in listed(found[name], "status", "conditions")
        )
    ]
    if unready:
        return fail(check, f"{named(unready)} is not established; see `kubectl describe crd`")
    return ok(check, "the CRDs are installed")


def part_runs(component: str, deployments: list[Any], namespace: str) -> Finding:
    """Check that the Deployment of a part of ours (hub, operator) has what it should have."""
    ours = [d for d in deployments if at(d, "metadata", "labels", _COMPONENT) == component]
    if not ours:
        return warn(
            component,
            f"there is no {component} in the namespace {namespace}; say --namespace if it is "
            "elsewhere in this cluster",
        )
    for deployment in ours:
        wanted = at(deployment, "spec", "replicas")
        ready = at(deployment, "status", "readyReplicas") or 0
        if wanted == 0:
            return fail(component, f"{name_of(deployment)} is scaled to 0; scale it up")
        if ready < (wanted or 1):
            return fail(
                component,
                f"{ready} of {wanted} pods of {name_of(deployment)} are ready; see `kubectl -n "
                f"{namespace} describe deployment {name_of(deployment)}`",
            )
    return ok(component, f"{named(name_of(d) for d in ours)} is ready")


def audithubs_ready(hubs: list[Any]) -> Finding:
    """Check the conditions that the operator tells at each AuditHub."""
    check = "audithubs"
    if not hubs:
        return ok(check, "there is no AuditHub, so policies are managed at the hub alone")
    for hub in hubs:
        conditions = {str(c.get("type")): c for c in listed(hub, "status", "conditions")}
        ready = conditions.get("Ready")
        if ready is None:
            return fail(
                check,
                f"the operator has not looked at the AuditHub {name_of(hub)}; is it running?",
            )
        if ready.get("status") != "True":
            worst = next((c for c in conditions.values() if c.get("status") == "False"), ready)
            return fail(
                check,
                f"the AuditHub {name_of(hub)} is not ready: {worst.get('reason')}, "
                f"{worst.get('message')}",
            )
    return ok(check, f"{named(name_of(hub) for hub in hubs)} is ready")


def versions_fit(own: str, deployments: list[Any], pods: list[Any]) -> Finding:
    """Compare the versions of this program, of hub and operator, and of the gateways.

    They are told by a label or an image's tag, so an image by digest is left out.
    """
    check = "versions"
    found: dict[str, set[str]] = {own: {"this command"}}
    for deployment in deployments:
        component = at(deployment, "metadata", "labels", _COMPONENT)
        version = at(deployment, "metadata", "labels", _VERSION)
        if component in ("hub", "operator", "collector") and version:
            found.setdefault(str(version), set()).add(str(component))
    for pod in living(pods):
        sidecar = sidecar_of(at(pod, "spec"))
        tag = image_version(at(sidecar, "image"))
        # A tag that is no version (latest, a hash) says nothing.
        if tag is not None and tag[:1].isdecimal() and "." in tag:
            found.setdefault(tag, set()).add("gateway")
    if len({_release(version) for version in found}) > 1:
        told = "; ".join(f"{v}: {named(parts)}" for v, parts in sorted(found.items()))
        return warn(
            check,
            f"the parts are of different releases ({told}); upgrade the older ones, the hub first",
        )
    return ok(check, f"all parts that tell their version are of release {_release(own)}")


def _release(version: str) -> str:
    return ".".join(version.lstrip("v").split(".")[:2])
