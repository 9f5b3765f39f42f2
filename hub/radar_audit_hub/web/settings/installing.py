"""What the page of a cluster says about installing a collector there.

Owns the command, and the sentence that stands in its place where it could not work. Called by
`clusters.py`. Pure: the hub's settings decide.
"""

from __future__ import annotations

import ipaddress
import shlex
from dataclasses import dataclass
from urllib.parse import urlsplit

from radar_audit_hub.settings import HubSettings

_HUBS_OWN = (
    "The hub itself runs in this cluster. Radar's pod logs in by its ServiceAccount there and "
    "needs no token. What to type is printed by: helm get notes radar-audit -n radar-audit"
)
_LOOPBACK = (
    "Collectors elsewhere cannot reach this hub: its public address is {url}, which leads each of "
    "them to itself. Set hub.publicUrl in the values of its chart (RADAR_AUDIT_HUB_PUBLIC_URL) to "
    "an address that they reach; then the commands are shown here."
)


@dataclass(frozen=True, slots=True)
class Installing:
    """Either the `command` to type, or a sentence `instead` of it."""

    command: str | None = None
    instead: str | None = None


def installing(settings: HubSettings, cluster_id: str) -> Installing:
    """Return how a collector is installed in a cluster of this hub's."""
    if settings.kubernetes.login and settings.bootstrap.cluster_id == cluster_id:
        return Installing(instead=_HUBS_OWN)
    if _is_loopback(settings.public_url):
        return Installing(instead=_LOOPBACK.format(url=settings.public_url))
    return Installing(command=install_command(settings.public_url))


def install_command(public_url: str) -> str:
    """Return what is typed in the cluster; typed once more, it puts a new token in place."""
    return (
        "kubectl -n radar create secret generic radar-audit-collector \\\n"
        "  --from-file=token=token.txt --dry-run=client -o yaml | kubectl apply -f -\n"
        "helm get values radar -n radar -o yaml > before.yaml\n"
        "radar-audit-collector radar-values --merge before.yaml --pod-exec \\\n"
        f"  --hub-url {shlex.quote(public_url)} \\\n"
        "  --token-secret radar-audit-collector > radar-values.yaml\n"
        "helm upgrade radar RADAR_CHART --version INSTALLED -n radar -f radar-values.yaml --wait"
    )


def _is_loopback(url: str) -> bool:
    host = (urlsplit(url).hostname or "").rstrip(".")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
