"""Guards that nothing of what passes the gateway is written or sent elsewhere by it.

Secret words are put wherever Radar can put them, then hunted in all that the sidecar wrote (its
volumes, its log, every file that its processes have open or mapped), showed (its metrics), and
sent to anyone but the API server and Radar. A word that must be found proves each search.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.machine import MachineCluster
from tests.cluster.network import API_PORT, API_SERVICE_ADDRESS, NODE_ADDRESS
from tests.cluster.terminal import terminal
from tests.e2e.node_hub import HUB_PORT, NodeHub
from tests.e2e.radar_pod import GROUPS, PROBES_PORT, RadarPod
from tests.e2e.wire import caught, streams, unpacked

pytestmark = pytest.mark.timeout(300)
_STARTED, _ENDED, _DENIED = "pod.exec_started", "pod.exec_ended", "cluster.action_denied"
_USER, _CANARY = "canary@example.com", "CANARY-7f3a"
_EXEC = "/api/v1/namespaces/demo/pods/web/exec"
_API_SERVER = ((API_SERVICE_ADDRESS, 443), (NODE_ADDRESS, API_PORT))  # before and behind kube-proxy
_OVER_64_KIB = "x" * 70_000
# Reads the words from its input, and tells which files of the processes hold which of them.
_HUNT = """
import json, os, stat, sys
words = [word.encode() for word in json.load(sys.stdin)]
found, looked = [], 0
for pid in sys.argv[1:]:
    paths = [f"/proc/{pid}/fd/{name}" for name in os.listdir(f"/proc/{pid}/fd")]
    for line in open(f"/proc/{pid}/maps"):
        place, modes, _, _, inode = line.split()[:5]
        if "w" in modes and inode != "0":
            paths.append(f"/proc/{pid}/map_files/{place}")
    for path in paths:
        try:
            if not stat.S_ISREG(os.stat(path).st_mode):
                continue
            with open(path, "rb") as file:
                content = file.read()
        except OSError as error:
            if error.errno in (2, 6):  # closed meanwhile
                continue
            raise
        looked += 1
        found += [[os.readlink(path), word.decode()] for word in words if word in content]
print(json.dumps({"looked": looked, "found": found}))
"""


def test_nothing_of_what_passed_is_written_or_sent_elsewhere(
    pod: RadarPod, hub: NodeHub, radar_cluster: MachineCluster, tmp_path: Path
) -> None:
    packets = tmp_path / "packets"
    with caught(radar_cluster, pod.status()["podIP"], packets):
        put_everywhere(pod, hub)
        metrics = pod.metrics_text()
    token = radar_cluster.projected_file("radar", "radar", "radar-token", "token")
    secrets = [_CANARY, token, token.split(".")[2]]
    assert files_with(pod, [*secrets, _USER]) == {_USER}
    for secret in secrets:
        assert pod.files_with(secret) == []
        assert secret not in metrics
        assert [path for path in hub.folder.rglob("*") if holds(path, secret)] == []
    assert pod.files_with('"the gateway listens"') != []
    assert [path for path in hub.folder.rglob("*") if holds(path, _USER)] != []
    check_sent(packets, secrets)


def put_everywhere(pod: RadarPod, hub: NodeHub) -> None:
    """Let Radar say the word in each place that a request has, and get it as an answer."""
    person = [f"--as={_USER}", *(f"--as-group={group}" for group in GROUPS.split(","))]
    words = ["-n", "demo", "exec", "-it", "web", "-c", "app", "--"]
    with terminal(pod.kubectl(*person, *words, "sh", "-c", f"echo {_CANARY}; exec sh")) as shell:
        shell.expect(_CANARY)
        shell.type(f"echo {_CANARY}-typed; exit")
        assert shell.wait() == 0
    viewer = [f"--as={_USER}", "--as-group=cloud:viewer", "--as-group=cloud:org:org_x"]
    with terminal(pod.kubectl(*viewer, *words, "echo", _CANARY)) as denied:
        assert denied.wait() != 0
    field = f"X-Canary: {_CANARY}"
    extra = f"Impersonate-Extra-Canary: {_CANARY}"
    for target, *fields in (
        (f"/version?canary={_CANARY}", field, f"Cookie: c={_CANARY}", extra),
        (f"/no/such/{_CANARY}", field),
        (f"{_EXEC}?command={_CANARY}&tty=1&stdin=1", field, "Upgrade: websocket"),
        (f"{_EXEC}?command={_CANARY}", field, f"X-Filler: {_OVER_64_KIB}"),
        (f"/version?canary={_CANARY}", field, f"X-Filler: {_OVER_64_KIB}"),
        (f"{_EXEC}?command={_CANARY}", f"{_CANARY} without a colon"),
        (f"/version?canary={_CANARY}", f"{_CANARY} without a colon"),
        (f"{_EXEC}/%zz?command={_CANARY}", field),
    ):
        assert pod.client("fetch", target, *fields)["status"] != 101
    hub.await_rows(_USER, _STARTED, _ENDED, _DENIED)


def files_with(pod: RadarPod, words: list[str]) -> set[str]:
    """Return which words are in a file that a process of the sidecar has open or mapped."""
    pids = pod.sidecar_pids()
    assert len(pids) >= 2  # the collector and its relay
    hunting = pod.cluster.in_node([sys.executable, "-c", _HUNT, *map(str, pids)])
    done = subprocess.run(
        hunting, input=json.dumps(words), capture_output=True, text=True, check=True
    )
    told = json.loads(done.stdout)
    assert told["looked"] > 0
    return {word for _, word in told["found"]}


def check_sent(packets: Path, secrets: list[str]) -> None:
    """The pod has spoken with the API server, with the hub, and with who asks its probes."""
    seen = streams(packets)
    elsewhere = [
        (address, port, own)
        for address, port, own in seen
        if (address, port) not in _API_SERVER and own != PROBES_PORT
    ]
    assert {(address, port) for address, port, _ in elsewhere} == {(NODE_ADDRESS, HUB_PORT)}
    to_hub = b"".join(unpacked(seen[destination]) for destination in elsewhere)
    assert _USER.encode() in to_hub
    told = to_hub + b"".join(
        unpacked(stream) for (_, _, own), stream in seen.items() if own == PROBES_PORT
    )
    for secret in secrets:
        assert secret.encode() not in told


def holds(path: Path, word: str) -> bool:
    return path.is_file() and word.encode() in path.read_bytes()
