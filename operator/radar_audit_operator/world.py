"""What the operator knows of the cluster: its objects, as last seen.

Owns the objects by key. Fed by the intake (watch events) and the resync (lists); read by the
reconciler. Pure and in memory: it is thrown away with the Lease and built anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .plan.secrets import names
from .specs import Hub, Key, Policy


@dataclass
class World:
    """Policies and hubs by key, versions of Secrets, labels of namespaces, Radar's pods.

    `labels` is null while namespaces cannot be read. `secret_versions` holds Secrets of the
    namespaces in `watched_secrets` alone; another namespace's are read when they are needed.
    `radar_pods` maps a pod to whether it runs with the gateway, null while pods cannot be read.
    """

    policies: dict[Key, Policy] = field(default_factory=dict)
    hubs: dict[Key, Hub] = field(default_factory=dict)
    labels: dict[str, dict[str, str]] | None = None
    secret_versions: dict[Key, str] = field(default_factory=dict)
    watched_secrets: set[str] = field(default_factory=set)
    radar_pods: dict[Key, bool] | None = None

    def hub_of(self, policy: Policy) -> Hub | None:
        """Return the AuditHub that a policy names, or null."""
        return self.hubs.get(Key("", policy.spec.hub_ref.name))

    def policies_of(self, hub_name: str) -> Iterator[Policy]:
        """Yield the policies that name an AuditHub."""
        return (each for each in self.policies.values() if each.spec.hub_ref.name == hub_name)

    def policies_with(self, secret: Key) -> Iterator[Policy]:
        """Yield the policies that read a Secret."""
        for policy in self.policies.values():
            is_near = policy.meta.key.namespace == secret.namespace
            if is_near and secret.name in names(policy.spec):
                yield policy

    def secret_namespaces(self) -> set[str]:
        """Return the namespaces in which some policy reads a Secret."""
        return {
            policy.meta.key.namespace for policy in self.policies.values() if names(policy.spec)
        }

    def labels_of(self, namespace: str) -> Mapping[str, str] | None:
        """Return a namespace's labels, null while they cannot be read."""
        return None if self.labels is None else self.labels.get(namespace, {})


def runs_with_gateway(pod: Mapping[str, Any], container: str) -> bool:
    """Return whether Radar in this pod reaches the API server through the gateway alone.

    It needs the gateway's container, and Radar pointed at it: without the variable the sidecar
    runs and sees nothing.
    """
    spec = pod.get("spec") or {}
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    has_gateway = any(each.get("name") == container for each in containers)
    others = [each for each in spec.get("containers") or () if each.get("name") != container]
    return has_gateway and any(_is_pointed(each) for each in others)


def _is_pointed(container: Mapping[str, Any]) -> bool:
    return any(
        each.get("name") == "KUBERNETES_SERVICE_HOST"
        and each.get("value") in {"127.0.0.1", "localhost", "::1"}
        for each in container.get("env") or ()
    )
