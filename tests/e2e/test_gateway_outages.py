"""Guards what Radar and the hub notice of a hub that is away, a full disk, and a pod that goes."""

from __future__ import annotations

import json

import pytest

from tests.cluster.images import BUSYBOX_IMAGE
from tests.cluster.machine import MachineCluster
from tests.cluster.terminal import terminal
from tests.e2e.node_hub import NodeHub, Row, eventually
from tests.e2e.radar_pod import GROUPS, MakePod, RadarPod, Variant
from tests.e2e.terminals import conversation, following, held_terminal

pytestmark = pytest.mark.timeout(300)
_STARTED, _ENDED = "pod.exec_started", "pod.exec_ended"
# An end is stamped when it comes, not when it can be stored; test_gateway asks for 100 ms.
_CLOCK_SECONDS = 1.0
_CONFIGMAPS = "/api/v1/namespaces/demo/configmaps"
# A disk of its own that can be filled: Kubernetes gives a size to one in memory only.
_ENOUGH = 40  # terminals: more than fit into what the spool has on its disk already
_SMALL_DISK = "{medium: Memory, sizeLimit: 24Mi}"
_REFUSED = {"status": 503, "kind": "Status", "code": 503, "reason": "ServiceUnavailable"}


def check_duration(ended: Row, client_seconds: float) -> None:
    assert abs(ended["metadata"]["duration_ms"] / 1000 - client_seconds) < _CLOCK_SECONDS


def test_hub_away_changes_nothing_for_radar_and_loses_and_doubles_nothing(
    pod: RadarPod, hub: NodeHub
) -> None:
    users = [f"{word}@example.com" for word in ("before", "during", "within", "after")]
    before, during, within, after = users
    with conversation(pod, before) as early, conversation(pod, during) as late:
        eventually(lambda: len(hub.rows_of(before)) == 1)
        hub.stop()
        try:
            early.type()
            lasted = {before: early.leave()}
            seen = pod.client("terminal", within, GROUPS, "app", "0.5")
            assert (seen["status"], seen["shell"]) == (101, True)
            lasted[within] = seen["seconds"]
            assert pod.client("fetch", _CONFIGMAPS)["status"] == 200
            with conversation(pod, after) as last:
                eventually(lambda: pod.counted('heartbeats_total{result="connect"}') > 0)
                hub.start()
                last.type()
                lasted[after] = last.leave()
        finally:
            hub.start()
        late.type()
        lasted[during] = late.leave()
    for user in users:
        rows = hub.await_rows(user, _STARTED, _ENDED)
        assert rows[1]["metadata"]["end_reason"] == "client_closed"
        check_duration(rows[1], lasted[user])
    lost = {k: v for k, v in pod.metrics().items() if k.startswith("events_lost")}
    assert lost
    assert not any(lost.values())


def test_full_disk_changes_nothing_for_radar(make_pod: MakePod, hub: NodeHub) -> None:
    before, behind = "open-before@example.com", "open-behind@example.com"
    lasted: dict[str, float] = {}

    def open_another(pod: RadarPod) -> None:
        user = f"while-full-{len(lasted)}@example.com"
        seen = pod.client("terminal", user, GROUPS, "app", "0.2")
        assert (seen["status"], seen["shell"]) == (101, True)
        lasted[user] = seen["seconds"]

    with make_pod(Variant("radar-small", "open", _SMALL_DISK)) as pod:
        eventually(pod.is_writable)
        with conversation(pod, before) as early, conversation(pod, behind) as late:
            with pod.full_disk():
                early.type()
                lasted[before] = early.leave()
                while pod.is_writable():  # what the spool's files have room for is still written
                    assert len(lasted) < _ENOUGH
                    open_another(pod)
                open_another(pod)
                assert pod.client("fetch", _CONFIGMAPS)["status"] == 200
                late.type()
            eventually(pod.is_writable)
            late.type()
            lasted[behind] = late.leave()
        for user, seconds in lasted.items():
            check_duration(hub.await_rows(user, _STARTED, _ENDED)[1], seconds)
        eventually(lambda: pod.counted("starts_unconfirmed_total") > 0)
        assert pod.counted("starts_refused_total") == 0


def test_required_refuses_what_cannot_be_recorded_and_nothing_else(
    make_pod: MakePod, hub: NodeHub, radar_cluster: MachineCluster
) -> None:
    refused = {how: f"refused-{how}@example.com" for how in ("websocket", "spdy")}
    with make_pod(Variant("radar-required", "required", _SMALL_DISK)) as pod:
        eventually(pod.is_writable)
        watch = pod.kubectl("get", "--raw", f"{_CONFIGMAPS}?watch=1")
        with following(watch) as watched, conversation(pod, "let-in@example.com") as shell:
            with pod.full_disk():
                for how, user in refused.items():
                    assert pod.client("refused", user, GROUPS, "web", "app", how) == _REFUSED
                    assert user not in radar_cluster.audit_log().read_text()
                shell.type()  # what was open before goes on
                plain = pod.client("terminal", "plain@example.com", GROUPS, "app", "0.2", "plain")
                assert plain["status"] == 101
                assert pod.client("fetch", _CONFIGMAPS)["status"] == 200
                name = "made-while-full"
                radar_cluster.kubectl("-n", "demo", "create", "configmap", name)
                while json.loads(watched.readline())["object"]["metadata"]["name"] != name:
                    pass
                eventually(lambda: pod.counted("starts_refused_total") == len(refused))
            eventually(pod.is_writable)
            seen = pod.client("terminal", "let-in-again@example.com", GROUPS, "app", "0.5")
            assert (seen["status"], seen["shell"]) == (101, True)
        for user in ("let-in@example.com", "let-in-again@example.com"):
            hub.await_rows(user, _STARTED, _ENDED)
        for user in refused.values():
            hub.await_rows(user)


@pytest.mark.parametrize("how", ["websocket", "spdy"])
def test_deleted_pod_of_radar_has_ended_its_terminals(
    make_pod: MakePod, hub: NodeHub, how: str
) -> None:
    user = f"{how}-when-deleted@example.com"
    with make_pod(Variant(f"radar-{how}")) as pod, held_terminal(pod, user, how):
        eventually(lambda: len(hub.rows_of(user)) == 1)
        pod.delete()
        rows = hub.await_rows(user, _STARTED, _ENDED)
    # Radar's own process goes first, and the kernel closes its connections.
    assert rows[1]["metadata"]["end_reason"] in ("client_closed", "error", "collector_shutdown")
    assert rows[1]["metadata"]["observed"] is True


@pytest.mark.parametrize("websockets", [True, False])
def test_terminal_ends_once_with_the_pod_that_it_is_in(
    pod: RadarPod, hub: NodeHub, radar_cluster: MachineCluster, websockets: bool
) -> None:
    target = f"brief-{websockets}".lower()
    user = f"{target}@example.com"
    manifest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": target, "namespace": "demo"},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [{"name": "app", "image": BUSYBOX_IMAGE, "command": ["sleep", "3600"]}],
        },
    }
    radar_cluster.kubectl("create", "-f", "-", stdin=json.dumps(manifest))
    ready = ["wait", "--for=condition=Ready", f"pod/{target}", "--timeout=60s"]
    radar_cluster.kubectl("-n", "demo", *ready, timeout_seconds=70)
    person = [f"--as={user}", *(f"--as-group={group}" for group in GROUPS.split(","))]
    words = [*person, "-n", "demo", "exec", "-it", target, "-c", "app", "--", "sh"]
    with terminal(pod.kubectl(*words, websockets=websockets)) as shell:
        shell.expect("#")
        eventually(lambda: len(hub.rows_of(user)) == 1)
        radar_cluster.kubectl("-n", "demo", "delete", "pod", target, timeout_seconds=60)
        assert shell.wait() != 0
    rows = hub.await_rows(user, _STARTED, _ENDED)
    assert rows[1]["metadata"]["pod"] == target
    assert rows[1]["metadata"]["end_reason"] in ("server_closed", "client_closed")
    assert rows[1]["metadata"]["observed"] is True
