"""Radar's pod on a test cluster: the collector as a native sidecar, and a client in Radar's place.

Owns the manifest and the ways into the two containers. Programs of the client run in its
namespaces, entered from the node: so they go on when the API server or the kubelet is down.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from tests.cluster.images import Archive
from tests.cluster.machine import MachineCluster
from tests.cluster.network import API_SERVICE_ADDRESS
from tests.e2e.node_hub import NodeHub, ask, eventually

NAMESPACE, CLIENT, SIDECAR = "radar", "client", "collector"
PROBES_PORT = 9281
GROUPS = "cloud:owner,cloud:org:org_x"
PREFIX = "radar_audit_collector_"
_SOURCE = Path(__file__).with_name("radar_client.py")
_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
_MANIFEST = Path(__file__).with_name("radar-pod.yaml")
_PODS = "/var/lib/kubelet/pods"
_TOOLS = 'hostPath: {{path: "{}", type: Directory}}'
_OWN_VOLUMES = ("spool", "gateway-keys", "gateway-account")
_FILL = """
: >"$1"
while [ -e "$1" ]; do
    dd if=/dev/zero of="$1" bs=4k oflag=append conv=notrunc,nocreat 2>/dev/null
    [ -n "$said" ] || echo full
    said=1
    sleep 0.05
done
"""
_NEW_TOKEN = """
set -e
cd "$1"
mkdir ..by-test
cat >..by-test/token
cp ..data/namespace ..by-test/
chmod -R a+rX ..by-test
ln -s ..by-test ..fresh
mv -T ..fresh ..data
"""


@dataclass(frozen=True)
class Variant:
    """In what a pod may differ: its name, its failure policy, and where its spool lies.

    `spool` is what an emptyDir of Kubernetes may say, as YAML.
    """

    name: str = "radar"
    policy: str = "open"
    spool: str = "{}"


class RadarPod:
    """The running pod; the names are of its two containers and of its namespace."""

    namespace, client_container, sidecar_container = NAMESPACE, CLIENT, SIDECAR

    def __init__(self, cluster: MachineCluster, name: str) -> None:
        """Take the pod of a cluster; see `running_pod`."""
        self.cluster = cluster
        self.name = name

    def told(self) -> dict[str, Any]:
        """Return the pod as the API server has it."""
        text = self.cluster.kubectl("-n", self.namespace, "get", "pod", self.name, "-o", "json")
        told: dict[str, Any] = json.loads(text)
        return told

    def status(self) -> dict[str, Any]:
        """Return the pod's status as the API server has it."""
        status: dict[str, Any] = self.told()["status"]
        return status

    def container(self, name: str) -> dict[str, Any]:
        """Return the status of a container."""
        status = self.status()
        every = [*status.get("initContainerStatuses", ()), *status["containerStatuses"]]
        (found,) = (each for each in every if each["name"] == name)
        return dict(found)

    def restarts(self) -> int:
        """Return how often the sidecar was started anew."""
        return int(self.container(self.sidecar_container)["restartCount"])

    def kill_sidecar(self) -> None:
        """End the sidecar as the kernel does when memory is short: kill -9."""
        task = self.container(self.sidecar_container)["containerID"].removeprefix("containerd://")
        self._ctr("tasks", "kill", "--all", "--signal", "SIGKILL", task)

    def enter(
        self, argv: Sequence[str], *, around: bool = False, websockets: bool = True
    ) -> list[str]:
        """Return the command line of a program in the client's container.

        `around` lets it reach the API server itself, with the same token; `websockets` tells
        kubectl how to open terminals.
        """
        host, port = _endpoint(around=around)
        variables = {
            "PATH": "/tools:/usr/local/bin:/usr/bin:/bin",
            "HOME": "/tmp",
            "TERM": "xterm",
            "KUBERNETES_SERVICE_HOST": host,
            "KUBERNETES_SERVICE_PORT": port,
            "KUBECTL_REMOTE_COMMAND_WEBSOCKETS": str(websockets).lower(),
        }
        own = [f"{name}={value}" for name, value in variables.items()]
        target = [f"--target={self._client_pid}", "--mount", "--net", "--pid", "--uts", "--ipc"]
        who = ["--setgid=65532", "--setuid=65532"]
        return self.cluster.in_node(["nsenter", *target, *who, "--", "/bin/env", "-i", *own, *argv])

    def kubectl(self, *arguments: str, around: bool = False, websockets: bool = True) -> list[str]:
        """Return the command line of a kubectl in the client's container.

        Through the gateway with the in-cluster configuration, or `around` it.
        """
        host, port = _endpoint(around=around)
        ca = f"{_ACCOUNT}/ca.crt"
        server = [f"--server=https://{host}:{port}", f"--certificate-authority={ca}"]
        with_token = ["sh", "-c", f'exec kubectl --token="$(cat {_ACCOUNT}/token)" "$@"', "kubectl"]
        return self.enter([*with_token, *server, *arguments], around=around, websockets=websockets)

    def client(self, *words: str, around: bool = False) -> dict[str, Any]:
        """Run the Radar-like client to its end and return the last that it said."""
        done = subprocess.run(
            self.client_command(*words, around=around), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-2000:]
        said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return said

    def client_command(self, *words: str, around: bool = False) -> list[str]:
        """Return the command line of the Radar-like client."""
        source = _SOURCE.read_text(encoding="utf-8")
        return self.enter(["python3", "-c", source, *words], around=around)

    def metrics(self) -> dict[str, float]:
        """Return the samples of the sidecar's metrics, by name without prefix."""
        found = re.findall(rf"^{PREFIX}(\S+) (\S+)$", self.metrics_text(), re.MULTILINE)
        return {name: float(value) for name, value in found}

    def metrics_text(self) -> str:
        """Return the sidecar's metrics as they are scraped."""
        return ask(self.cluster, f"http://{self.status()['podIP']}:{PROBES_PORT}/metrics")

    def volumes(self) -> str:
        """Return the folder of the pod's volumes, as the node has it."""
        return f"{_PODS}/{self.told()['metadata']['uid']}/volumes"

    def files_with(self, word: str) -> list[str]:
        """Return the files that hold `word`: of the sidecar's volumes and of its logs."""
        folders = [f"{self.volumes()}/kubernetes.io~empty-dir/{name}" for name in _OWN_VOLUMES]
        folders.append(
            f"/var/log/pods/{self.namespace}_{self.name}_{self.told()['metadata']['uid']}"
        )
        search = self.cluster.in_node(["grep", "-rlF", "-e", word, *folders])
        done = subprocess.run(search, capture_output=True, text=True, check=False)
        assert done.returncode in (0, 1), done.stderr
        return done.stdout.split()

    def sidecar_pids(self) -> list[int]:
        """Return the sidecar's processes, as the node counts."""
        task = self.container(self.sidecar_container)["containerID"].removeprefix("containerd://")
        listed = self._ctr("tasks", "ps", task).splitlines()[1:]
        return [int(line.split()[0]) for line in listed]

    @contextlib.contextmanager
    def full_disk(self) -> Iterator[None]:
        """Let the spool's disk, which is one of its own (see `Variant.spool`), have no free byte.

        Whatever the sidecar gives back meanwhile is taken, too.
        """
        filler = f"{self.volumes()}/kubernetes.io~empty-dir/spool/filler"
        command = self.cluster.in_node(["sh", "-c", _FILL, "sh", filler])
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as filling:
            assert filling.stdout is not None
            try:
                assert filling.stdout.readline() == "full\n"
                yield
            finally:
                self._on_node("rm", filler)  # which ends it

    def give_token(self, token: str) -> None:
        """Put another token in place as the kubelet does; it will put its own there again."""
        folder = f"{self.volumes()}/kubernetes.io~projected/radar-token"
        self._on_node("sh", "-c", _NEW_TOKEN, "sh", folder, stdin=token)

    def delete(self) -> None:
        """Delete the pod as its Deployment would, and wait until it is gone."""
        words = ["-n", self.namespace, "delete", "pod", self.name]
        self.cluster.kubectl(*words, timeout_seconds=60)

    def counted(self, name: str) -> float:
        """Return one sample; 0 where there is none."""
        return self.metrics().get(name, 0.0)

    def is_writable(self) -> bool:
        """Tell whether the sidecar says that it can write its spool."""
        url = f"http://{self.status()['podIP']}:{PROBES_PORT}/readyz"
        return "spool" not in ask(self.cluster, url, must_succeed=False)

    def log(self) -> str:
        """Return what the sidecar has logged since its last start."""
        return self.cluster.kubectl(
            "-n", self.namespace, "logs", self.name, "-c", self.sidecar_container
        )

    def find_client(self) -> None:
        """Note the client's process, as the node counts."""
        task = self.container(self.client_container)["containerID"].removeprefix("containerd://")
        for line in self._ctr("tasks", "ls").splitlines():
            if line.startswith(task):
                self._client_pid = int(line.split()[1])
                return
        raise AssertionError("the client's container has no process")

    def _ctr(self, *arguments: str) -> str:
        return self._on_node("ctr", "--namespace=k8s.io", *arguments)

    def _on_node(self, *argv: str, stdin: str = "") -> str:
        words = self.cluster.in_node(argv)
        done = subprocess.run(words, input=stdin, capture_output=True, text=True, check=True)
        return done.stdout


def _endpoint(*, around: bool) -> tuple[str, str]:
    return (API_SERVICE_ADDRESS, "443") if around else ("127.0.0.1", "16443")


MakePod = Callable[[Variant], AbstractContextManager[RadarPod]]


@contextlib.contextmanager
def running_pod(
    cluster: MachineCluster, hub: NodeHub, image: Archive, variant: Variant
) -> Iterator[RadarPod]:
    """Apply the pod and wait until Radar's part of it runs; delete it behind the block."""
    manifest = Template(_MANIFEST.read_text(encoding="utf-8")).substitute(
        name=variant.name,
        policy=variant.policy,
        spool=variant.spool,
        python=cluster.load_image(image),
        hub=hub.url,
        token=hub.cluster_token,
        tools=_TOOLS.format(Path(cluster.kubectl_program).parent),
    )
    cluster.kubectl("apply", "-f", "-", stdin=manifest)
    pod = RadarPod(cluster, variant.name)
    try:
        ready = ["wait", "--for=condition=Ready", f"pod/{pod.name}", "--timeout=60s"]
        done = cluster.try_kubectl("-n", NAMESPACE, *ready, timeout_seconds=70)
        assert done.returncode == 0, pod.log() + cluster.try_kubectl("get", "events", "-A").stdout
        pod.find_client()
        eventually(lambda: pod.counted('heartbeats_total{result="ok"}') > 0)
        yield pod
    finally:
        words = ["-n", NAMESPACE, "delete", "pod", pod.name, "--ignore-not-found"]
        cluster.try_kubectl(*words, "--grace-period=1", timeout_seconds=60)
