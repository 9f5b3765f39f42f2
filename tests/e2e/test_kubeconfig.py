"""Guards the provider `kubeconfig`: a cluster that it did not start is used by its address alone.

That cluster is one of the provider `machine`, whose nodes have the images already.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import choice, kubeconfig, machine
from tests.cluster.images import small_archives
from tests.cluster.machine import MachineCluster
from tests.cluster.places import cache_folder
from tests.cluster.progress import Progress
from tests.cluster.python_image import python_archive
from tests.cluster.versions import chosen_minor, release

pytestmark = pytest.mark.timeout(300)
_ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def foreign() -> Iterator[MachineCluster]:
    up = machine.up("e2e-foreign", release(chosen_minor()), None, Progress())
    try:
        up.load_image(small_archives(cache_folder() / "images")[0])
        up.load_image(python_archive(cache_folder() / "images"))
        yield up
    finally:
        up.down()


def as_foreign(cluster: MachineCluster, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a module where the cluster's address can be reached, knowing nothing but KUBECONFIG."""
    environ = os.environ | {
        "KUBECONFIG": str(cluster.kubeconfig),
        "PATH": f"{Path(cluster.kubectl_program).parent}:{os.environ['PATH']}",
        choice.VARIABLE: kubeconfig.PROVIDER,
        kubeconfig.REGISTRY_VARIABLE: kubeconfig.PRELOADED,
    }
    command = cluster.in_network([sys.executable, "-m", *words])
    return subprocess.run(
        command, cwd=_ROOT, env=environ, capture_output=True, text=True, check=False
    )


def test_terminal_through_the_gateway_on_a_cluster_of_somebody_else(
    foreign: MachineCluster,
) -> None:
    brought_up = as_foreign(foreign, "tests.cluster", "up")
    assert brought_up.returncode == 0, brought_up.stderr
    done = as_foreign(foreign, "tests.e2e.smoke")
    assert done.returncode == 0, done.stderr
    assert "a terminal gave its start and its end, once each" in done.stderr
    words = ["tests.cluster", "run", "--", "kubectl", "-n", "demo", "get", "pod", "web"]
    assert "Running" in as_foreign(foreign, *words).stdout
    refused = as_foreign(foreign, "tests.cluster", "stop", "kubelet")
    assert "cannot stop the kubelet" in refused.stderr
    assert as_foreign(foreign, "tests.cluster", "down").returncode == 0
    left = foreign.kubectl("get", "namespaces,clusterroles,clusterrolebindings", "-o", "name")
    own = "clusterrolebinding.rbac.authorization.k8s.io/radar-audit-test-kube-proxy"
    assert [name for name in left.split() if "radar" in name or "demo" in name] == [own]
    assert foreign.is_ready()
