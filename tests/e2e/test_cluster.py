"""Guards the test cluster itself: terminals in it, its audit log, its control, and its leaving.

Only for the provider `machine`, and not part of `make test`. The first run builds the programs.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import machine, workload
from tests.cluster.images import small_archives
from tests.cluster.machine import MachineCluster
from tests.cluster.places import cache_folder
from tests.cluster.processes import KnownProcess
from tests.cluster.progress import Progress
from tests.cluster.provider import Component
from tests.cluster.python_image import python_archive
from tests.cluster.terminal import terminal
from tests.cluster.versions import chosen_minor, release
from tests.cluster.webhook import AuditWebhook

pytestmark = pytest.mark.timeout(1800)
_SINK_PORT = 9443
_PERSON = ("--as=ann@example.com", "--as-group=cloud:owner", "--as-group=cloud:org:org_x")
_ONLOOKER = ("--as=bob@example.com", "--as-group=cloud:viewer")
_WEBSOCKETS = "KUBECTL_REMOTE_COMMAND_WEBSOCKETS"
_SINK = """
import http.server, pathlib, sys
class Sink(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        with pathlib.Path(sys.argv[2]).open("ab") as file:
            file.write(body.strip() + b"\\n")
        self.send_response(200)
        self.end_headers()
    def log_message(self, *arguments):
        pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Sink).serve_forever()
"""
_PROGRAM = "import radar_audit_collector.main as m, time; print(m.__name__); time.sleep(3600)"
_SIDECAR = """
apiVersion: v1
kind: Pod
metadata: {{name: sidecar, namespace: radar}}
spec:
  serviceAccountName: radar
  terminationGracePeriodSeconds: 1
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    seccompProfile: {{type: RuntimeDefault}}
  initContainers:
    - name: collector
      image: {python}
      restartPolicy: Always
      command: [python3, -c, "{program}"]
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {{drop: [ALL]}}
  containers:
    - name: client
      image: {busybox}
      command: [sleep, "3600"]
      volumeMounts: [{{name: own, mountPath: /own}}]
  volumes:
    - name: own
      projected:
        sources:
          - serviceAccountToken: {{path: token, audience: radar-audit, expirationSeconds: 600}}
"""


@pytest.fixture(scope="module")
def sink(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file: Path = tmp_path_factory.mktemp("sink") / "batches"
    file.touch()
    return file


@pytest.fixture(scope="module")
def cluster(sink: Path) -> Iterator[MachineCluster]:
    webhook = AuditWebhook(f"http://127.0.0.1:{_SINK_PORT}/audit", max_wait_seconds=0.2)
    up = machine.up("e2e-cluster", release(chosen_minor()), webhook, Progress())
    receiver = subprocess.Popen(
        up.in_network([sys.executable, "-c", _SINK, str(_SINK_PORT), str(sink)])
    )
    try:
        busybox = small_archives(cache_folder() / "images")[0]
        workload.apply(up, up.load_image(busybox), Progress())
        yield up
    finally:
        receiver.kill()
        receiver.wait()
        up.down()


@pytest.fixture(scope="module")
def radar(cluster: MachineCluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("radar")
    return cluster.account_kubeconfig("radar", "radar", folder / "kubeconfig")


def eventually(holds: Callable[[], bool], timeout_seconds: float = 60) -> None:
    until = time.monotonic() + timeout_seconds
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.05)


def lines(cluster: MachineCluster) -> list[dict[str, Any]]:
    return [json.loads(line) for line in cluster.audit_log().read_text().splitlines()]


def stages(cluster: MachineCluster, before: int) -> list[tuple[str, str, int | None]]:
    return [
        (line["stage"], line["verb"], line.get("responseStatus", {}).get("code"))
        for line in lines(cluster)[before:]
    ]


@pytest.mark.parametrize(("websockets", "verb"), [("true", "get"), ("false", "create")])
def test_a_person_types_in_a_terminal_through_radar(
    cluster: MachineCluster, radar: Path, sink: Path, websockets: str, verb: str
) -> None:
    before = len(lines(cluster))
    words = [*_PERSON, "-n", "demo", "exec", "-it", "web", "-c", "app", "--", "sh"]
    command = cluster.kubectl_command(*words, kubeconfig=radar)
    with terminal(command, {_WEBSOCKETS: websockets}) as shell:
        shell.expect("#")
        shell.type("echo tea$((1+1))")
        shell.expect("tea2")
        shell.type("exit 3")
        assert shell.wait() == 3
    eventually(lambda: len(lines(cluster)) >= before + 2)
    assert stages(cluster, before) == [
        ("ResponseStarted", verb, 101),
        ("ResponseComplete", verb, 101),
    ]
    started = lines(cluster)[before]
    assert started["user"]["username"] == "system:serviceaccount:radar:radar"
    assert started["impersonatedUser"]["username"] == "ann@example.com"
    assert started["level"] == "Metadata"
    session = started["auditID"]
    eventually(lambda: sink.read_text().count(f'"auditID":"{session}"') == 2)


def test_who_may_not_is_refused_twice(cluster: MachineCluster, radar: Path) -> None:
    before = len(lines(cluster))
    words = [*_ONLOOKER, "-n", "demo", "exec", "web", "-c", "app", "--", "id"]
    done = cluster.try_kubectl(*words, kubeconfig=radar)
    assert "cannot" in done.stderr
    eventually(lambda: len(lines(cluster)) >= before + 4)
    assert {line[2] for line in stages(cluster, before)} == {403}
    assert {line[1] for line in stages(cluster, before)} == {"get", "create"}


def test_people_without_radar_are_told_apart(cluster: MachineCluster, tmp_path: Path) -> None:
    operator = cluster.account_kubeconfig("demo", "operator", tmp_path / "operator")
    onlooker = cluster.account_kubeconfig("demo", "onlooker", tmp_path / "onlooker")
    words = ["-n", "demo", "exec", "web", "-c", "app", "--", "id", "-u"]
    assert cluster.kubectl(*words, kubeconfig=operator) == "0\n"
    assert cluster.try_kubectl(*words, kubeconfig=onlooker).returncode == 1


def test_a_service_is_reached_from_a_pod_and_from_the_node(cluster: MachineCluster) -> None:
    service = json.loads(cluster.kubectl("-n", "demo", "get", "service", "web", "-o", "json"))
    url = f"http://{service['spec']['clusterIP']}/"
    words = ["-n", "demo", "exec", "web", "-c", "app", "--", "wget", "-qO-", url]
    assert cluster.kubectl(*words) == "hello\n"
    reading = f"import urllib.request as r; print(r.urlopen({url!r}).read())"
    done = subprocess.run(
        cluster.in_network([sys.executable, "-c", reading]), capture_output=True, check=True
    )
    assert b"hello" in done.stdout


def test_parts_of_ours_run_as_a_restricted_sidecar_and_its_tokens_rotate(
    cluster: MachineCluster,
) -> None:
    python = cluster.load_image(python_archive(cache_folder() / "images"))
    busybox = small_archives(cache_folder() / "images")[0].name
    cluster.kubectl(
        "apply", "-f", "-", stdin=_SIDECAR.format(python=python, busybox=busybox, program=_PROGRAM)
    )
    ready = ["wait", "--for=condition=Ready", "pod/sidecar", "--timeout=120s"]
    cluster.kubectl("-n", "radar", *ready, timeout_seconds=130)
    # A sidecar without a startup probe counts as started before its program has said a word.
    words = ["-n", "radar", "logs", "sidecar", "-c", "collector"]
    eventually(lambda: cluster.kubectl(*words) == "radar_audit_collector.main\n")

    def token() -> str:
        return cluster.kubectl(
            "-n", "radar", "exec", "sidecar", "-c", "client", "--", "cat", "/own/token"
        )

    before = token()
    assert before == cluster.projected_file("radar", "sidecar", "own", "token")
    cluster.rotate_tokens()
    eventually(lambda: cluster.projected_file("radar", "sidecar", "own", "token") != before)
    cluster.await_node()
    assert token() != before


def test_a_stopped_kubelet_leaves_pods_alone(cluster: MachineCluster) -> None:
    cluster.stop(Component.KUBELET)
    words = ["-n", "demo", "exec", "web", "-c", "app", "--", "id", "-u"]
    assert cluster.try_kubectl(*words).returncode == 1
    cluster.start(Component.KUBELET)
    eventually(lambda: cluster.try_kubectl(*words).stdout == "0\n")
    pod = json.loads(cluster.kubectl("-n", "demo", "get", "pod", "web", "-o", "json"))
    assert {status["restartCount"] for status in pod["status"]["containerStatuses"]} == {0}


def test_a_killed_api_server_comes_back_with_what_it_held(cluster: MachineCluster) -> None:
    assert cluster.stop(Component.APISERVER)
    assert not cluster.is_ready()
    cluster.start(Component.APISERVER)
    cluster.await_ready()
    assert "web" in cluster.kubectl("-n", "demo", "get", "pods")


def test_two_clusters_run_side_by_side_and_one_leaves_the_other_alone(
    cluster: MachineCluster,
) -> None:
    other = machine.up("e2e-other", release(chosen_minor()), None, Progress())
    assert "web" not in other.kubectl("get", "pods", "-A")
    other.down()
    assert machine.find("e2e-other") is None
    words = ["-n", "demo", "exec", "web", "-c", "app", "--", "id", "-u"]
    assert cluster.kubectl(*words) == "0\n"


def _traces() -> dict[str, object]:
    """What a cluster could leave on the machine."""
    settings = ("kernel/panic", "kernel/panic_on_oops", "vm/overcommit_memory", "vm/panic_on_oom")
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True)
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    return {
        "mounts": sorted(line.split()[4] for line in mounts),
        "links": sorted(line.split(": ")[1] for line in links.stdout.splitlines()),
        "groups": sorted(str(path) for path in Path("/sys/fs/cgroup").glob("**/radar-audit-*")),
        "settings": {name: Path("/proc/sys", name).read_text() for name in settings},
        "folders": [Path("/var/lib", name).exists() for name in ("cni", "kubelet")],
        "files": sorted(machine.names()),
        "processes": [line for line in running.stdout.splitlines() if "running/e2e-brief" in line],
    }


def test_a_cluster_leaves_nothing_behind() -> None:
    before = _traces()
    for _ in range(3):
        up = machine.up("e2e-brief", release(chosen_minor()), None, Progress())
        assert _traces()["settings"] == before["settings"]
        up.down()
        assert _traces() == before


def test_what_a_dead_cluster_left_is_removed() -> None:
    before = _traces()
    up = machine.up("e2e-brief", release(chosen_minor()), None, Progress())
    note = json.loads(up.layout.note.read_text())
    subprocess.run(["kill", "-9", str(note["parent"]["pid"])], check=True)
    eventually(lambda: machine.find("e2e-brief") is None)
    assert "e2e-brief" in machine.names()
    machine.remove("e2e-brief")
    assert _traces() == before


def test_a_cluster_that_nobody_knows_of_any_more_is_ended_all_the_same() -> None:
    before = _traces()
    up = machine.up("e2e-brief", release(chosen_minor()), None, Progress())
    first = KnownProcess(**json.loads(up.layout.note.read_text())["first"])
    up.layout.note.unlink()
    assert machine.find("e2e-brief") is None
    assert first.is_alive()
    machine.remove("e2e-brief")
    assert not first.is_alive()
    assert _traces() == before
