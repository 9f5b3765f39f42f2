"""The collectors of a cluster that read the API server's own audit, by log file or webhook.

Owns how they are known. Called by `examine.py` with what kubectl returned. Pure: asks nothing.
Whether the API server really writes its audit there is not known here.
"""

from __future__ import annotations

from typing import Any

from .objects import at, name_of

KINDS = "deployments,daemonsets"
# The components of our chart: the webhook's Deployment, and the DaemonSet that reads the log.
_COMPONENTS = ("collector", "collector-log")


def audit_sources(workloads: list[Any]) -> dict[str, bool]:
    """Return each such collector's namespace/name, and whether a pod of it is ready."""
    found = {}
    for workload in workloads:
        if at(workload, "metadata", "labels", "app.kubernetes.io/component") in _COMPONENTS:
            ready = at(workload, "status", "readyReplicas") or at(workload, "status", "numberReady")
            name = f"{at(workload, 'metadata', 'namespace') or '?'}/{name_of(workload)}"
            found[name] = bool(ready)
    return found
