"""A cluster into which the chart is installed as an admin does: by typed lines of shell.

Owns the admin's folder (programs, kubeconfig, values), the node's volume, the name service and the
stand-in of Radar's pod. Made by the fixture of the chart's e2e tests; ends with its block.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from scripts.images.build import Built, build
from scripts.images.closure import IMAGES
from tests.cluster import workload
from tests.cluster.images import Archive, small_archives
from tests.cluster.machine import MachineCluster
from tests.cluster.network import NODE_NAME
from tests.cluster.places import cache_folder
from tests.cluster.progress import Progress
from tests.cluster.python_image import python_archive
from tests.cluster.tools import helm_path
from tests.e2e import name_service
from tests.e2e.node_hub import Row
from tests.e2e.radar_pod import RadarPod

ROOT = Path(__file__).parents[2]
RADAR_CHART = ROOT / "tests" / "support" / "radar_chart"
NAMESPACE, ORG, OWNER = "radar-audit", "org_x", "you@acme.com"
_PROGRAMS = ("radar-audit", "radar-audit-collector", "radar-audit-hub", "kubectl-radar_audit")
_LINE_SECONDS = 200.0
_VOLUME = """
apiVersion: v1
kind: PersistentVolume
metadata: {{name: {name}}}
spec:
  capacity: {{storage: 10Gi}}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  local: {{path: "{path}"}}
  nodeAffinity:
    required:
      nodeSelectorTerms:
        - matchExpressions: [{{key: kubernetes.io/hostname, operator: In, values: [{node}]}}]
"""
_NAMESPACE = """
apiVersion: v1
kind: Namespace
metadata: {{name: {name}, labels: {{pod-security.kubernetes.io/enforce: restricted}}}}
"""


class ChartWorld:
    """What the admin has; see `chart_world`."""

    def __init__(self, cluster: MachineCluster, folder: Path) -> None:
        """Take a cluster that is up, and an empty folder."""
        self.cluster = cluster
        self.folder = folder
        self.images: dict[str, Built] = {}
        self._variables: dict[str, str] = {}

    def type(self, line: str, *, fails: bool = False) -> str:
        """Type a line into a shell in the admin's folder; return what it prints, both ways."""
        done = subprocess.run(
            self.cluster.in_network(["bash", "-ec", line]), cwd=self.folder, env=self.environ(),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
            timeout=_LINE_SECONDS,
        )  # fmt: skip
        if (done.returncode != 0) != fails:
            hub = ["-n", NAMESPACE, "logs", "deploy/radar-audit-hub", "--tail=20"]
            trouble = self.cluster.try_kubectl(*hub).stdout[-3000:]
            trouble += self.cluster.try_kubectl("get", "pods,events", "-A").stdout[-5000:]
            raise AssertionError(f"{line}: {done.stdout[-3000:]}\n{trouble}")
        return done.stdout

    def documented(self) -> list[str]:
        """Return the lines of docs/install.md from install to first event, for this cluster.

        They differ from the page in what it leaves to its reader: where the charts and images are.
        """
        page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
        found = re.search(r"^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
        assert found is not None
        block = found[1].replace("\\\n", "")
        places = {
            "oci://ghcr.io/radar-audit/charts/radar-audit": "./radar-audit -f images.yaml",
            "RADAR_CHART --version INSTALLED": "./radar",
            "--pod-exec": f"--pod-exec --image {self.images['collector'].name}",
        }
        for theirs, ours in places.items():
            assert block.count(theirs) == 1, theirs
            block = block.replace(theirs, ours)
        return [line.partition("#")[0].strip() for line in block.splitlines()]

    def environ(self) -> Mapping[str, str]:
        """Return the admin's variables."""
        own = {k: v for k, v in os.environ.items() if not k.startswith("RADAR_AUDIT_")}
        places = {name: str(self.folder / name) for name in ("XDG_CONFIG_HOME", "HELM_CACHE_HOME")}
        own |= {"KUBECONFIG": str(self.cluster.kubeconfig), "HELM_CONFIG_HOME": str(self.folder)}
        return own | places | {"PATH": f"{self.folder}/bin:{own['PATH']}"} | self._variables

    def on_node(self, *argv: str) -> str:
        """Return what a program says on the node."""
        words = self.cluster.in_node(argv)
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout

    def told(self, *arguments: str) -> Any:
        """Return what `kubectl get … -o json` says."""
        return json.loads(self.cluster.kubectl("get", *arguments, "-o", "json"))

    def set_up(self) -> None:
        """Load the images, make namespaces and a volume, install Radar without our values."""
        for part in IMAGES:
            self.images[part] = build(part, cache_folder() / "images", self.folder / "images")
            self.cluster.load_image(Archive(self.images[part].name, self.images[part].path))
        images = cache_folder() / "images"
        workload.apply(self.cluster, self.cluster.load_image(small_archives(images)[0]), Progress())
        # Radar's chart brings its own account and rights.
        self.cluster.kubectl("-n", "radar", "delete", "serviceaccount", "radar")
        self.cluster.kubectl("delete", "clusterrolebinding", "radar-audit-test-radar")
        for name in (NAMESPACE, "radar"):
            self.cluster.kubectl("apply", "-f", "-", stdin=_NAMESPACE.format(name=name))
        self.add_volume("log")
        links = {"helm": helm_path(), "kubectl": Path(self.cluster.kubectl_program)}
        links |= {name: Path(sys.executable).with_name(name) for name in _PROGRAMS}
        (self.folder / "bin").mkdir()
        for name, program in links.items():
            (self.folder / "bin" / name).symlink_to(program)
        (self.folder / "radar-audit").symlink_to(ROOT / "charts" / "radar-audit")
        (self.folder / "radar").symlink_to(RADAR_CHART)
        self._write("images.yaml", self._image_values() | {"hub": self._hub_values()})
        client = self.cluster.load_image(python_archive(images))
        repository, _, tag = client.rpartition(":")
        context = {"seccompProfile": {"type": "RuntimeDefault"}}
        radar = {"image": {"repository": repository, "tag": tag}, "podSecurityContext": context}
        self._write("radar.yaml", radar)
        self.type("helm install radar ./radar -n radar -f radar.yaml --wait")

    def add_volume(self, name: str) -> None:
        """Give the cluster one more volume of the node's disk."""
        place = self.cluster.layout.data / f"volume-{name}"
        place.mkdir(mode=0o777)
        manifest = _VOLUME.format(name=name, path=place, node=NODE_NAME)
        self.cluster.kubectl("apply", "-f", "-", stdin=manifest)

    def log_in(self) -> None:
        """Have a token made as the chart's notes say, and name the hub to the command line."""
        made = json.loads(
            self.type(
                f"kubectl -n {NAMESPACE} exec deploy/radar-audit-hub --"
                f" radar-audit-hub pat create --email {OWNER} -o json"
            )
        )
        service = self.told("-n", NAMESPACE, "service", "radar-audit-hub")
        address = f"http://{service['spec']['clusterIP']}:8080"
        token = str(made["pat"]["token"])
        self._variables |= {"RADAR_AUDIT_URL": address, "RADAR_AUDIT_TOKEN": token}
        self._variables |= {"RADAR_AUDIT_ORG": ORG}

    @contextlib.contextmanager
    def forwarded(self) -> Iterator[None]:
        """Reach the hub by a port-forward, as the notes say, for the length of the block."""
        words = ["-n", NAMESPACE, "port-forward", "svc/radar-audit-hub", "8080:8080"]
        before = self._variables["RADAR_AUDIT_URL"]
        with subprocess.Popen(
            self.cluster.kubectl_command(*words), stdout=subprocess.PIPE, text=True
        ) as forward:
            try:
                assert forward.stdout is not None
                assert "Forwarding from" in forward.stdout.readline()
                self._variables["RADAR_AUDIT_URL"] = "http://127.0.0.1:8080"
                yield
            finally:
                self._variables["RADAR_AUDIT_URL"] = before
                forward.kill()

    def rows(self, actor: str) -> list[Row]:
        """Return what the log says of a person, oldest first."""
        line = "radar-audit tail -n 500 -o ndjson --insecure-http"
        rows = [json.loads(text) for text in self.type(line).splitlines()]
        return [row for row in rows if actor in (row["actor_email"], row["actor_user_id"])]

    def radar(self) -> ChartPod:
        """Return Radar's pod, the one that is not being ended."""
        pods = self.told("-n", "radar", "pods", "-l", "app.kubernetes.io/name=radar")["items"]
        (pod,) = (each for each in pods if "deletionTimestamp" not in each["metadata"])
        found = ChartPod(self.cluster, pod["metadata"]["name"])
        found.find_client()
        return found

    def _image_values(self) -> dict[str, Any]:
        return {part: {"image": self._image(part)} for part in IMAGES}

    def _image(self, part: str) -> dict[str, str]:
        name, _, tag = self.images[part].name.rpartition(":")
        registry, _, repository = name.partition("/")
        return {"registry": registry, "repository": repository, "tag": tag}

    def _hub_values(self) -> dict[str, Any]:
        return {"image": self._image("hub"), "bootstrap": {"orgId": ORG}}

    def _write(self, name: str, values: Mapping[str, Any]) -> None:
        (self.folder / name).write_text(yaml.safe_dump(dict(values)), encoding="utf-8")


class ChartPod(RadarPod):
    """Radar's pod as its chart makes it, entered with the variables that its container has."""

    client_container, sidecar_container = "radar", "radar-audit"

    def enter(
        self, argv: Sequence[str], *, around: bool = False, websockets: bool = True
    ) -> list[str]:
        """Return the command line of a program in Radar's container."""
        raw = self._on_node("cat", f"/proc/{self._client_pid}/environ")
        own = [each for each in raw.split("\0") if each]
        target = [f"--target={self._client_pid}", "--mount", "--net", "--pid", "--uts", "--ipc"]
        who = ["--setgid=65532", "--setuid=65532"]
        return self.cluster.in_node(["nsenter", *target, *who, "--", "/bin/env", "-i", *own, *argv])


@contextlib.contextmanager
def chart_world(cluster: MachineCluster, folder: Path) -> Iterator[ChartWorld]:
    """Make everything that is there before the first step; the name service ends with the block."""
    words = [sys.executable, "-m", name_service.__name__]
    words += [cluster.kubectl_program, str(cluster.kubeconfig)]
    with subprocess.Popen(
        cluster.in_network(words),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as names:
        try:
            assert names.stdout is not None
            assert names.stdout.readline().strip() == name_service.READY
            world = ChartWorld(cluster, folder)
            world.set_up()
            yield world
        finally:
            names.kill()
