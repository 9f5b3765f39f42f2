"""Guards the operator on a real API server: what an admin does, and what a bad day does.

The hub is the stand-in; the operator has exactly the rights of its own list. Figures are shown at
the end of the run.
"""

from __future__ import annotations

import json
import random
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster import machine
from tests.cluster.progress import Progress
from tests.cluster.provider import Cluster, Component
from tests.cluster.versions import chosen_minor, release
from tests.e2e.figures import Figures
from tests.e2e.operator_process import OWN, ROOT, TEAM, NodeOperator, eventually, running_operator
from tests.support import crd_alert_cases, crd_cases
from tests.support.agent_api import CLUSTER
from tests.support.crd_cases import API_VERSION, Case

pytestmark = pytest.mark.timeout(600)
ACCEPTED = (*crd_cases.ACCEPTED, *crd_alert_cases.ACCEPTED)
REFUSED = (*crd_cases.REFUSED, *crd_alert_cases.REFUSED)
_EDITS, _KILLS, _MANY = 50, 50, 1000


@pytest.fixture(scope="module")
def operator_cluster() -> Iterator[Cluster]:
    up = machine.up("e2e-operator", release(chosen_minor()), None, Progress())
    try:
        yield up
    finally:
        up.down()


@pytest.fixture(scope="module")
def node(
    operator_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[NodeOperator]:
    folder: Path = tmp_path_factory.mktemp("operator")
    with running_operator(operator_cluster, folder) as running:
        yield running


@pytest.fixture
def admin(node: NodeOperator) -> Iterator[NodeOperator]:
    """The same, for a test that leaves policies behind: the next one begins without any."""
    yield node
    node.cluster.kubectl(
        "delete", "auditpolicy", "-A", "--all", "--wait=false", timeout_seconds=120
    )
    node.cluster.kubectl("-n", OWN, "delete", "secret", "alerts", "--ignore-not-found")
    eventually(lambda: len(node.hub()["owners"]) == 1, 120)


def policy(name: str, max_age: str = "30d", namespace: str = OWN, **spec: Any) -> dict[str, Any]:
    meta = {"name": name, "namespace": namespace}
    given = {"hubRef": {"name": "main"}, "retention": {"maxAge": max_age}, **spec}
    return {"apiVersion": API_VERSION, "kind": "AuditPolicy", "metadata": meta, "spec": given}


def owner(name: str, namespace: str = OWN) -> str:
    return f"k8s:{CLUSTER}:{namespace}:{name}"


def delete(node: NodeOperator, *names: str) -> None:
    node.cluster.kubectl("-n", OWN, "delete", "auditpolicy", *names, "--timeout=10s")


def test_kubectl_wait_get_describe_and_explain_read_well(admin: NodeOperator) -> None:
    admin.apply(policy("main"))
    waiting = ("wait", "--for=condition=Ready", "auditpolicy/main", "--timeout=30s")
    admin.cluster.kubectl("-n", OWN, *waiting)
    admin.cluster.kubectl("wait", "--for=condition=Ready", "audithub/main", "--timeout=30s")
    shown = admin.cluster.kubectl("-n", OWN, "get", "apol", "-o", "wide")
    header, row = shown.splitlines()[:2]
    assert header.split()[:6] == ["NAME", "HUB", "MODE", "RETENTION", "READY", "REASON"]
    assert row.split()[:6] == ["main", "main", "Enforce", "30d", "True", "Synced"]
    hubs = admin.cluster.kubectl("get", "ahub")
    described = admin.cluster.kubectl("-n", OWN, "describe", "apol", "main")
    assert "events are kept for 30d" in described
    explained = admin.cluster.kubectl("explain", "auditpolicy.spec.retention")
    assert "How long events are kept." in explained
    assert "<no description>" not in admin.cluster.kubectl("explain", "auditpolicy.spec")
    both = admin.cluster.kubectl("get", "radar-audit", "-A")
    assert "audithub" in both
    assert "auditpolicy" in both
    assert "org_01H8XGJWBWBAQ4" in hubs
    delete(admin, "main")
    eventually(lambda: owner("main") not in admin.hub()["owners"])


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_kubectl_apply_of_a_wrong_object_says_what_is_right(node: NodeOperator, case: Case) -> None:
    with_old(node, case, lambda said: case.says in said)


@pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: case.name)
def test_kubectl_apply_of_a_right_object_is_taken(node: NodeOperator, case: Case) -> None:
    with_old(node, case, lambda said: said == "")


def with_old(node: NodeOperator, case: Case, is_right: Any) -> None:
    """Apply a case (without an effect), over its old state if it has one."""
    new, old = json.loads(json.dumps(case.object)), json.loads(json.dumps(case.old))
    for each in filter(None, (new, old)):
        # Names of its own, so that no case meets another or the AuditHub of these tests.
        name = each["metadata"]["name"]
        each["metadata"]["name"] = name if len(name) > 60 else f"case-{name}"
        if "namespace" in each["metadata"]:
            each["metadata"]["namespace"] = TEAM
    if old is not None:
        node.apply(old)
    told = node.cluster.try_kubectl("apply", "--dry-run=server", "-f", "-", stdin=json.dumps(new))
    if old is not None:
        node.cluster.kubectl("delete", "-f", "-", stdin=json.dumps(old))
    assert is_right(told.stderr.replace('\\"', '"')), told.stderr


def test_an_edit_a_mistake_and_its_mending(admin: NodeOperator) -> None:
    admin.apply(policy("edits", "29d"))
    admin.until_says("edits", "True/Synced")

    def alerts(query: str) -> dict[str, Any]:
        rule = {"name": "shells", "query": query, "destinations": ["ops"]}
        people = {"name": "ops", "email": {"to": ["ops@example.com"]}}
        return {"destinations": [people], "rules": [rule]}

    admin.apply(policy("edits", "29d", notifications=alerts("nokey:(")))
    admin.until_says("edits", "False/InvalidQuery")
    admin.apply(policy("edits", "29d", notifications=alerts("namespace:prod")))
    admin.until_says("edits", "True/Synced")


def test_a_rotated_secret_is_sent_within_seconds(admin: NodeOperator, figures: Figures) -> None:
    def secret(url: str) -> dict[str, Any]:
        meta = {"name": "alerts", "namespace": OWN}
        return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {"url": url}}

    ref = {"urlSecretRef": {"name": "alerts", "key": "url"}}
    alerts = {
        "destinations": [{"name": "sec", "slack": ref}],
        "rules": [{"name": "all", "actions": ["*"], "destinations": ["sec"]}],
    }
    admin.apply(policy("rotates", notifications=alerts))
    admin.until_says("rotates", "False/SecretMissing")
    admin.apply(secret("https://hooks.example.com/canary-a"))
    admin.until_says("rotates", "True/Synced")
    began = time.monotonic()
    admin.apply(secret("https://hooks.example.com/canary-b"))
    eventually(lambda: "canary-b" in json.dumps(admin.hub()["secrets"][owner("rotates")]))
    figures.note(f"secret rotated: at the hub {time.monotonic() - began:.2f} s after kubectl began")
    told = json.dumps(admin.get("rotates")) + admin.log()
    told += admin.cluster.kubectl("get", "events", "-A", "-o", "yaml")
    assert "canary" not in told


def test_the_older_of_two_claims_holds_and_the_other_is_promoted(admin: NodeOperator) -> None:
    admin.apply(policy("first"))
    admin.until_says("first", "True/Synced")
    admin.apply(policy("second", "20d"))
    admin.until_says("second", "False/Conflicted")
    assert owner("first") in json.dumps(admin.get("second")["status"])
    delete(admin, "first")
    note = "audit.radarhq.io/sync-now=again"
    eventually(lambda: owner("first") not in admin.hub()["owners"])
    admin.cluster.kubectl("-n", OWN, "annotate", "auditpolicy", "second", note)
    admin.until_says("second", "True/Synced")


def test_a_granted_namespace_and_one_that_is_not(admin: NodeOperator) -> None:
    admin.apply(policy("main", namespace=TEAM))
    eventually(lambda: admin.says("main", namespace=TEAM) == "False/NotGranted")
    labels = {"matchLabels": {"team": TEAM}}
    admin.apply(admin.audit_hub(grants=[{"namespaceSelector": labels, "allow": ["Retention"]}]))
    eventually(lambda: admin.says("main", namespace=TEAM) == "True/Synced")
    admin.cluster.kubectl("delete", "namespace", TEAM, "--timeout=60s")  # nothing of ours blocks it
    eventually(lambda: owner("main", TEAM) not in admin.hub()["owners"])
    admin.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": TEAM}})


def test_a_hub_that_hangs_and_comes_back_gets_the_newest_generation_alone(
    admin: NodeOperator,
) -> None:
    admin.apply(policy("outage"))
    admin.until_says("outage", "True/Synced")
    before = admin.hub()["puts"]
    admin.break_hub(status=503)
    for days in (25, 26, 27, 28):
        admin.apply(policy("outage", f"{days}d"))
    admin.until_says("outage", "False/HubUnreachable")
    admin.break_hub()
    admin.until_says("outage", "True/Synced")
    assert admin.hub()["owners"][owner("outage")]["generation"] == 5
    assert admin.hub()["puts"] == before + 1
    admin.stop_hub()
    admin.start_hub()  # one that has forgotten everything
    eventually(lambda: owner("outage") in admin.hub()["owners"], 90)


def test_an_edit_is_in_force_within_two_seconds(admin: NodeOperator, figures: Figures) -> None:
    admin.apply(policy("latency"))
    admin.until_says("latency", "True/Synced")
    began = {}
    for number in range(_EDITS):
        generation = number + 2
        raw = policy("latency", f"{25 + number % 5}d")
        began[generation] = time.time()
        admin.apply(raw)
        time.sleep(0.05)
    eventually(lambda: f"{owner('latency')} {_EDITS + 1}" in admin.hub()["taken_at"])
    taken = admin.hub()["taken_at"]
    waits = [
        taken[f"{owner('latency')} {generation}"] - at
        for generation, at in began.items()
        if f"{owner('latency')} {generation}" in taken
    ]
    median = statistics.median(waits)
    figures.note(
        f"edits: {len(waits)} of {_EDITS}; from the start of kubectl to the hub: "
        f"median {median * 1000:.0f} ms, worst {max(waits) * 1000:.0f} ms"
    )
    assert len(waits) > _EDITS / 2
    assert median < 2.0


def test_killed_fifty_times_it_converges_and_sends_nothing_twice(
    admin: NodeOperator, figures: Figures
) -> None:
    admin.apply(policy("killed"))
    admin.until_says("killed", "True/Synced")
    accepted = admin.hub()["accepted"]
    luck = random.Random(50)
    for number in range(_KILLS):
        admin.kill()
        admin.apply(policy("killed", f"{10 + number % 20}d"))
        admin.launch_active()
        time.sleep(luck.uniform(0.0, 0.4))  # into the list, the PUT or the status
    admin.kill()
    admin.start()
    eventually(lambda: admin.get("killed")["status"]["observedGeneration"] == _KILLS + 1)
    state = admin.hub()
    assert state["owners"][owner("killed")]["generation"] == _KILLS + 1
    assert state["accepted"] - accepted <= _KILLS
    assert "finalizers" not in admin.get("killed")["metadata"]
    figures.note(
        f"killed {_KILLS} times: {state['accepted'] - accepted} generations reached the hub"
    )
    delete(admin, "killed")
    eventually(lambda: owner("killed") not in admin.hub()["owners"], 90)


def test_a_restarted_api_server_is_found_again(admin: NodeOperator, figures: Figures) -> None:
    admin.apply(policy("restart"))
    admin.until_says("restart", "True/Synced")
    admin.cluster.stop(Component.APISERVER)
    time.sleep(1)
    admin.cluster.start(Component.APISERVER)
    admin.cluster.await_ready()
    began = time.monotonic()
    admin.apply(policy("restart", "28d"))
    eventually(lambda: admin.hub()["owners"][owner("restart")]["generation"] == 2, 90)
    figures.note(
        f"API server restarted: an edit reached the hub {time.monotonic() - began:.1f} s later"
    )
    assert admin.is_running()


def test_schemas_are_upgraded_under_existing_policies(admin: NodeOperator) -> None:
    admin.apply(policy("kept"))
    admin.until_says("kept", "True/Synced")
    older = yaml.safe_load((ROOT / "crds" / "auditpolicies.yaml").read_text())
    version = older["spec"]["versions"][0]
    del version["additionalPrinterColumns"][1]
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    spec["x-kubernetes-validations"] = spec["x-kubernetes-validations"][:1]
    admin.cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(older))
    admin.apply(policy("kept", "29d"))
    admin.until_says("kept", "True/Synced")
    admin.cluster.kubectl("apply", "-f", str(ROOT / "crds"))
    admin.apply(policy("kept", "28d"))
    eventually(lambda: admin.get("kept")["status"]["observedGeneration"] == 3)
    assert admin.says("kept") == "True/Synced"
    assert admin.is_running()


def test_a_thousand_policies_converge_and_a_second_start_writes_nothing(
    admin: NodeOperator, figures: Figures
) -> None:
    admin.stop()
    many = [policy(f"p{number:04d}") for number in range(_MANY)]
    for start in range(0, _MANY, 250):
        admin.apply(*many[start : start + 250])
    puts = admin.hub()["puts"]
    admin.launch()
    began = time.monotonic()
    eventually(lambda: admin.hub()["puts"] >= puts + _MANY, 120, pause_seconds=0.5)
    at_hub = time.monotonic() - began
    told = "radar_audit_operator_cluster_writes_total"
    eventually(lambda: admin.metric(told) >= _MANY, 120)
    written = time.monotonic() - began
    inside = admin.metric("radar_audit_operator_edit_to_synced_seconds_sum")
    figures.note(
        f"{_MANY} policies from the start of the process: at the hub {at_hub:.1f} s, all "
        f"statuses {written:.1f} s (mean from list to status {inside / _MANY:.2f} s); "
        f"RSS {admin.rss_mib():.0f} MiB"
    )
    assert admin.rss_mib() < 120
    admin.stop()
    admin.start()
    eventually(lambda: admin.hub()["puts"] >= puts + 2 * _MANY, 120)
    eventually(lambda: admin.metric("radar_audit_operator_queue_depth") == 0)
    statuses = admin.metric(told)
    figures.note(f"second start: {statuses:.0f} writes, RSS {admin.rss_mib():.0f} MiB")
    assert statuses <= 5  # the AuditHub's own, not one per policy
