"""`doctor`: what is wrong is named with what would be right, and each check stands by itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from radar_audit_cli.doctor import kubectl as kubectl_module
from radar_audit_cli.doctor.hub_api import heartbeats
from radar_audit_cli.doctor.kubectl import Kubectl, KubectlError
from radar_audit_cli.doctor.objects import image_version

from tests.cli import kubectl_stand_in as answers
from tests.cli.conftest import Cli
from tests.cli.kubectl_stand_in import FORBIDDEN, KubectlStandIn, audithub, metrics, told

World = dict[tuple[str, ...], Any]


def test_a_radar_that_is_well_has_nothing_but_ok(kubectl: KubectlStandIn, cli: Cli) -> None:
    kubectl.install()
    code, found = told(cli)
    assert code == 0
    of_hub = {"hub-api", "heartbeat"}  # no hub is named here
    assert {check: row for check, row in found.items() if row[0] != "ok"}.keys() == of_hub
    assert all(found[check][0] == "unknown" for check in of_hub)
    assert "context add" in found["hub-api"][1]
    assert len(found) == 15


def test_a_gateway_that_has_just_started_gets_a_moment(kubectl: KubectlStandIn, cli: Cli) -> None:
    good = kubectl.world[answers.METRICS]
    kubectl.world[answers.METRICS] = metrics(connections=0, heartbeats=0)
    kubectl.install()
    kubectl.answer_later(answers.METRICS, good)
    code, found = told(cli, "--wait", "60")
    assert (code, found["calls-pass"][0], found["hub-from-gateway"][0]) == (0, "ok", "ok")
    assert kubectl.times_asked(answers.METRICS) == 2


def test_context_and_kubeconfig_are_passed_on(kubectl: KubectlStandIn, cli: Cli) -> None:
    kubectl.install()
    told(cli, "--kube-context", "prod", "--kubeconfig", "/etc/kube config")
    assert {"--context=prod", "--kubeconfig=/etc/kube config"} <= set(kubectl.options())


def _pod(world: World) -> Any:
    return world[answers.PODS]["items"][0]


def _template(world: World) -> Any:
    return world[answers.DEPLOYMENTS]["items"][0]["spec"]["template"]["spec"]


def _no_gateway(world: World) -> None:
    del _pod(world)["spec"]["initContainers"]


def _ordinary_init_container(world: World) -> None:
    del _pod(world)["spec"]["initContainers"][0]["restartPolicy"]


def _env_gone(world: World) -> None:
    _pod(world)["spec"]["containers"][0]["env"] = []


def _no_pod(world: World) -> None:
    world[answers.PODS]["items"] = []


def _only_ended_pods(world: World) -> None:
    _pod(world)["status"]["phase"] = "Succeeded"


def _crash_loop(world: World) -> None:
    state = {"waiting": {"reason": "CrashLoopBackOff"}}
    _pod(world)["status"]["initContainerStatuses"][0] |= {"state": state, "started": False}


def _often_restarted(world: World) -> None:
    _pod(world)["status"]["initContainerStatuses"][0]["restartCount"] = 7


def _values_lost(world: World) -> None:
    spec = _template(world)
    spec["volumes"] = [v for v in spec["volumes"] if v["name"] != "radar-audit-token"]


def _template_without_gateway(world: World) -> None:
    _template(world)["initContainers"] = []


def _mount_lost(world: World) -> None:
    _template(world)["containers"][0]["volumeMounts"] = []


def _no_exec(world: World) -> None:
    world[answers.ROLES]["items"][0]["rules"][0]["resources"] = ["pods/log"]


def _not_restricted(world: World) -> None:
    del _template(world)["initContainers"][0]["securityContext"]["seccompProfile"]


def _no_crd(world: World) -> None:
    del world[answers.CRDS]["items"][1]


def _crd_not_served(world: World) -> None:
    world[answers.CRDS]["items"][0]["status"] = {}


def _no_operator(world: World) -> None:
    del world[answers.OUR_DEPLOYMENTS]["items"][1]


def _hub_not_ready(world: World) -> None:
    world[answers.OUR_DEPLOYMENTS]["items"][0]["status"] = {}


def _hub_scaled_down(world: World) -> None:
    world[answers.OUR_DEPLOYMENTS]["items"][0]["spec"]["replicas"] = 0


def _audithub_not_ready(world: World) -> None:
    world[answers.AUDITHUBS]["items"] = [audithub("False", "TokenRefused", "the hub says 401")]


def _audithub_unseen(world: World) -> None:
    world[answers.AUDITHUBS]["items"] = [{"metadata": {"name": "main"}}]


def _old_gateway(world: World) -> None:
    _pod(world)["spec"]["initContainers"][0]["image"] = "r.example.com:5000/collector:0.0.9"


def _old_kubernetes(world: World) -> None:
    world[answers.VERSION]["serverVersion"] |= {"minor": "28+"}


def _figures(**facts: Any) -> Callable[[World], None]:
    def change(world: World) -> None:
        world[answers.METRICS] = metrics(**facts)

    return change


# Each group is of faults in different things, which are told at once.
_FAULTS: list[list[tuple[Callable[[World], None], str, str, str]]] = [
    [
        (_no_gateway, "gateway-present", "fail", "no gateway in radar-0"),
        (_values_lost, "radar-values", "fail", "the volume radar-audit-token"),
        (_no_exec, "pod-exec", "warn", "rbac.podExec"),
        (_no_crd, "crds", "fail", "auditpolicies.audit.radarhq.io is not installed"),
        (_no_operator, "operator", "warn", "no operator in the namespace radar-audit"),
        (_hub_not_ready, "hub", "fail", "0 of 1 pods of radar-audit-hub are ready"),
        (_audithub_not_ready, "audithubs", "fail", "TokenRefused, the hub says 401"),
    ],
    [
        (_ordinary_init_container, "gateway-present", "fail", "no gateway in radar-0"),
        (_template_without_gateway, "radar-values", "fail", "init container radar-audit"),
        (_crd_not_served, "crds", "fail", "not established"),
        (_hub_scaled_down, "hub", "fail", "scaled to 0"),
        (_audithub_unseen, "audithubs", "fail", "has not looked at"),
    ],
    [
        (_env_gone, "gateway-present", "fail", "KUBERNETES_SERVICE_HOST"),
        (_figures(connections=0), "calls-pass", "fail", "no connection through the gateway"),
        (_mount_lost, "radar-values", "fail", "the mount at /var/run/secrets"),
    ],
    [
        (_no_pod, "gateway-present", "fail", "--radar-selector"),
        (_not_restricted, "pod-security", "fail", "seccompProfile"),
    ],
    [
        (_only_ended_pods, "gateway-present", "fail", "--radar-selector"),
    ],
    [
        (_no_gateway, "gateway-ready", "unknown", "no gateway"),
    ],
    [
        (_crash_loop, "gateway-ready", "fail", "CrashLoopBackOff"),
        (_figures(reachable=False), "calls-pass", "fail", "does not reach the API server"),
    ],
    [
        (_often_restarted, "gateway-ready", "warn", "restarted often"),
        (_figures(refused=True), "hub-from-gateway", "fail", "refuses the token"),
    ],
    [
        (_no_gateway, "calls-pass", "unknown", "no gateway"),
    ],
    [
        (_figures(heartbeats=0), "hub-from-gateway", "fail", "has never reached the hub"),
        (_old_gateway, "versions", "warn", "0.0.9: gateway"),
    ],
]


@pytest.mark.parametrize("faults", _FAULTS)
def test_what_is_wrong_is_named_and_nothing_else_is_blamed(
    kubectl: KubectlStandIn,
    cli: Cli,
    faults: list[tuple[Callable[[World], None], str, str, str]],
) -> None:
    for change, _, _, _ in faults:
        change(kubectl.world)
    kubectl.install()
    code, found = told(cli)
    for _, check, state, sentence in faults:
        assert found[check][0] == state
        assert sentence in found[check][1]
    assert code == (1 if any(row[0] == "fail" for row in found.values()) else 0)
    assert found["cluster"][0] == "ok"


def test_an_old_cluster_is_told(kubectl: KubectlStandIn, cli: Cli) -> None:
    _old_kubernetes(kubectl.world)
    kubectl.install()
    code, found = told(cli)
    assert code == 1
    assert "needs Kubernetes 1.29" in found["cluster"][1]
    assert found["gateway-present"][0] == "ok"


def test_a_right_that_is_lacking_is_named_and_is_no_failure(
    kubectl: KubectlStandIn, cli: Cli
) -> None:
    kubectl.install()
    kubectl.refuse(answers.METRICS, FORBIDDEN.format(what="pods/proxy", verb="get"))
    kubectl.refuse(
        answers.ROLES,
        "Error from server (Forbidden): clusterroles.rbac.authorization.k8s.io is forbidden: User "
        '"bob" cannot list resource "clusterroles" in API group "rbac.authorization.k8s.io" at '
        "the cluster scope\n",
    )
    code, found = told(cli)
    assert code == 0
    for check in ("calls-pass", "hub-from-gateway"):
        assert found[check][0] == "unknown"
        assert "may not get pods/proxy in the namespace radar" in found[check][1]
    assert found["pod-exec"] == (
        "unknown",
        "you may not list clusterroles; ask for that right to see more",
    )
    assert found["gateway-present"][0] == "ok"


def test_a_cluster_that_is_away_is_a_failure_and_the_hub_is_asked_all_the_same(
    kubectl: KubectlStandIn, cli: Cli
) -> None:
    kubectl.install()
    kubectl.refuse(
        answers.VERSION, "The connection to the server 10.0.0.1:6443 was refused - did you ...\n"
    )
    code, found = told(cli)
    assert code == 1
    assert "cannot be reached" in found["cluster"][1]
    assert "hub-api" in found


def test_without_kubectl_it_is_told(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    code, found = told(cli)
    assert code == 1
    assert "kubectl is not installed" in found["cluster"][1]


def test_each_form_is_written(kubectl: KubectlStandIn, cli: Cli) -> None:
    kubectl.install()
    table = cli("doctor").out.splitlines()
    assert table[0].split() == ["STATE", "CHECK", "MESSAGE"]
    assert table[1].startswith("ok")
    assert cli("doctor", "-o", "name").out.splitlines()[0] == "cluster"


def _program(folder: Path, text: str) -> str:
    program = folder / "fake"
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)
    return str(program)


def test_a_kubectl_that_hangs_is_ended_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubectl_module, "_MARGIN_SECONDS", 0.1)
    hanging = Kubectl(timeout_seconds=0.1, program=_program(tmp_path, "sleep 300 & wait"))
    with pytest.raises(KubectlError, match="no answer within") as raised:
        hanging.version()
    assert raised.value.cause == "away"


def test_what_is_read_of_kubectl_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubectl_module, "MAX_ANSWER_BYTES", 1000)
    talking = Kubectl(program=_program(tmp_path, "exec yes"))
    with pytest.raises(KubectlError, match="more than 1000 bytes"):
        talking.version()


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ('error: the server doesn\'t have a resource type "audithubs"', "no_kind"),
        ('Error from server (NotFound): namespaces "radar" not found', "not_found"),
        ("Unable to connect to the server: dial tcp: i/o timeout", "away"),
        ('error: context "x" does not exist', "other"),
        ("", "other"),
    ],
)
def test_errors_of_kubectl_are_told_apart(tmp_path: Path, text: str, cause: str) -> None:
    (tmp_path / "text").write_text(text)
    failing = Kubectl(program=_program(tmp_path, f"cat {tmp_path}/text >&2; exit 1"))
    with pytest.raises(KubectlError) as raised:
        failing.items("pods")
    assert raised.value.cause == cause


@pytest.mark.parametrize("text", ["", "no json", "[1]", '{"items": 5}'])
def test_an_answer_of_another_shape_is_no_object(tmp_path: Path, text: str) -> None:
    (tmp_path / "text").write_text(text)
    strange = Kubectl(program=_program(tmp_path, f"cat {tmp_path}/text"))
    if text.startswith("{"):
        assert strange.items("pods") == []
    else:
        with pytest.raises(KubectlError):
            strange.items("pods")


def _cluster(name: str, status: str, seen: str | None) -> dict[str, Any]:
    agent: dict[str, Any] = {"status": status, "last_seen_at": seen, "collectors": []}
    return {"id": f"cl_{name}", "name": name, "agent": agent}


def test_a_collector_that_is_not_heard_is_told_with_when_it_last_was() -> None:
    clusters = [
        _cluster("prod", "stale", "2026-11-01T10:00:00.000Z"),
        _cluster("dev", "connected", "2026-11-02T10:00:00.000Z"),
    ]
    assert [found.state for found in heartbeats(clusters, None)] == ["ok", "ok"]
    by_id = heartbeats(clusters, "cl_prod")[1]
    assert by_id.state == "fail"
    assert "2026-11-01T10:00:00.000Z" in by_id.message
    assert "no cluster test" in heartbeats(clusters, "test")[1].message
    assert heartbeats([], None)[1].state == "fail"
    assert "ever" in heartbeats([_cluster("new", "never", None)], None)[1].message


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("r.example.com:5000/collector:0.1.0", "0.1.0"),
        ("r.example.com:5000/collector", None),
        ("collector:0.1.0@sha256:" + "a" * 64, "0.1.0"),
        ("collector@sha256:" + "a" * 64, None),
        (None, None),
    ],
)
def test_the_version_of_an_image_is_its_tag(image: str | None, version: str | None) -> None:
    assert image_version(image) == version
