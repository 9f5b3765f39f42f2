"""The provider `kind`: Kubernetes in a Docker container, where Docker and kind are installed.

Owns kind's configuration and what is done inside its node container. The cluster's files (its
kubeconfig, audit policy, audit log) lie in the cache folder. Needs no root beyond Docker's.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.cluster.components import TEMPLATES
from tests.cluster.errors import ClusterError
from tests.cluster.images import Archive
from tests.cluster.places import cache_folder
from tests.cluster.progress import Progress
from tests.cluster.provider import Cluster, Component
from tests.cluster.webhook import AuditWebhook

PROVIDER = "kind"
_PREFIX = "radar-audit-"
_SHARED = "/radar-audit"  # the shared folder, as the node and the API server see it
_MANIFEST = "/etc/kubernetes/manifests/kube-apiserver.yaml"
_ASIDE = "/etc/kubernetes/kube-apiserver.yaml"
_UP_SECONDS = 600


class KindCluster(Cluster):
    """A cluster that kind made; `folder` holds its files."""

    provider = PROVIDER
    kubectl_program = "kubectl"
    can_control = True

    def __init__(self, name: str, folder: Path) -> None:
        """Take the cluster that kind knows as radar-audit-`name`."""
        self.name = name
        self.kubeconfig = folder / "admin.kubeconfig"
        self._folder = folder

    @property
    def node(self) -> str:
        """The name of the node's container."""
        return f"{_PREFIX}{self.name}-control-plane"

    def in_network(self, argv: Sequence[str]) -> list[str]:
        """Docker publishes the API server on a loopback port, so nothing is to be added."""
        return list(argv)

    def load_image(self, archive: Archive) -> str:
        """Let kind import the archive into its node."""
        _run("kind", "load", "image-archive", str(archive.path), "--name", _PREFIX + self.name)
        return archive.name

    def audit_log(self) -> Path:
        """Return the log, which the node shares with us."""
        return self._folder / "shared" / "audit.log"

    def stop(self, component: Component, *, kill: bool = True, wait_seconds: float = 10) -> bool:
        """Stop a component; the API server's manifest is moved away, so that it stays down."""
        signal_name = "KILL" if kill else "TERM"
        if component is Component.KUBELET:
            stopping = f"systemctl kill --signal={signal_name} kubelet; systemctl stop kubelet"
            self._on_node(stopping)
            return True
        # The kubelet follows the manifest's going with SIGTERM; SIGKILL has to come before that.
        find = "crictl ps --name kube-apiserver --quiet"
        kill_it = f"; pkill -{signal_name} -x kube-apiserver" if kill else ""
        self._on_node(f"mv {_MANIFEST} {_ASIDE}{kill_it}")
        waiting = f'for i in $(seq {int(wait_seconds * 5)}); do [ -n "$({find})" ] || exit 0; '
        told = self._try_on_node(waiting + "sleep 0.2; done; exit 1")
        return told.returncode == 0

    def start(self, component: Component) -> None:
        """Start a component that `stop` stopped."""
        if component is Component.KUBELET:
            self._on_node("systemctl start kubelet")
        else:
            self._on_node(f"mv {_ASIDE} {_MANIFEST}")

    def down(self) -> None:
        """Let kind delete the cluster, then remove its files."""
        remove(self.name)

    def _on_node(self, script: str) -> None:
        done = self._try_on_node(script)
        if done.returncode:
            raise ClusterError(f"on {self.node}: {done.stderr.strip()[-500:]}")

    def _try_on_node(self, script: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["docker", "exec", self.node, "sh", "-c", script],
            capture_output=True, text=True, check=False,
        )  # fmt: skip


def up(name: str, image: str | None, webhook: AuditWebhook | None, say: Progress) -> KindCluster:
    """Let kind make the cluster `name` of the node image `image` (kind's own default when None)."""
    check()
    folder = _folder(name)
    shared = folder / "shared"
    shared.mkdir(parents=True, exist_ok=True)
    shutil.copy(TEMPLATES / "audit-policy.yaml", shared)
    if webhook is not None:
        webhook.write(shared / "audit-webhook.kubeconfig")
    config = folder / "kind.json"
    config.write_text(json.dumps(configuration(shared, webhook), indent=1), encoding="utf-8")
    cluster = KindCluster(name, folder)
    options = ["--name", _PREFIX + name, "--config", str(config), "--wait", "180s"]
    options += ["--kubeconfig", str(cluster.kubeconfig)]
    options += ["--image", image] if image else []
    say("kind create cluster …")
    _run("kind", "create", "cluster", *options)
    cluster.await_node()
    say("the node is ready")
    return cluster


def find(name: str) -> KindCluster | None:
    """Return the cluster `name` if kind has it, else None (also where there is no kind)."""
    if shutil.which("kind") is None or not _folder(name).is_dir():
        return None
    known = _run("kind", "get", "clusters").split()
    return KindCluster(name, _folder(name)) if _PREFIX + name in known else None


def remove(name: str) -> None:
    """Delete the cluster `name` and its files."""
    if find(name) is not None:
        _run("kind", "delete", "cluster", "--name", _PREFIX + name)
    shutil.rmtree(_folder(name), ignore_errors=True)


def check() -> None:
    """Raise ClusterError when kind, Docker or kubectl is missing."""
    missing = [name for name in ("kind", "docker", "kubectl") if shutil.which(name) is None]
    if missing:
        raise ClusterError(
            f"the provider `kind` needs {', '.join(missing)} on PATH (https://kind.sigs.k8s.io);"
            " --provider machine needs none of them"
        )


def configuration(shared: Path, webhook: AuditWebhook | None) -> dict[str, Any]:
    """Return kind's configuration: one node whose API server writes its audit log to `shared`."""
    flags = {
        "audit-policy-file": f"{_SHARED}/audit-policy.yaml",
        "audit-log-path": f"{_SHARED}/audit.log",
    }
    if webhook is not None:
        flags |= webhook.flags(f"{_SHARED}/audit-webhook.kubeconfig")
    volume = {"name": "radar-audit", "hostPath": _SHARED, "mountPath": _SHARED}
    # Without an apiVersion kind itself brings the patch into the form that its kubeadm wants.
    patch = {
        "kind": "ClusterConfiguration",
        "apiServer": {"extraArgs": flags, "extraVolumes": [volume | {"pathType": "Directory"}]},
    }
    node = {
        "role": "control-plane",
        "extraMounts": [{"hostPath": str(shared), "containerPath": _SHARED}],
        "kubeadmConfigPatches": [json.dumps(patch)],
    }
    return {"apiVersion": "kind.x-k8s.io/v1alpha4", "kind": "Cluster", "nodes": [node]}


def _folder(name: str) -> Path:
    return cache_folder() / "kind" / name


def _run(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=_UP_SECONDS)
    if done.returncode:
        raise ClusterError(f"`{' '.join(argv[:3])}` failed: {done.stderr.strip()[-1000:]}")
    return done.stdout
