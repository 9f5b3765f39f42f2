"""What tests find in a cluster: who may do what, and a pod to open terminals in.

Applied by `python -m tests.cluster up` to any provider's cluster, taken away by `remove` from one
that was there before. Owns the manifests in manifests/.
"""

from __future__ import annotations

from pathlib import Path
from string import Template

from tests.cluster.errors import ClusterError
from tests.cluster.progress import Progress
from tests.cluster.provider import Cluster

_MANIFESTS = Path(__file__).parent / "manifests"
_ACCOUNT_SECONDS = 60


def apply(cluster: Cluster, busybox: str, say: Progress) -> None:
    """Apply access rules and workload, with `busybox` as the pods' image, and wait for the pods."""
    cluster.kubectl("apply", "-f", str(_MANIFESTS / "access.yaml"))
    # A pod is refused until its namespace has its default account.
    wait = ["wait", "--for=create", "serviceaccount/default", f"--timeout={_ACCOUNT_SECONDS}s"]
    cluster.kubectl("-n", "demo", *wait, timeout_seconds=_ACCOUNT_SECONDS + 10)
    cluster.kubectl("apply", "-f", "-", stdin=_workload(busybox))
    ready = ["wait", "--for=condition=Ready", "pod/web", "--timeout=120s"]
    try:
        cluster.kubectl("-n", "demo", *ready, timeout_seconds=130)
    except ClusterError as error:
        events = cluster.try_kubectl("-n", "demo", "get", "events").stdout
        raise ClusterError(
            f"the pod demo/web is not ready ({error}); its events:\n{events}"
        ) from None
    say("the pod demo/web is ready")


def remove(cluster: Cluster) -> None:
    """Delete what `apply` made."""
    for source in ("-f", "-"), ("-f", str(_MANIFESTS / "access.yaml")):
        stdin = _workload("unused") if source[1] == "-" else None
        cluster.kubectl(
            "delete", "--ignore-not-found", "--wait", *source, stdin=stdin, timeout_seconds=120
        )


def _workload(busybox: str) -> str:
    text = (_MANIFESTS / "workload.yaml").read_text(encoding="utf-8")
    return Template(text).substitute(busybox=busybox)
