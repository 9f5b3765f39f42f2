"""The provider `kubeconfig`: any cluster that somebody else runs, by its admin's KUBECONFIG.

Only used when it is asked for by name, since tests write into the cluster: the namespaces `radar`
and `demo`, and roles named radar-audit-test-*. It cannot stop components or read the audit log.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.cluster import workload
from tests.cluster.errors import ClusterError
from tests.cluster.images import BUSYBOX_IMAGE, Archive
from tests.cluster.provider import Cluster, Component

PROVIDER = "kubeconfig"
PRELOADED = "localhost"  # in place of a registry: the nodes have our images by their own names
REGISTRY_VARIABLE = "RADAR_AUDIT_CLUSTER_REGISTRY"
_PUBLIC_BUSYBOX = "docker.io/library/busybox:1.37"


class ForeignCluster(Cluster):
    """A cluster of which we have an admin's kubeconfig; `registry` is one that it can pull from."""

    provider = PROVIDER
    kubectl_program = "kubectl"
    can_control = False

    def __init__(self, kubeconfig: Path, registry: str | None) -> None:
        """Take the cluster of the current context of `kubeconfig`."""
        self.name = kubeconfig.name
        self.kubeconfig = kubeconfig
        self._registry = registry

    def in_network(self, argv: Sequence[str]) -> list[str]:
        """The cluster is reachable from here already, so nothing is to be added."""
        return list(argv)

    def load_image(self, archive: Archive) -> str:
        """Copy the image to the registry; without one only the public busybox can be had."""
        if self._registry is None:
            if archive.name == BUSYBOX_IMAGE:
                return _PUBLIC_BUSYBOX
            raise ClusterError(
                f"set {REGISTRY_VARIABLE} to a registry that the cluster pulls from"
                f" (as registry.example.com/tests), so that it can have {archive.name}"
            )
        target = registry_name(self._registry, archive.name)
        if self._registry == PRELOADED:
            return target
        if shutil.which("skopeo") is None:
            raise ClusterError("skopeo is not on PATH; it copies images to the registry")
        copying = ["skopeo", "copy", f"oci-archive:{archive.path}", f"docker://{target}"]
        done = subprocess.run(copying, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ClusterError(f"the copy to {target} failed: {done.stderr.strip()[-500:]}")
        return target

    def audit_log(self) -> Path:
        """Raise ClusterError: the log is on machines that are not ours."""
        raise ClusterError("the provider `kubeconfig` cannot read the API server's audit log")

    def stop(self, component: Component, *, kill: bool = True, wait_seconds: float = 10) -> bool:
        """Raise ClusterError: the components are not ours."""
        raise ClusterError(f"the provider `kubeconfig` cannot stop the {component}")

    def start(self, component: Component) -> None:
        """Raise ClusterError: the components are not ours."""
        raise ClusterError(f"the provider `kubeconfig` cannot start the {component}")

    def down(self) -> None:
        """Delete what the tests made; the cluster stays."""
        workload.remove(self)


def take(environ: Mapping[str, str] = os.environ) -> ForeignCluster:
    """Return the cluster that KUBECONFIG names. ClusterError when it names none that answers."""
    given = environ.get("KUBECONFIG", "")
    path = Path(given).expanduser()
    if not given or not path.is_file():
        raise ClusterError("set KUBECONFIG to one file, the kubeconfig of a cluster's admin")
    if shutil.which("kubectl", path=environ.get("PATH")) is None:
        raise ClusterError("the provider `kubeconfig` needs kubectl on PATH")
    cluster = ForeignCluster(path.resolve(), environ.get(REGISTRY_VARIABLE) or None)
    if not cluster.is_ready():
        raise ClusterError(f"the cluster of {path} does not say that it is ready")
    return cluster


def registry_name(registry: str, name: str) -> str:
    """Return the name that the image `name` ("localhost/…") has in `registry`."""
    return f"{registry.rstrip('/')}/{name.removeprefix('localhost/')}"
