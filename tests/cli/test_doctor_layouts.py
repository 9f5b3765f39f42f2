"""`doctor` where Radar's Deployment has no gateway by design: put in by a label, or not needed."""

from __future__ import annotations

from typing import Any

from tests.cli import kubectl_stand_in as answers
from tests.cli.conftest import Cli
from tests.cli.kubectl_stand_in import FORBIDDEN, KubectlStandIn, told

World = dict[tuple[str, ...], Any]


def _pod(world: World) -> Any:
    return world[answers.PODS]["items"][0]


def _template(world: World) -> Any:
    return world[answers.DEPLOYMENTS]["items"][0]["spec"]["template"]["spec"]


def _injected(world: World, label: str = "audit.radarhq.io/inject") -> None:
    """The API server puts the gateway into pods: Radar's Deployment has a label, and no more."""
    spec = _template(world)
    for name in ("initContainers", "volumes"):
        del spec[name]
    spec["containers"][0] = {"name": "radar", "image": spec["containers"][0]["image"]}
    template = world[answers.DEPLOYMENTS]["items"][0]["spec"]["template"]
    template["metadata"] = {"labels": {"app.kubernetes.io/name": "radar", label: "true"}}


def test_a_gateway_that_the_api_server_put_in_is_well(kubectl: KubectlStandIn, cli: Cli) -> None:
    _injected(kubectl.world)
    kubectl.install()
    code, found = told(cli)
    assert code == 0
    assert {check for check, row in found.items() if row[0] != "ok"} == {"hub-api", "heartbeat"}
    assert "the API server puts the gateway into the pods of radar" in found["radar-values"][1]
    assert "the gateway fits the restricted level" in found["pod-security"][1]


def test_another_label_is_believed_where_a_policy_of_ours_acts_on_it(
    kubectl: KubectlStandIn, cli: Cli
) -> None:
    _injected(kubectl.world, "acme.example/audit")
    kubectl.install()
    assert told(cli)[1]["radar-values"][0] == "fail"
    kubectl.world[answers.POLICIES] = answers.injecting("acme.example/audit")
    kubectl.install()
    assert told(cli)[1]["radar-values"][0] == "ok"


def test_a_label_without_the_gateway_in_the_pods_is_told(kubectl: KubectlStandIn, cli: Cli) -> None:
    _injected(kubectl.world)
    del _pod(kubectl.world)["spec"]["initContainers"]
    kubectl.install()
    code, found = told(cli)
    assert (code, found["radar-values"][0]) == (1, "fail")
    assert "put none into radar-0" in found["radar-values"][1]
    assert found["pod-security"] == ("unknown", "there is no gateway to look at")


def test_a_gateway_that_was_put_in_is_held_to_the_namespaces_level(
    kubectl: KubectlStandIn, cli: Cli
) -> None:
    _injected(kubectl.world)
    del _pod(kubectl.world)["spec"]["initContainers"][0]["securityContext"]["capabilities"]
    kubectl.install()
    state, sentence = told(cli)[1]["pod-security"]
    assert state == "fail"
    assert "the gateway of radar-0 breaks by capabilities" in sentence


def _audit_is_the_source(world: World, ready: int = 1) -> None:
    for spec in (_pod(world)["spec"], _template(world)):
        del spec["initContainers"]
    world[answers.SOURCES] = answers.log_reader(ready)


def test_without_a_gateway_the_api_servers_audit_is_enough(
    kubectl: KubectlStandIn, cli: Cli
) -> None:
    _audit_is_the_source(kubectl.world)
    kubectl.install()
    code, found = told(cli)
    assert code == 0
    state, sentence = found["gateway-present"]
    assert state == "warn"
    assert "by audit-log/radar-audit-collector-log" in sentence
    assert "unrecorded" not in sentence
    assert found["radar-values"][0] == "ok"


def test_a_reader_of_the_audit_that_is_not_ready_is_not_enough(
    kubectl: KubectlStandIn, cli: Cli
) -> None:
    _audit_is_the_source(kubectl.world, ready=0)
    kubectl.install()
    code, found = told(cli)
    assert (code, found["gateway-present"][0], found["radar-values"][0]) == (1, "fail", "fail")
    assert "audit-log/radar-audit-collector-log, which would read" in found["gateway-present"][1]


def test_who_may_not_look_everywhere_sees_the_readers_of_our_namespace(
    kubectl: KubectlStandIn, cli: Cli
) -> None:
    _audit_is_the_source(kubectl.world)
    kubectl.world[answers.SOURCES_HERE] = kubectl.world.pop(answers.SOURCES)
    kubectl.install()
    kubectl.refuse(answers.SOURCES, FORBIDDEN.format(what="daemonsets", verb="list"))
    assert told(cli)[1]["gateway-present"][0] == "warn"
