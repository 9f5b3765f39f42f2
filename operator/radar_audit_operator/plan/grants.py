"""Whether a policy may ask for what it asks for, and for which events.

Owns the rule of the AuditHub's grants. Called by `plan/policy.py`. Pure: labels and the operator's
own namespace are arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from radar_audit_operator.specs import GrantSpec, Hub, Policy


@dataclass(frozen=True, slots=True)
class Authority:
    """The answer: `refusal` (null: allowed) says what is missing and where it is granted.

    `only_namespace` (null: none) is ANDed to each alert rule by the hub.
    """

    refusal: str | None = None
    only_namespace: str | None = None


def authority(
    policy: Policy, hub: Hub, own_namespace: str, labels: Mapping[str, str] | None
) -> Authority:
    """Judge a policy; `labels` are its namespace's, null when they cannot be read."""
    if policy.spec.scope == "Organization" and hub.spec.speaks_for != "Organization":
        return Authority(
            f"scope: Organization needs speaksFor: Organization in AuditHub {hub.meta.key.name}"
        )
    namespace = policy.meta.key.namespace
    if namespace == own_namespace:
        return Authority()
    if labels is None and hub.spec.grants:
        return Authority(
            f"the labels of namespace {namespace} cannot be read, so no grant can be matched; "
            "the operator needs get, list and watch on namespaces"
        )
    matching = [grant for grant in hub.spec.grants if _matches(grant, labels or {})]
    allowed = {word for grant in matching for word in grant.allow}
    missing = [word for word in _needs(policy) if word not in allowed]
    if missing:
        return Authority(
            f"policies of namespace {namespace} may not ask for {' and '.join(missing)}; "
            f"add a grant for it to spec.grants of AuditHub {hub.meta.key.name}"
        )
    alerts = [grant for grant in matching if "Notifications" in grant.allow]
    sees_all = any(grant.query_scope == "Any" for grant in alerts)
    return Authority(only_namespace=None if sees_all else namespace)


def _matches(grant: GrantSpec, labels: Mapping[str, str]) -> bool:
    wanted = grant.namespace_selector.match_labels
    return bool(wanted) and all(labels.get(name) == value for name, value in wanted.items())


def _needs(policy: Policy) -> list[str]:
    retention, needs = policy.spec.retention, []
    if policy.spec.notifications is not None:
        needs.append("Notifications")
    if retention is not None and (retention.max_age or retention.overrides):
        needs.append("Retention")
    if retention is not None and retention.holds:
        needs.append("Holds")
    return needs
