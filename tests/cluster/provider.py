"""What every test cluster can do, whichever provider it comes from.

Owns the one interface (`Cluster`) and what can be said with kubectl alone. Tests and `__main__`
hold a `Cluster`; `machine`, `kind` and `kubeconfig` each make one. Never asks which one it is.
"""

from __future__ import annotations

import abc
import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path

from tests.cluster.certificates import write_kubeconfig
from tests.cluster.errors import ClusterError
from tests.cluster.images import Archive

_POLL_SECONDS = 0.1
_CALL_SECONDS = 30.0


class Component(StrEnum):
    """The processes that a test may stop and start."""

    APISERVER = "kube-apiserver"
    KUBELET = "kubelet"


class Cluster(abc.ABC):
    """A running cluster, with the rights of its admin."""

    #: The provider's name, and the cluster's among those of this provider.
    provider: str
    name: str
    #: The admin's kubeconfig, usable by what `in_network` runs.
    kubeconfig: Path
    #: The path or name of a kubectl that fits the cluster's version.
    kubectl_program: str
    #: Whether `stop`, `start` and `rotate_tokens` work.
    can_control: bool

    @abc.abstractmethod
    def in_network(self, argv: Sequence[str]) -> list[str]:
        """Return the command line that runs `argv` where the cluster's addresses can be reached."""

    @abc.abstractmethod
    def load_image(self, archive: Archive) -> str:
        """Give the cluster an image and return the name that a pod has to use for it."""

    @abc.abstractmethod
    def audit_log(self) -> Path:
        """Return the API server's audit log; ClusterError when it cannot be read from here."""

    @abc.abstractmethod
    def stop(self, component: Component, *, kill: bool = True, wait_seconds: float = 10) -> bool:
        """Stop a component by SIGKILL, else by SIGTERM; return whether it ended within the time.

        An API server that is asked politely may take a minute: it waits for its watchers.
        """

    @abc.abstractmethod
    def start(self, component: Component) -> None:
        """Start a component that was stopped. It may not be ready yet: see `await_ready`."""

    @abc.abstractmethod
    def down(self) -> None:
        """End the cluster and all that it left on the machine."""

    def kubectl(
        self,
        *arguments: str,
        stdin: str | None = None,
        kubeconfig: Path | None = None,
        timeout_seconds: float = _CALL_SECONDS,
    ) -> str:
        """Return the standard output of kubectl, run by the admin or with `kubeconfig`.

        ClusterError with what it says when it fails or takes longer.
        """
        done = self.try_kubectl(
            *arguments, stdin=stdin, kubeconfig=kubeconfig, timeout_seconds=timeout_seconds
        )
        if done.returncode:
            raise ClusterError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()[-1000:]}")
        return done.stdout

    def try_kubectl(
        self,
        *arguments: str,
        stdin: str | None = None,
        kubeconfig: Path | None = None,
        environ: Mapping[str, str] | None = None,
        timeout_seconds: float = _CALL_SECONDS,
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl and return how it ended; after the time it is killed and has code 124."""
        command = self.kubectl_command(*arguments, kubeconfig=kubeconfig)
        try:
            return subprocess.run(
                command, input=stdin or "", capture_output=True, text=True, check=False,
                env=os.environ | (environ or {}), timeout=timeout_seconds,
            )  # fmt: skip
        except subprocess.TimeoutExpired as late:
            text = f"killed after {late.timeout:.0f} s"
            return subprocess.CompletedProcess(command, 124, "", text)

    def kubectl_command(self, *arguments: str, kubeconfig: Path | None = None) -> list[str]:
        """Return the command line of kubectl in the cluster's network."""
        chosen = f"--kubeconfig={kubeconfig or self.kubeconfig}"
        return self.in_network([self.kubectl_program, chosen, *arguments])

    def is_ready(self) -> bool:
        """Return whether the API server says that it is ready."""
        return self.try_kubectl("get", "--raw=/readyz", timeout_seconds=5).returncode == 0

    def await_ready(self, timeout_seconds: float = 60) -> None:
        """Wait until the API server is ready. ClusterError when it is not within the time."""
        self._await(self.is_ready, "the API server is not ready", timeout_seconds)

    def await_node(self, timeout_seconds: float = 60) -> None:
        """Wait until every node is ready. ClusterError when one is not within the time."""
        self._await(self._nodes_are_ready, "a node is not ready", timeout_seconds)

    def server_version(self) -> str:
        """Return the API server's version, as "v1.34.4"."""
        told = json.loads(self.kubectl("get", "--raw=/version"))
        return str(told["gitVersion"])

    def token(self, namespace: str, account: str, duration_seconds: int = 3600) -> str:
        """Return a new token of a ServiceAccount."""
        duration = f"--duration={duration_seconds}s"
        return self.kubectl("-n", namespace, "create", "token", account, duration).strip()

    def account_kubeconfig(self, namespace: str, account: str, target: Path) -> Path:
        """Write a kubeconfig with a new token of a ServiceAccount to `target` and return it."""
        view = json.loads(self.kubectl("config", "view", "--raw", "--minify", "-o", "json"))
        cluster = dict(view["clusters"][0]["cluster"])
        write_kubeconfig(target, cluster, {"token": self.token(namespace, account)})
        return target

    def rotate_tokens(self) -> None:
        """Make the kubelet put new tokens into all running pods; the old ones stay valid.

        It keeps tokens in memory until they are old, so it is started anew. A test waits for the
        file in its pod to change.
        """
        self.stop(Component.KUBELET)
        self.start(Component.KUBELET)

    def _nodes_are_ready(self) -> bool:
        done = self.try_kubectl("get", "nodes", "-o", "json", timeout_seconds=10)
        if done.returncode:
            return False
        nodes = json.loads(done.stdout)["items"]
        ready = [
            condition["status"] == "True"
            for node in nodes
            for condition in node["status"].get("conditions", ())
            if condition["type"] == "Ready"
        ]
        return bool(nodes) and len(ready) == len(nodes) and all(ready)

    def _await(self, holds: Callable[[], bool], otherwise: str, timeout_seconds: float) -> None:
        until = time.monotonic() + timeout_seconds
        while not holds():
            if time.monotonic() > until:
                raise ClusterError(f"{otherwise} after {timeout_seconds:.0f} s{self.complaint()}")
            time.sleep(_POLL_SECONDS)

    def complaint(self) -> str:
        """Return what the provider knows of a cluster that does not come up, for an error."""
        return ""
