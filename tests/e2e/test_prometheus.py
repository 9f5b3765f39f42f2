"""Guards that a real Prometheus gets from real parts what the dashboard and the alerts ask for.

Hub, gateway, a collector that reads the API server's log, and the operator are scraped on a real
cluster while somebody opens a terminal, the hub tells a receiver of it, and an admin applies an
AuditPolicy. The operator's hub is its stand-in, which speaks TLS. The alerts are the chart's,
unchanged: as minutes of theirs would be long, none may be even pending where all is well.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.chart.monitoring import board
from tests.chart.monitoring.promtool import ALERTS, run
from tests.cluster.machine import MachineCluster
from tests.e2e.figures import Figures
from tests.e2e.node_hub import ORG, NodeHub, ask, eventually
from tests.e2e.node_prometheus import NodePrometheus, running_prometheus
from tests.e2e.notice_receiver import RECEIVER_PORT
from tests.e2e.notice_world import RECEIVER, running_receiver
from tests.e2e.operator_process import OWN, PROBES_ADDRESS, NodeOperator, running_operator
from tests.e2e.radar_pod import GROUPS, PROBES_PORT, RadarPod
from tests.support.crd_cases import API_VERSION

pytestmark = pytest.mark.timeout(600)
USER = "watched@example.com"
_QUIET_SECONDS = 60
_LOG_PROBES = "127.0.0.1:19281"
# What nothing can be shown of here, and why.
EMPTY = {
    "Outgoing work A": "no mail and no call to another service is due",
}


@dataclass(frozen=True)
class Watched:
    """All parts, and who watches them."""

    prometheus: NodePrometheus
    operator: NodeOperator
    pod: RadarPod
    hub: NodeHub
    targets: dict[str, tuple[str, str]]


@pytest.fixture(scope="module")
def watched(
    radar_cluster: MachineCluster,
    hub: NodeHub,
    pod: RadarPod,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("watched")
    targets = {
        "hub": ("radar-audit", hub.probes_address),
        "gateway": ("radar", f"{pod.status()['podIP']}:{PROBES_PORT}"),
        "collector": ("radar-audit", _LOG_PROBES),
        "operator": ("radar-audit", PROBES_ADDRESS),
    }
    environ = {"RADAR_AUDIT_OPERATOR_GATEWAY_CONTAINER": pod.sidecar_container}
    with (
        told_by_the_hub(hub, folder),
        log_collector(radar_cluster, hub, folder),
        running_operator(radar_cluster, folder, environ) as operator,
        running_prometheus(radar_cluster, folder, targets) as prometheus,
    ):
        yield Watched(prometheus, operator, pod, hub, targets)


@contextlib.contextmanager
def told_by_the_hub(hub: NodeHub, folder: Path) -> Iterator[None]:
    """Have the hub tell a receiver of each terminal for the length of the block."""
    url = RECEIVER.format(port=RECEIVER_PORT, name="slack")
    rule = {"name": "terminals", "actions": ["pod.exec_started"], "destinations": ["chat"]}
    alerts = {"destinations": [{"name": "chat", "slack": {"url": url}}], "rules": [rule]}
    with running_receiver(hub.cluster, hub, folder):
        hub.put_policy({"notifications": alerts})
        try:
            yield
        finally:
            hub.put_policy({})


@contextlib.contextmanager
def log_collector(cluster: MachineCluster, hub: NodeHub, folder: Path) -> Iterator[None]:
    """Run a collector on the API server's log for the length of the block."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("RADAR_AUDIT_")}
    settings = {
        "HUB_URL": hub.url,
        "TOKEN": hub.cluster_token,
        "DATA_DIR": str(folder / "collector"),
        "LOGFILE_PATH": str(cluster.audit_log()),
        "PROBES_LISTEN": _LOG_PROBES,
        "HEARTBEAT_SECONDS": "2",
    }
    environ |= {f"RADAR_AUDIT_COLLECTOR_{name}": value for name, value in settings.items()}
    command = cluster.in_network([sys.executable, "-m", "radar_audit_collector", "run"])
    with (folder / "collector.log").open("ab") as log:
        process = subprocess.Popen(command, env=environ, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def used(watched: Watched) -> Watched:
    """The same after a day in small: a terminal, a policy, a look at the log and an export."""
    eventually(lambda: watched.prometheus.jobs_up() == set(watched.targets))
    seen = watched.pod.client("terminal", USER, GROUPS, "app", "1.0")
    assert seen["status"] == 101
    people = {"name": "ops", "email": {"to": ["ops@example.com"]}}
    rule = {"name": "shells", "query": "namespace:prod", "destinations": ["ops"]}
    spec = {
        "hubRef": {"name": "main"},
        "retention": {"maxAge": "30d"},
        "notifications": {"destinations": [people], "rules": [rule]},
    }
    meta = {"name": "watched", "namespace": OWN}
    watched.operator.apply(
        {"apiVersion": API_VERSION, "kind": "AuditPolicy", "metadata": meta, "spec": spec}
    )
    watched.operator.until_says("watched", "True/Synced")
    watched.hub.await_rows(USER, "pod.exec_started", "pod.exec_ended")
    for below in ("/facets", "/follow?after_seq=0", "?format=csv"):
        url = f"{watched.hub.url}/api/orgs/{ORG}/audit{below}"
        ask(watched.hub.cluster, url, watched.hub.pat)
    return watched


def test_every_part_is_scraped_and_promtool_has_nothing_to_say(watched: Watched) -> None:
    eventually(lambda: watched.prometheus.jobs_up() == set(watched.targets))
    components = watched.prometheus.query("count by (component) (radar_audit_build_info)")
    told = {each["metric"]["component"]: each["value"][1] for each in components}
    assert told == {"hub": "1", "collector": "2", "operator": "1"}
    for job, (_, address) in watched.targets.items():
        text = ask(watched.hub.cluster, f"http://{address}/metrics")
        done = run("check", "metrics", stdin=text)
        assert (done.returncode, done.stdout + done.stderr) == (0, ""), job


def test_every_query_of_the_dashboard_returns_data(used: Watched, figures: Figures) -> None:
    queries = {str(query): query.expression for query in board.queries("1m")}
    assert set(EMPTY) <= set(queries)

    def without_data() -> set[str]:
        return {name for name, text in queries.items() if not used.prometheus.query(text)}

    # Tests before this one may have given the same hub more to show.
    eventually(lambda: without_data() <= set(EMPTY))
    figures.note(f"dashboard: {len(queries)} queries, of which {len(EMPTY)} can have no data here")


def test_figures_are_those_of_what_was_done(used: Watched) -> None:
    value = used.prometheus.value
    told = 'radar_audit_hub_delivery_attempts_total{channel="slack", result="delivered"}'
    eventually(lambda: value(told) >= 1)
    eventually(lambda: value('radar_audit_hub_delivery_lag_seconds_count{channel="slack"}') >= 1)
    captured = 'radar_audit_collector_events_total{job="gateway", action="pod.exec_ended"}'
    eventually(lambda: value(captured) >= 1)
    eventually(lambda: value('radar_audit_hub_ingest_events_total{result="accepted"}') >= 2)
    eventually(lambda: value("radar_audit_hub_ingest_lag_seconds_count") >= 1)
    eventually(lambda: value('sum(radar_audit_hub_export_rows_total{format="csv"})') >= 2)
    ready = 'sum(radar_audit_operator_policies{status="True", reason="Synced"})'
    eventually(lambda: value(ready) == 1)
    eventually(lambda: value("radar_audit_operator_radar_pods") == 1)
    assert value("radar_audit_operator_radar_pods_without_gateway") == 0


def test_no_label_tells_who_did_what_where(used: Watched) -> None:
    series = used.prometheus.get("series", **{"match[]": '{__name__=~"radar_audit_.*"}'})
    assert len(series) > 200
    values = {text for each in series for name, text in each.items() if name != "__name__"}
    assert not values & {
        USER,
        ORG,
        "web",
        "demo",
        "app",
        "ops@example.com",
        "watched",
        "main",
        "chat",
    }
    ids = [text for text in values if text.startswith(("org_", "cl_"))]
    assert not set(ids) - {"org_mismatch"}  # a reason, see the collector's classify.py
    assert not [text for text in values if "@" in text]


def test_no_alert_stirs_where_all_is_well_and_one_does_where_it_is_not(used: Watched) -> None:
    names = {file.stem for file in ALERTS.glob("*.yaml")}
    watched_seconds = 'sum(count_over_time(up{job="operator"}[10m]))'  # a sample is a second
    eventually(lambda: used.prometheus.value(watched_seconds) >= _QUIET_SECONDS, 180)
    eventually(lambda: used.prometheus.alerts() == dict.fromkeys(names, "inactive"))
    used.hub.stop()
    try:
        eventually(lambda: used.prometheus.alerts()["HubDown"] == "pending")
        others = {k: v for k, v in used.prometheus.alerts().items() if v != "inactive"}
        assert set(others) == {"HubDown"}
    finally:
        used.hub.start()
    eventually(lambda: set(used.prometheus.alerts().values()) == {"inactive"})
    # From the first scrape on, also while nothing was asked.
    assert used.prometheus.query('last_over_time(ALERTS{alertstate="firing"}[10m])') == []
