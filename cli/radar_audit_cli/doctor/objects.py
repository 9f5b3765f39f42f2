"""Reading of Kubernetes objects that may lack anything.

Owns the few paths into pods and Deployments that several checks need. Pure. Never raises for an
object of another shape: what is not there is empty.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

SIDECAR = "radar-audit"
GATEWAY_HOST = "127.0.0.1"
Object = Mapping[str, Any]


def at(value: Any, *keys: str) -> Any:
    """Return what is at a path of keys, null if a part of it is missing."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def listed(value: Any, *keys: str) -> list[Any]:
    """Return the mappings of the list at a path, empty if there is none."""
    found = at(value, *keys)
    return [item for item in found if isinstance(item, Mapping)] if isinstance(found, list) else []


def name_of(value: Object) -> str:
    """Return an object's name."""
    return str(at(value, "metadata", "name") or "?")


def by_name(items: list[Any], name: str) -> Any:
    """Return the item of a name, null if there is none."""
    return next((item for item in items if item.get("name") == name), None)


def sidecar_of(spec: Any) -> Any:
    """Return the gateway's container of a pod's spec, null without one."""
    found = by_name(listed(spec, "initContainers"), SIDECAR)
    return found if at(found, "restartPolicy") == "Always" else None


def uses_gateway(spec: Any) -> bool:
    """Tell whether any container of a pod's spec looks for its API server at the gateway."""
    return any(
        at(by_name(listed(container, "env"), "KUBERNETES_SERVICE_HOST"), "value") == GATEWAY_HOST
        for container in listed(spec, "containers")
    )


def living(pods: list[Any]) -> Iterator[Object]:
    """Yield the pods that run or are about to."""
    for pod in pods:
        if at(pod, "status", "phase") in ("Succeeded", "Failed"):
            continue
        if at(pod, "metadata", "deletionTimestamp") is None:
            yield pod


def with_gateway(pods: list[Any]) -> list[str]:
    """Return the names of the pods that run, or are about to, and have the gateway."""
    return [name_of(pod) for pod in living(pods) if sidecar_of(at(pod, "spec")) is not None]


def without_gateway(pods: list[Any]) -> list[str]:
    """Return the names of those that have it not."""
    return [name_of(pod) for pod in living(pods) if sidecar_of(at(pod, "spec")) is None]


def image_version(image: Any) -> str | None:
    """Return the tag of an image's reference, null if it has none."""
    last = str(image or "").partition("@")[0].rpartition("/")[2]
    return last.partition(":")[2] or None
