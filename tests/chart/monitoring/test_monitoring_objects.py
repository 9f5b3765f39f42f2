"""Guards what the chart renders for the Prometheus operator and for Grafana."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.monitoring.board import BOARD
from tests.chart.monitoring.promtool import ALERTS, rule_of, run
from tests.cluster.tools import BUILD_SECONDS, helm_path

pytestmark = pytest.mark.timeout(BUILD_SECONDS)
CHART = Path(__file__).parents[3] / "charts" / "radar-audit"
NAMES = sorted(file.stem for file in ALERTS.glob("*.yaml"))
_KINDS = ("ServiceMonitor", "PodMonitor", "PrometheusRule")
_ALL: dict[str, Any] = {
    "metrics": {
        "renderMode": "alwaysRender",
        "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "podMonitor": {"enabled": True, "interval": "10s"},
        "prometheusRule": {"enabled": True, "runbookBaseUrl": "https://runbooks.example.com/"},
        "dashboards": {"enabled": True, "namespace": "grafana"},
    },
    "collector": {
        "webhook": {
            "enabled": True,
            "tls": {"existingSecret": "sink"},
            "token": {"existingSecret": "sink-token"},
        }
    },
}

Object = dict[str, Any]


def helm(values: Object, *words: str) -> subprocess.CompletedProcess[str]:
    command = [str(helm_path()), "template", "radar-audit", str(CHART), "-n", "radar-audit"]
    return subprocess.run(
        [*command, "-f", "-", *words],
        input=json.dumps(values), capture_output=True, text=True, check=False,
    )  # fmt: skip


def rendered(values: Object, *words: str) -> list[Object]:
    done = helm(values, *words)
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def of_kind(objects: list[Object], *kinds: str) -> list[Object]:
    return [each for each in objects if each["kind"] in kinds]


def alerts_of(objects: list[Object]) -> list[str]:
    (rule,) = of_kind(objects, "PrometheusRule")
    return [each["alert"] for group in rule["spec"]["groups"] for each in group["rules"]]


def metrics(**changes: Any) -> Object:
    """Return values that ask for everything, with changes below `metrics`."""
    return _ALL | {"metrics": _ALL["metrics"] | changes}


@pytest.fixture(scope="module")
def everything() -> list[Object]:
    return rendered(_ALL)


def test_rules_are_those_of_the_files_with_their_runbooks_elsewhere(
    everything: list[Object], tmp_path: Path
) -> None:
    (rule,) = of_kind(everything, "PrometheusRule")
    (group,) = rule["spec"]["groups"]
    assert [each["alert"] for each in group["rules"]] == NAMES
    for each in group["rules"]:
        name = each["alert"]
        assert each["annotations"].pop("runbook_url") == f"https://runbooks.example.com/{name}.md"
        expected = rule_of(name)
        del expected["annotations"]["runbook_url"]
        assert each == expected
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump(rule["spec"]))
    assert run("check", "rules", file).returncode == 0


def test_monitors_find_the_pods_and_their_ports(everything: list[Object]) -> None:
    ports = {
        workload["metadata"]["name"]: {
            port["name"]
            for container in workload["spec"]["template"]["spec"]["containers"]
            for port in container.get("ports", ())
        }
        for workload in workloads(everything)
    }
    assert set(ports) >= {"radar-audit-hub", "radar-audit-operator"}
    (service_monitor,) = of_kind(everything, "ServiceMonitor")
    (service,) = (
        each
        for each in of_kind(everything, "Service")
        if matches(service_monitor["spec"]["selector"], each["metadata"]["labels"])
    )
    assert service["metadata"]["name"] == "radar-audit-hub"
    assert service_monitor["spec"]["endpoints"][0]["targetPort"] in ports["radar-audit-hub"]
    own, gateways = of_kind(everything, "PodMonitor")
    wanted = {each["port"] for each in own["spec"]["podMetricsEndpoints"]}
    for workload in workloads(everything):
        labels, name = pod_labels(workload), workload["metadata"]["name"]
        assert matches(own["spec"]["selector"], labels) == (name != "radar-audit-hub")
        assert not matches(gateways["spec"]["selector"], labels)
        assert len(wanted & ports[name]) == 1, name


def test_gateways_are_found_by_their_port_in_the_namespaces_of_radar() -> None:
    values = _ALL | {"operator": {"radarNamespaces": ["radar-two"]}}
    objects = rendered(values)
    gateways = of_kind(objects, "PodMonitor")[1]["spec"]
    assert gateways["namespaceSelector"] == {"matchNames": ["radar", "radar-two"]}
    assert matches(gateways["selector"], {"app.kubernetes.io/name": "radar"})
    (block,) = (
        each["data"]["radar-values.yaml"]
        for each in of_kind(objects, "ConfigMap")
        if "radar-values.yaml" in each["data"]
    )
    (sidecar,) = yaml.safe_load(block)["initContainers"]
    (port,) = gateways["podMetricsEndpoints"]
    assert [each["name"] for each in sidecar["ports"]] == [port["port"]]
    assert port["interval"] == "10s"


def test_monitors_bear_the_labels_that_prometheus_selects_by(everything: list[Object]) -> None:
    (monitor,) = of_kind(everything, "ServiceMonitor")
    assert monitor["metadata"]["labels"]["release"] == "prometheus"


def test_dashboard_is_the_file_where_grafana_looks_for_it(everything: list[Object]) -> None:
    (found,) = (
        each for each in of_kind(everything, "ConfigMap") if "radar-audit.json" in each["data"]
    )
    assert found["metadata"]["namespace"] == "grafana"
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(found["data"]["radar-audit.json"]) == json.loads(BOARD.read_text())


def test_nothing_is_rendered_unasked_or_where_the_kinds_are_missing() -> None:
    objects = rendered(metrics(renderMode="skipIfMissing"))
    assert not of_kind(objects, *_KINDS)
    assert [each for each in of_kind(objects, "ConfigMap") if "radar-audit.json" in each["data"]]
    assert not of_kind(rendered({}), *_KINDS)


def test_kinds_that_the_cluster_has_are_rendered() -> None:
    api = "monitoring.coreos.com/v1/PodMonitor"
    objects = rendered(metrics(renderMode="skipIfMissing"), "--api-versions", api)
    assert {each["kind"] for each in of_kind(objects, *_KINDS)} == {"PodMonitor"}


def test_missing_kinds_are_an_error_where_that_is_asked_for() -> None:
    done = helm(metrics(renderMode="failIfMissing"))
    assert done.returncode != 0
    assert "this cluster has no monitoring.coreos.com/v1/" in done.stderr


def test_alerts_can_be_left_out_by_name() -> None:
    rule = _ALL["metrics"]["prometheusRule"] | {"exclude": ["HubDown", "IngestLag"]}
    expected = [name for name in NAMES if name not in {"HubDown", "IngestLag"}]
    assert alerts_of(rendered(metrics(prometheusRule=rule))) == expected
    done = helm(metrics(prometheusRule=rule | {"exclude": ["HubDwn"]}))
    assert done.returncode != 0
    assert alerts_of(rendered(metrics(prometheusRule=rule | {"exclude": NAMES}))) == []
    assert "no alert is named HubDwn; there are CertificateExpiring," in done.stderr


_WEBHOOK = _ALL["collector"]
_NO_GATEWAY: Object = {"injection": {"mode": "none"}}
# What is not run, and the alerts that would fire for ever.
_LAYOUTS: dict[str, tuple[Object, set[str]]] = {
    "everything": ({}, set()),
    "the-hub-is-elsewhere": (
        {
            "hub": {"enabled": False, "url": "https://audit.example.com"},
            "operator": {"enabled": False},
            "collector": {"token": {"existingSecret": "token"}},
        },
        {"HubDown", "OperatorDown"},
    ),
    "a-hub-for-other-clusters": (
        {"collector": _NO_GATEWAY}, {"CollectorSilent", "GatewayMissing"},
    ),
    "the-webhook-alone": ({"collector": _WEBHOOK | _NO_GATEWAY}, {"GatewayMissing"}),
    "the-log-alone": (
        {"collector": {"logTail": {"enabled": True}} | _NO_GATEWAY}, {"GatewayMissing"},
    ),
    "a-label": ({"collector": {"injection": {"mode": "admissionPolicy"}}}, set()),
}  # fmt: skip


@pytest.mark.parametrize("layout", _LAYOUTS)
def test_what_the_release_does_not_run_is_not_missed(layout: str) -> None:
    values, left_out = _LAYOUTS[layout]
    objects = rendered(_ALL | values)
    assert bool(of_kind(objects, "ServiceMonitor")) == ("HubDown" not in left_out)
    assert set(NAMES) - set(alerts_of(objects)) == left_out


def workloads(objects: list[Object]) -> list[Object]:
    return of_kind(objects, "Deployment", "StatefulSet", "DaemonSet")


def pod_labels(workload: Object) -> dict[str, str]:
    return dict(workload["spec"]["template"]["metadata"]["labels"])


def matches(selector: Object, labels: dict[str, str]) -> bool:
    """Tell whether a label selector takes labels; it may use NotIn besides equality."""
    equal = selector.get("matchLabels", {}).items() <= labels.items()
    others = selector.get("matchExpressions", ())
    assert all(each["operator"] == "NotIn" for each in others)
    return equal and all(labels.get(each["key"]) not in each["values"] for each in others)
