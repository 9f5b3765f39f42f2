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
from tests.e2e.terminals import Conversation, conversation, following, held_terminal

pytestmark = pytest.mark.timeout(600)
_STARTED, _ENDED = "pod.exec_started", "pod.exec_ended"
_CLOCK_SECONDS = 1.0  # test_gateway asks for 100 ms
_TOKEN = ("radar", "radar", "radar-token", "token")
_SINK_PROBES = "127.0.0.1:9381"
_CONFIGMAPS = "/api/v1/namespaces/demo/configmaps"


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
        return radar_cluster.projected_file(*_TOKEN)

    before = token()
    with following(pod.kubectl("get", "--raw", f"{_CONFIGMAPS}?watch=1")) as watched:
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
        while json.loads(watched.readline())["object"]["metadata"]["name"] != name:
            pass


def test_terminal_goes_on_when_its_token_is_replaced_and_ends(
    pod: RadarPod, hub: NodeHub, radar_cluster: MachineCluster
) -> None:
    """The token is bound to a Secret: the API server refuses it once that is gone."""
    words = ["create", "token", "radar", "--bound-object-kind=Secret", "--bound-object-name=bond"]
    radar_cluster.kubectl("-n", "radar", "create", "secret", "generic", "bond")
    token = radar_cluster.kubectl("-n", "radar", *words).strip()
    review = json.dumps(
        {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "metadata": {},
            "spec": {"token": token},
        }
    )

    def is_valid() -> bool:
        told = radar_cluster.kubectl("create", "-o", "json", "-f", "-", stdin=review)
        return bool(json.loads(told)["status"].get("authenticated"))

    assert is_valid()
    with opened_by(pod, token) as (user, shell):
        radar_cluster.kubectl("-n", "radar", "delete", "secret", "bond")
        eventually(lambda: not is_valid(), 60)
        eventually(lambda: radar_cluster.projected_file(*_TOKEN) != token, 120)
        assert [row["action"] for row in hub.rows_of(user)] == [_STARTED]
        shell.type()
        seconds = shell.leave()
    rows = hub.await_rows(user, _STARTED, _ENDED)
    assert abs(rows[1]["metadata"]["duration_ms"] / 1000 - seconds) < _CLOCK_SECONDS
    seen = pod.client("terminal", "renewed@example.com", GROUPS, "app", "0.2")
    assert (seen["status"], seen["shell"]) == (101, True)


@contextlib.contextmanager
def opened_by(pod: RadarPod, token: str) -> Iterator[tuple[str, Conversation]]:
    """Open a terminal by that token; the kubelet soon puts its own in place, so try again then."""
    for attempt in range(5):
        user = f"old-token-{attempt}@example.com"
        pod.give_token(token)
        with conversation(pod, user) as shell:
            if shell.began_with(token):
                yield user, shell
                return
    raise AssertionError("the kubelet was always first")


@contextlib.contextmanager
def held_terminals(
    pod: RadarPod, hub: NodeHub, name: str
) -> Iterator[dict[str, subprocess.Popen[str]]]:
    """Hold three terminals by WebSocket and one by SPDY, whose starts the hub has."""
    ways = ("websocket", "websocket", "websocket", "spdy")
    with contextlib.ExitStack() as stack:
        held = {}
        for number, how in enumerate(ways):
            user = f"{name}-{number}@example.com"
            held[user] = stack.enter_context(held_terminal(pod, user, how))
        eventually(lambda: all(len(hub.rows_of(user)) == 1 for user in held))
        yield held


def test_gateway_outlives_an_api_server(
    pod: RadarPod, hub: NodeHub, radar_cluster: MachineCluster
) -> None:
    before = pod.restarts()
    with held_terminals(pod, hub, "cut") as held:
        assert radar_cluster.stop(Component.APISERVER)
        for program in held.values():
            assert program.wait(30) == 0
        radar_cluster.start(Component.APISERVER)
        radar_cluster.await_ready()
    for user in held:
        rows = hub.await_rows(user, _STARTED, _ENDED)
        assert rows[1]["metadata"]["end_reason"] in ("server_closed", "error")
        assert rows[1]["metadata"]["observed"] is True
    seen = pod.client("terminal", "after-cut@example.com", GROUPS, "app", "0.2")
    assert (seen["status"], seen["shell"]) == (101, True)
    hub.await_rows("after-cut@example.com", _STARTED, _ENDED)
    assert pod.restarts() == before


def test_killed_sidecar_comes_back_and_ends_what_it_left_open(pod: RadarPod, hub: NodeHub) -> None:
    before = pod.restarts()
    with held_terminals(pod, hub, "left-open") as held:
        pod.kill_sidecar()
        for program in held.values():
            assert program.wait(30) == 0
    eventually(lambda: pod.restarts() == before + 1, 60)
    for user in held:
        rows = hub.await_rows(user, _STARTED, _ENDED)
        assert rows[1]["metadata"]["end_reason"] == "collector_restart"
        assert rows[1]["metadata"]["observed"] is False
    eventually(lambda: bool(pod.container(SIDECAR)["started"]), 60)
    seen = pod.client("terminal", "after-kill@example.com", GROUPS, "app", "0.2")
    assert (seen["status"], seen["shell"]) == (101, True)
    hub.await_rows("after-kill@example.com", _STARTED, _ENDED)
