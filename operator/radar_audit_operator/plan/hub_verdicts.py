"""The conditions of an AuditHub: connection, rights, collectors, gateway.

Owns reasons and sentences. Called by the AuditHub's reconcile. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from radar_audit_events.policy_answers import CollectorState, SettingsAnswer
from radar_audit_events.policy_wire import SCOPE_ORG_SETTINGS, SCOPE_SETTINGS, CaptureSettings

from radar_audit_operator.specs import HubSpec, Key

from .verdicts import Verdict


@dataclass(frozen=True, slots=True)
class Applied:
    """How far the capture settings are: `good` of `total` collectors run with `etag`."""

    good: int
    total: int
    etag: str


def belongs(spec: HubSpec, answer: SettingsAnswer) -> str | None:
    """Return what is wrong with a token that the hub took, or null.

    A token of another cluster would write and release that one's owners.
    """
    if answer.org_id != spec.organization:
        return f"the token is one of {answer.org_id}, spec.organization says {spec.organization}"
    if answer.cluster_id != spec.cluster_id:
        return f"the token is that of {answer.cluster_id}, spec.clusterId says {spec.cluster_id}"
    return None


def lacks(spec: HubSpec, answer: SettingsAnswer) -> str | None:
    """Return which right the token lacks, and who grants it, or null."""
    if SCOPE_SETTINGS not in answer.scopes:
        return f"the token lacks the scope {SCOPE_SETTINGS}; rotate the cluster's token"
    if spec.speaks_for == "Organization" and SCOPE_ORG_SETTINGS not in answer.scopes:
        return (
            f"speaksFor: Organization needs the scope {SCOPE_ORG_SETTINGS}; an org owner grants "
            "it to this cluster at the hub"
        )
    return None


def applied(collectors: Sequence[CollectorState], etag: str) -> Applied:
    """Count the collectors that run with the settings of `etag`."""
    good = sum(each.capture_hash == etag for each in collectors)
    return Applied(good, len(collectors), etag)


def capture_verdict(
    wanted: CaptureSettings | None, counted: Applied | None, *, is_held_back: bool
) -> Verdict:
    """Return CaptureApplied; `counted` is null before the first heartbeat."""
    if wanted is None:
        return Verdict("True", "NotManaged", "without spec.capture collectors use their own")
    if counted is None:
        return Verdict("Unknown", "Pending", "the hub has not said how far the collectors are")
    if is_held_back:
        message = "failurePolicy: Required waits until all collectors are healthy; it is BestEffort"
        return Verdict("False", "UnsafeRequired", message)
    if counted.total == 0:
        return Verdict("Unknown", "NoCollectors", "no collector of this cluster has reported")
    said = f"{counted.good} of {counted.total} collectors run with these settings"
    if counted.good < counted.total:
        return Verdict("False", "Pending", said)
    return Verdict("True", "Applied", said)


def gateway_verdict(pods: Mapping[Key, bool] | None, namespaces: Sequence[str]) -> Verdict:
    """Return GatewayPresent; `pods` tells of each of Radar's whether it has the gateway."""
    where = " and ".join(namespaces) or "no namespace"
    if pods is None:
        message = f"pods of {where} cannot be read; the operator needs list and watch on them"
        return Verdict("Unknown", "NotReadable", message)
    if not pods:
        return Verdict("Unknown", "NoRadarPods", f"there are no pods of Radar in {where}")
    bare = without_gateway(pods)
    if bare:
        message = f"{len(bare)} of {len(pods)} pods of Radar run without the gateway, such as "
        message += f"{bare[0]}: their terminals are not recorded by it"
        return Verdict("False", "GatewayMissing", message)
    return Verdict("True", "AllPods", f"all {len(pods)} pods of Radar run with the gateway")


def without_gateway(pods: Mapping[Key, bool]) -> list[str]:
    """Return the pods without the gateway, as namespace/name in order."""
    return sorted(f"{key.namespace}/{key.name}" for key, present in pods.items() if not present)


def hub_ready_verdict(named: Sequence[tuple[str, Verdict]]) -> Verdict:
    """Return Ready: connected and authorized; what else is wrong stands beside it."""
    by_name = dict(named)
    for name in ("Connected", "Authorized"):
        verdict = by_name.get(name)
        if verdict is not None and verdict.status != "True":
            return Verdict(verdict.status, verdict.reason, verdict.message)
    notes = [each.message for name, each in named if each.status == "False"]
    return Verdict("True", "Connected", "; ".join(["connected", *notes]))
