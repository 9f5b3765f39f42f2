"""What the operator may do in a cluster: the data of its Roles.

Owns the list, each line with its reason. Read by `radar-audit-operator check`, by the chart's tests
and by ours, which compare it with the requests that the code makes. Never more than is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .specs import GROUP, HUBS, POLICIES

Where = Literal["cluster", "own namespace", "policy namespaces", "radar namespaces"]


@dataclass(frozen=True, slots=True)
class Permission:
    """One rule: `where` it is granted; an optional one may be left out, `reason` says for what."""

    where: Where
    group: str
    resource: str
    verbs: tuple[str, ...]
    reason: str
    is_optional: bool = False


PERMISSIONS: tuple[Permission, ...] = (
    Permission("cluster", GROUP, POLICIES, ("get", "list", "watch"), "read the policies"),
    Permission("cluster", GROUP, HUBS, ("get", "list", "watch"), "read the AuditHubs"),
    Permission("cluster", GROUP, f"{POLICIES}/status", ("patch",), "say what became of them"),
    Permission("cluster", GROUP, f"{HUBS}/status", ("patch",), "say how the hub stands"),
    Permission("cluster", "", "events", ("create", "patch"), "tell transitions as events"),
    Permission(
        "cluster", "", "namespaces", ("get", "list", "watch"),
        "match spec.grants of an AuditHub with labels (metadata only)", is_optional=True,
    ),
    Permission(
        "own namespace", "coordination.k8s.io", "leases", ("get", "create", "update"),
        "agree which replica is active",
    ),
    Permission("own namespace", "", "secrets", ("get",), "read the cluster token"),
    Permission(
        "own namespace", "", "secrets", ("list", "watch"),
        "notice a rotated Secret in seconds (metadata only), else at the resync", is_optional=True,
    ),
    Permission(
        "policy namespaces", "", "secrets", ("get",),
        "read the Secrets that policies of a granted namespace name", is_optional=True,
    ),
    Permission(
        "policy namespaces", "", "secrets", ("list", "watch"),
        "notice a rotated Secret in seconds (metadata only), else at the resync", is_optional=True,
    ),
    Permission(
        "radar namespaces", "", "pods", ("list", "watch"),
        "see Radar pods that run without the gateway", is_optional=True,
    ),
)  # fmt: skip
