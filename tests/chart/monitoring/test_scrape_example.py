"""Guards the scrape configuration of docs/operations.md: Prometheus takes it, it finds our pods.

Debian's Prometheus is built without Kubernetes discovery, so what that would find is played here.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.monitoring.promtool import run

PAGE = Path(__file__).parents[3] / "docs" / "operations.md"
_PART_OF = "__meta_kubernetes_pod_label_app_kubernetes_io_part_of"
_PORT = "__meta_kubernetes_pod_container_port_name"
_PHASE = "__meta_kubernetes_pod_phase"


def example() -> dict[str, Any]:
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (found,) = (each for each in map(yaml.safe_load, blocks) if "scrape_configs" in each)
    return dict(found)


def test_example_is_taken_by_prometheus(tmp_path: Path) -> None:
    config = example()
    (job,) = config["scrape_configs"]
    assert [each["role"] for each in job.pop("kubernetes_sd_configs")] == ["pod"]
    assert config.pop("rule_files") == ["/etc/prometheus/radar-audit/*.yaml"]
    file = tmp_path / "prometheus.yaml"
    file.write_text(yaml.safe_dump(config))
    done = run("check", "config", file)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("part_of", "port", "phase", "expected"),
    [
        ("radar-audit", "probes", "Running", True),  # hub, operator
        ("radar-audit", "audit-metrics", "Running", True),  # collector
        ("", "audit-metrics", "Running", True),  # gateway in Radar's pod
        ("radar-audit", "http", "Running", False),
        ("", "http", "Running", False),
        ("other", "probes", "Running", False),
        ("radar-audit", "probes", "Succeeded", False),
    ],
)
def test_example_keeps_our_ports_alone(part_of: str, port: str, phase: str, expected: bool) -> None:
    labels = {_PART_OF: part_of, _PORT: port, _PHASE: phase}
    labels |= {"__meta_kubernetes_namespace": "radar", "__meta_kubernetes_pod_name": "radar-0"}
    kept = relabelled(labels)
    assert (kept is not None) == expected
    if kept is not None:
        assert (kept["namespace"], kept["pod"]) == ("radar", "radar-0")


def relabelled(labels: dict[str, str]) -> dict[str, str] | None:
    """Do what Prometheus does with the rules of the example; None: the target is dropped."""
    (job,) = example()["scrape_configs"]
    result = dict(labels)
    for rule in job["relabel_configs"]:
        value = ";".join(result[name] for name in rule["source_labels"])
        is_hit = re.fullmatch(rule.get("regex", ".*"), value) is not None
        match rule.get("action", "replace"):
            case "keep" if not is_hit:
                return None
            case "drop" if is_hit:
                return None
            case "replace":
                result[rule["target_label"]] = value
    return result
