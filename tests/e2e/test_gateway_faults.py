"""Guards what becomes of terminals and of Radar's traffic when something around them ends."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.machine import MachineCluster
from tests.cluster.provider import Component
from tests.e2e.node_hub import NodeHub, ask, eventually
from tests.e2e.radar_pod import GROUPS, SIDECAR, RadarPod

pytestmark = pytest.mark.timeout(600)
_STARTED, _ENDED = "pod.exec_started", "pod.exec_ended"
_SINK_PROBES = "127.0.0.1:9381"
_CONFIGMAPS = "/api/v1/namespaces/demo/configmaps"


@contextlib.contextmanager
def held_terminal(pod: RadarPod, user: str) -> Iterator[subprocess.Popen[str]]:
    """Open a terminal that stays; the process ends when the terminal does."""
    program = subprocess.Popen(
        pod.client_command("hold", user, GROUPS, "app"), stdout=subprocess.PIPE, text=True
    )
    assert program.stdout is not None
    try:
        assert json.loads(program.stdout.readline()) == {"status": 101}
        yield program
    finally:
        program.kill()
        program.wait()
        program.stdout.close()


@contextlib.contextmanager
def webhook_collector(cluster: MachineCluster, hub: NodeHub, folder: Path) -> Iterator[None]:
    """Run a second collector, which the API server's audit webhook feeds."""
    prefix = "RADAR_AUDIT_COLLECTOR_"
    environ = {k: v for k, v in os.environ.items() if not k.startswith(prefix)} | {
        f"{prefix}HUB_URL": hub.url,
        f"{prefix}TOKEN": hub.cluster_token,
        f"{prefix}COLLECTOR_ID": "webhook",
        f"{prefix}DATA_DIR": str(folder / "data"),
        f"{prefix}PROBES_LISTEN": _SINK_PROBES,
        f"{prefix}WEBHOOK_ENABLED": "true",
        f"{prefix}WEBHOOK_LISTEN": "127.0.0.1:9443",
        f"{prefix}WEBHOOK_INSECURE_LOOPBACK": "true",
    }
    command = cluster.in_network([sys.executable, "-m", "radar_audit_collector", "run"])
    with (folder / "collector.log").open("wb") as log:
        program = subprocess.Popen(command, env=environ, stdout=log, stderr=log)
    try:
        eventually(lambda: _is_ready(cluster))
        yield
    finally:
        program.terminate()
        program.wait()


def _is_ready(cluster: MachineCluster) -> bool:
    try:
        return ask(cluster, f"http://{_SINK_PROBES}/readyz") == "ok\n"
    except AssertionError:
        return False


def test_gateway_and_audit_webhook_at_once_give_each_event_once(
    pod: RadarPod, hub: NodeHub, radar_cluster: MachineCluster, tmp_path: Path
) -> None:
    users = [f"twice-{number}@example.com" for number in range(5)]
    with webhook_collector(radar_cluster, hub, tmp_path):
        for user in users:
            assert pod.client("terminal", user, GROUPS, "app", "0.3", "exit")["shell"]
        radar_cluster.kubectl("-n", "demo", "exec", "web", "-c", "app", "--", "true")

        def counted(sample: str) -> float:
            text = ask(radar_cluster, f"http://{_SINK_PROBES}/metrics")
            name = f"radar_audit_collector_{sample} "
            found = [line for line in text.splitlines() if line.startswith(name)]
            return float(found[0].split()[-1]) if found else 0.0

        def stored(action: str) -> bool:
            return counted(f'events_total{{action="{action}",source="webhook"}}') >= len(users)

        eventually(lambda: stored(_STARTED) and stored(_ENDED), 90)
        eventually(lambda: counted('records_ignored_total{reason="not_radar"}') > 0)
        for user in users:
            rows = hub.await_rows(user, _STARTED, _ENDED)
            assert len({row["metadata"]["session_id"] for row in rows}) == 1


def test_new_tokens_are_used_and_a_watch_goes_on(
    pod: RadarPod, hub: NodeHub, radar_cluster: MachineCluster
) -> None:
    def token() -> str:
        return radar_cluster.projected_file("radar", "radar", "radar-token", "token")

    before = token()
    watching = subprocess.Popen(
        pod.kubectl("get", "--raw", f"{_CONFIGMAPS}?watch=1"), stdout=subprocess.PIPE, text=True
    )
    assert watching.stdout is not None
    try:
        with held_terminal(pod, "rotated@example.com"):
            radar_cluster.rotate_tokens()  # it ends the kubelet, and so the terminal, too
            eventually(lambda: token() != before, 90)
        words = ["-n", "demo", "exec", "web", "-c", "app", "--", "true"]
        eventually(lambda: radar_cluster.try_kubectl(*words).returncode == 0, 60)
        hub.await_rows("rotated@example.com", _STARTED, _ENDED)
        seen = pod.client("terminal", "after-rotation@example.com", GROUPS, "app", "0.2")
        assert (seen["status"], seen["shell"]) == (101, True)
        hub.await_rows("after-rotation@example.com", _STARTED, _ENDED)
        name = "made-after-rotation"
        radar_cluster.kubectl("-n", "demo", "create", "configmap", name)
        while json.loads(watching.stdout.readline())["object"]["metadata"]["name"] != name:
            pass
    finally:
        watching.kill()
        watching.wait()
        watching.stdout.close()


def test_gateway_outlives_an_api_server(
    pod: RadarPod, hub: NodeHub, radar_cluster: MachineCluster
) -> None:
    before = pod.restarts()
    with held_terminal(pod, "cut@example.com") as program:
        assert radar_cluster.stop(Component.APISERVER)
        assert program.wait(30) == 0
        radar_cluster.start(Component.APISERVER)
        radar_cluster.await_ready()
    rows = hub.await_rows("cut@example.com", _STARTED, _ENDED)
    assert rows[1]["metadata"]["end_reason"] in ("server_closed", "error")
    seen = pod.client("terminal", "after-cut@example.com", GROUPS, "app", "0.2")
    assert (seen["status"], seen["shell"]) == (101, True)
    hub.await_rows("after-cut@example.com", _STARTED, _ENDED)
    assert pod.restarts() == before


def test_killed_sidecar_comes_back_and_ends_what_it_left_open(pod: RadarPod, hub: NodeHub) -> None:
    before = pod.restarts()
    with held_terminal(pod, "left-open@example.com") as program:
        eventually(lambda: len(hub.rows_of("left-open@example.com")) == 1)
        pod.kill_sidecar()
        assert program.wait(30) == 0
    eventually(lambda: pod.restarts() == before + 1, 60)
    rows = hub.await_rows("left-open@example.com", _STARTED, _ENDED)
    assert rows[1]["metadata"]["end_reason"] == "collector_restart"
    assert rows[1]["metadata"]["observed"] is False
    eventually(lambda: bool(pod.container(SIDECAR)["started"]), 60)
    seen = pod.client("terminal", "after-kill@example.com", GROUPS, "app", "0.2")
    assert (seen["status"], seen["shell"]) == (101, True)
    hub.await_rows("after-kill@example.com", _STARTED, _ENDED)
