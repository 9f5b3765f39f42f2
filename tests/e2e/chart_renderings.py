"""What the chart renders, held by a real API server to its schemas and admission, without effect.

Only objects of kinds that this cluster serves are judged: those of others (FOREIGN) are held to the
fields of their published schemas by tests/chart/test_foreign_kinds.py.

Owns the namespaces that a rendering names and the umbrella chart. Called by the chart's e2e tests.
"""

from __future__ import annotations

import shutil
from typing import Any

import yaml

from tests.e2e.chart_world import ROOT, ChartWorld

SETS = ROOT / "tests" / "chart" / "value_sets"
RELEASE = "audited"  # beside the release of the other tests, in a namespace of this name
# Kinds that this cluster need not serve, and no API server judges then; the policies are served
# from Kubernetes 1.36 on.
FOREIGN = {
    "Certificate", "HTTPRoute", "MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding",
    "PodMonitor", "PrometheusRule", "ServiceMonitor",
}  # fmt: skip
_DRY_RUN_SECONDS = 60.0
_PRIORITY = """
{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {name: important}, value: 1000}
"""
_UMBRELLA = """
apiVersion: v2
name: umbrella
version: 1.0.0
dependencies: [{name: radar-audit, version: "*", condition: radar-audit.enabled}]
"""


def render(world: ChartWorld, values: str) -> list[dict[str, Any]]:
    """Return the objects that a set of values in tests/chart renders."""
    # An address of this cluster's own range in the place of the set's.
    fitting = "--set collector.webhook.service.clusterIP=10.202.9.9" if values == "all" else ""
    line = f"helm template {RELEASE} ./radar-audit -n {RELEASE} -f {SETS / values}.yaml {fitting}"
    return _read(world.type(line))


def render_umbrella(world: ChartWorld) -> list[dict[str, Any]]:
    """Return the objects of a chart that has ours as a part of it."""
    folder = world.folder / "umbrella"
    shutil.copytree(ROOT / "charts" / "radar-audit", folder / "charts" / "radar-audit")
    (folder / "Chart.yaml").write_text(_UMBRELLA, encoding="utf-8")
    given = {"global": {"imageRegistry": "registry.example.com"}, "radar-audit": {"enabled": True}}
    (folder / "values.yaml").write_text(yaml.safe_dump(given), encoding="utf-8")
    return _read(world.type(f"helm template {RELEASE} ./umbrella -n {RELEASE}"))


def dry_run(world: ChartWorld, objects: list[dict[str, Any]]) -> list[str]:
    """Have the API server check objects of its kinds as if they were created; return its warnings.

    Objects of other kinds must be of FOREIGN ones, and are left out.
    ClusterError with what it says when it refuses one.
    """
    served = set()
    for line in world.cluster.kubectl("api-resources", "--no-headers").splitlines():
        words = line.split()
        served.add((words[-3], words[-1]))
    known = [each for each in objects if (each["apiVersion"], each["kind"]) in served]
    foreign = {each["kind"] for each in objects if each not in known}
    assert foreign <= FOREIGN, foreign
    assert not foreign & {kind for _, kind in served}  # as would be one of a wrong version
    named = {each["metadata"].get("namespace") for each in known} - {None}
    for name in sorted({RELEASE, *named}):
        level = "pod-security.kubernetes.io/enforce"
        meta = {"name": name, "labels": {level: "restricted"}}
        made = {"apiVersion": "v1", "kind": "Namespace", "metadata": meta}
        world.cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(made))
    # What a pod's admission looks up has to be there.
    accounts = [each for each in known if each["kind"] == "ServiceAccount"]
    world.cluster.kubectl("apply", "-f", "-", stdin=_PRIORITY)
    world.cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(accounts))
    done = world.cluster.try_kubectl(
        "apply", "--dry-run=server", "-f", "-",
        stdin=yaml.safe_dump_all(known), timeout_seconds=_DRY_RUN_SECONDS,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(done.stdout.splitlines()) == len(known)
    return [line for line in done.stderr.splitlines() if line.startswith("Warning:")]


def _read(text: str) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all(text) if each]
