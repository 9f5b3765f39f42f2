"""Which provider a cluster comes from: the one place that knows all three.

`__main__` and the e2e tests ask here. The default is `machine`; `kubeconfig` is never taken
unasked, since tests write into that cluster.
"""

from __future__ import annotations

import argparse
import os

from tests.cluster import kind, kubeconfig, machine
from tests.cluster.errors import ClusterError
from tests.cluster.progress import Progress
from tests.cluster.provider import Cluster
from tests.cluster.versions import Release
from tests.cluster.webhook import AuditWebhook

VARIABLE = "RADAR_AUDIT_CLUSTER_PROVIDER"
PROVIDERS = (machine.PROVIDER, kind.PROVIDER, kubeconfig.PROVIDER)


def up(
    provider: str,
    name: str,
    release: Release,
    say: Progress,
    *,
    webhook: AuditWebhook | None = None,
    kind_image: str | None = None,
) -> Cluster:
    """Start a cluster, or take the one of KUBECONFIG. ClusterError when it cannot be had.

    `release` counts for the provider `machine` only, `kind_image` for `kind`.
    """
    if provider == machine.PROVIDER:
        return machine.up(name, release, webhook, say)
    if provider == kind.PROVIDER:
        return kind.up(name, kind_image, webhook, say)
    if webhook is not None:
        raise ClusterError("the provider `kubeconfig` cannot set an audit webhook")
    return kubeconfig.take()


def find(provider: str, name: str) -> Cluster:
    """Return the running cluster `name`. ClusterError when it does not run."""
    found: Cluster | None
    if provider == machine.PROVIDER:
        found = machine.find(name)
    elif provider == kind.PROVIDER:
        found = kind.find(name)
    else:
        found = kubeconfig.take()
    if found is None:
        raise ClusterError(f"no cluster {name} of the provider {provider} runs; see `cluster-up`")
    return found


def down(provider: str, name: str) -> None:
    """End the cluster `name` and remove what it left, also when only leftovers are there."""
    if provider == machine.PROVIDER:
        machine.remove(name)
    elif provider == kind.PROVIDER:
        kind.remove(name)
    else:
        kubeconfig.take().down()


def add_place(parser: argparse.ArgumentParser) -> None:
    """Let a command line say which cluster is meant; the environment says the default provider."""
    given = os.environ.get(VARIABLE, machine.PROVIDER)
    parser.add_argument("--provider", choices=PROVIDERS, default=given)
    parser.add_argument("--name", default="main", help="of the cluster (default: main)")
