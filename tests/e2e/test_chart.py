"""Guards the chart on a real cluster: from `helm install` to the first event, and what follows.

The lines are typed as docs/install.md has them. The tests are one story and run in the order of the
file: each leaves the cluster as the next one needs it.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.cluster import machine
from tests.cluster.progress import Progress
from tests.cluster.versions import chosen_minor, release
from tests.e2e.chart_renderings import SETS, dry_run, render, render_umbrella
from tests.e2e.chart_world import NAMESPACE, ChartWorld, chart_world
from tests.e2e.figures import Figures
from tests.e2e.memory import memory_lines
from tests.e2e.node_hub import Row, eventually
from tests.e2e.terminals import conversation, held_terminal

pytestmark = pytest.mark.timeout(300)
HUB = "app.kubernetes.io/component=hub"
POLICY = """
apiVersion: audit.radarhq.io/v1alpha1
kind: AuditPolicy
metadata: {name: kept, namespace: radar-audit}
spec: {hubRef: {name: main}, retention: {maxAge: 30d}}
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChartWorld]:
    up = machine.up("e2e-chart", release(chosen_minor()), None, Progress())
    try:
        with chart_world(up, tmp_path_factory.mktemp("chart")) as made:
            yield made
    finally:
        up.down()


def await_actions(world: ChartWorld, actor: str, *actions: str) -> list[Row]:
    """Wait until the log says this of a person, and nothing else."""
    eventually(lambda: len(world.rows(actor)) >= len(actions))
    rows = world.rows(actor)
    assert [row["action"] for row in rows] == list(actions)
    return rows


def upgrade(world: ChartWorld) -> str:
    """Return the line that upgrades what the first line installed."""
    return world.documented()[0].replace("install", "upgrade", 1)


def terminal_that_is_tailed(world: ChartWorld, tail: str, actor: str) -> list[Row]:
    """Return what somebody sees who follows the log while a terminal is opened and left."""
    words = world.cluster.in_network([*tail.split(), "-o", "ndjson"])
    with subprocess.Popen(
        words, env=world.environ(), stdout=subprocess.PIPE, text=True
    ) as following:
        try:
            with conversation(world.radar(), actor) as terminal:
                terminal.type()
                terminal.leave()
            assert following.stdout is not None
            lines = map(json.loads, iter(following.stdout.readline, ""))
            return list(itertools.islice((e for e in lines if e["action"].startswith("pod.")), 2))
        finally:
            following.kill()


def test_five_steps_lead_from_install_to_the_first_event(
    world: ChartWorld, figures: Figures
) -> None:
    begun = time.monotonic()
    install, get_values, print_values, upgrade_radar, doctor, tail = world.documented()
    assert "radar-audit doctor" in world.type(install)
    installed = time.monotonic() - begun
    world.type(get_values)
    world.type(print_values)
    assert "initContainers" in world.type("diff before.yaml radar-values.yaml", fails=True)
    world.type(upgrade_radar)
    world.log_in()
    world.radar().client("fetch", "/api/v1/namespaces/demo/pods")  # as Radar does at its start
    with world.forwarded():
        told = json.loads(world.type(f"{doctor} -o json"))
        assert not [check for check in told["checks"] if check["state"] != "ok"]
        seen = terminal_that_is_tailed(world, tail, "first@example.com")
    assert [event["action"] for event in seen] == ["pod.exec_started", "pod.exec_ended"]
    assert {event["actor_email"] for event in seen} == {"first@example.com"}
    figures.note(
        f"chart: helm install --wait took {installed:.0f} s,"
        f" the first event was seen {time.monotonic() - begun:.0f} s after it began"
    )


def test_the_gateway_was_admitted_where_only_restricted_pods_are(world: ChartWorld) -> None:
    pod = world.radar().told()
    assert [each["name"] for each in pod["spec"]["initContainers"]] == ["radar-audit"]
    for namespace in (NAMESPACE, "radar"):
        labels = world.told("namespace", namespace)["metadata"]["labels"]
        assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
        root = f"kubectl -n {namespace} run root --image=x --dry-run=server"
        assert "violates PodSecurity" in world.type(root, fails=True)


def test_helm_test_posts_a_terminal_and_reads_it_back(world: ChartWorld) -> None:
    assert "Phase:          Succeeded" in world.type("helm test radar-audit -n radar-audit")


def test_every_container_is_measured(world: ChartWorld, figures: Figures) -> None:
    """The bars are aims (tests/e2e/memory.py): a miss is shown, not failed."""
    for line in memory_lines(world):
        figures.note(line)


def test_an_upgrade_keeps_the_log_and_the_terminals_that_are_open(world: ChartWorld) -> None:
    pod = world.radar()
    with conversation(pod, "upgraded@example.com") as terminal:
        terminal.type()
        before = world.told("-n", NAMESPACE, "pods", "-l", HUB)["items"][0]["metadata"]["uid"]
        world.type(f"{upgrade(world)} --set hub.logLevel=debug")
        after = world.told("-n", NAMESPACE, "pods", "-l", HUB)["items"]
        assert before not in {each["metadata"]["uid"] for each in after}
        terminal.type()
        terminal.leave()
    assert pod.name == world.radar().name  # nothing of Radar's was touched
    await_actions(world, "upgraded@example.com", "pod.exec_started", "pod.exec_ended")
    await_actions(world, "first@example.com", "pod.exec_started", "pod.exec_ended")


def test_a_rollback_of_radar_ends_its_terminals_and_their_ends_are_recorded(
    world: ChartWorld, figures: Figures
) -> None:
    with held_terminal(world.radar(), "rolled@example.com") as client:
        await_actions(world, "rolled@example.com", "pod.exec_started")
        world.type("helm rollback radar 1 -n radar --wait")
        assert client.wait(timeout=90) is not None
    rows = await_actions(world, "rolled@example.com", "pod.exec_started", "pod.exec_ended")
    assert rows[1]["metadata"]["observed"]
    figures.note(f"chart: a rollback ends a terminal as {rows[1]['metadata']['end_reason']}")
    assert "initContainers" not in world.radar().told()["spec"]
    assert "gateway" in world.type("radar-audit doctor", fails=True)
    world.type("helm rollback radar 2 -n radar --wait")
    with conversation(world.radar(), "again@example.com") as terminal:
        terminal.type()
        terminal.leave()
    await_actions(world, "again@example.com", "pod.exec_started", "pod.exec_ended")


def test_the_values_in_the_config_map_bring_the_gateway_too(world: ChartWorld) -> None:
    asked = "kubectl -n radar-audit get configmap radar-audit-radar-values"
    world.type(asked + " -o jsonpath='{.data.radar-values\\.yaml}' > from-the-chart.yaml")
    world.type("helm upgrade radar ./radar -n radar -f before.yaml -f from-the-chart.yaml"
        " --set rbac.podExec=true --wait")  # fmt: skip
    with conversation(world.radar(), "mapped@example.com") as terminal:
        terminal.type()
        terminal.leave()
    await_actions(world, "mapped@example.com", "pod.exec_started", "pod.exec_ended")


def test_a_pod_label_brings_the_gateway_where_the_api_server_can_do_it(world: ChartWorld) -> None:
    by_label = "--set collector.injection.mode=admissionPolicy"
    line = f"{upgrade(world)} {by_label}"
    if int(chosen_minor().partition(".")[2]) < 36:
        assert "admissionPolicy needs Kubernetes 1.36" in world.type(line, fails=True)
        return
    world.type(line)
    label = "--set-string 'podLabels.audit\\.radarhq\\.io/inject=true'"
    world.type(f"helm upgrade radar ./radar -n radar -f before.yaml {label}"
        " --set rbac.podExec=true --wait")  # fmt: skip
    template = world.told("-n", "radar", "deployment", "radar")["spec"]["template"]["spec"]
    assert "initContainers" not in template  # the pod alone has it, so no GitOps tool sees a drift
    with conversation(world.radar(), "labelled@example.com") as terminal:
        terminal.type()
        terminal.leave()
    await_actions(world, "labelled@example.com", "pod.exec_started", "pod.exec_ended")
    with world.forwarded():
        told = json.loads(world.type("radar-audit doctor -o json"))
    assert not [check for check in told["checks"] if check["state"] != "ok"]


def test_an_uninstall_keeps_the_log_and_the_custom_resources(world: ChartWorld) -> None:
    world.cluster.kubectl("apply", "-f", "-", stdin=POLICY)
    world.type("helm uninstall radar-audit -n radar-audit --wait")
    assert not world.told("-n", NAMESPACE, "deployments")["items"]
    assert world.type("kubectl -n radar-audit get auditpolicy kept -o name").strip()
    assert world.told("-n", NAMESPACE, "pvc")["items"]
    world.type(world.documented()[0])
    world.log_in()
    await_actions(world, "first@example.com", "pod.exec_started", "pod.exec_ended")


def test_an_uninstall_takes_everything_when_asked(world: ChartWorld) -> None:
    gone = "--set crds.keep=false --set hub.database.persistence.keep=false"
    world.type(f"{upgrade(world)} {gone}")
    world.type("helm uninstall radar-audit -n radar-audit --wait")
    left = world.type("kubectl get crd -o name")
    assert "audit.radarhq.io" not in left
    eventually(lambda: not world.told("-n", NAMESPACE, "pvc")["items"])
    assert not [
        each
        for kind in ("clusterroles", "clusterrolebindings")
        for each in world.told(kind, "-l", "app.kubernetes.io/part-of=radar-audit")["items"]
    ]


@pytest.mark.parametrize("values", sorted(path.stem for path in SETS.glob("*.yaml")))
def test_the_api_server_takes_what_is_rendered_of_the_kinds_that_it_serves(
    world: ChartWorld, values: str
) -> None:
    warnings = dry_run(world, render(world, values))
    # The pod that reads the node's audit log is the one that no restricted namespace takes.
    assert len(warnings) == (values == "all"), warnings
    assert all("would violate PodSecurity" in warning for warning in warnings)


def test_the_api_server_takes_the_chart_as_a_part_of_another(world: ChartWorld) -> None:
    objects = render_umbrella(world)
    assert not dry_run(world, objects)
    images = {
        container["image"]
        for each in objects
        if each["kind"] == "Deployment"
        for container in each["spec"]["template"]["spec"]["containers"]
    }
    assert images
    assert all(image.startswith("registry.example.com/") for image in images)
