"""The names of the collector's metrics are as Prometheus asks, and are there before they count."""

from __future__ import annotations

import re

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from radar_audit_collector.capture.gateway.journal import REASON_LINK
from radar_audit_collector.capture.gateway.metrics import GatewayMetrics, RelayHistogram
from radar_audit_collector.capture.gateway.timings import Timings
from radar_audit_collector.intake import POSSIBLE_LOSSES
from radar_audit_collector.metrics import LOSSES, Metrics
from radar_audit_collector.spool import REASON_CORRUPT
from radar_audit_collector.spool_rows import REASON_FULL

PREFIX = "radar_audit_collector_"
NAME = re.compile(rf"{PREFIX}[a-z][a-z0-9]*(_[a-z0-9]+)*")
UNITS_THAT_ARE_NONE = {
    "ms",
    "us",
    "ns",
    "milliseconds",
    "minutes",
    "hours",
    "kb",
    "mb",
    "kib",
    "mib",
}
WORDS_OF_TYPES = {"counter", "gauge", "histogram", "metric"}
PEOPLE = {"user", "actor", "pod", "namespace", "org", "token", "session"}


@pytest.fixture
def registry() -> CollectorRegistry:
    metrics = Metrics()
    GatewayMetrics(metrics.registry, lambda: 0.0)
    metrics.show_webhook_certificate(lambda: 0.0)
    return metrics.registry


def faults(metric: Metric) -> list[str]:
    """Return what is wrong with a metric's name, help or labels."""
    words = set(metric.name.split("_"))
    labels = {label for sample in metric.samples for label in sample.labels}
    checks = {
        "form": NAME.fullmatch(metric.name) is not None,
        "unit": not words & UNITS_THAT_ARE_NONE,
        "type in name": not words & WORDS_OF_TYPES,
        "help": bool(metric.documentation) and not metric.documentation.endswith("."),
        "labels": not labels & PEOPLE,
        "total": not metric.name.endswith(("_total", "_count", "_sum", "_bucket")),
        "timing": metric.type != "histogram" or metric.name.endswith(("_seconds", "_bytes")),
    }
    return [f"{metric.name}: {name}" for name, is_right in checks.items() if not is_right]


def test_names_follow_the_conventions(registry: CollectorRegistry) -> None:
    metrics = list(registry.collect())
    assert len(metrics) > 25
    assert not [fault for metric in metrics for fault in faults(metric)]


def test_a_wrong_name_is_found() -> None:
    wrong = Metric("radar_audit_collector_wait_ms", "Time.", "gauge")
    assert faults(wrong) == [f"{wrong.name}: unit", f"{wrong.name}: help"]


def test_every_way_to_lose_events_is_a_series_before_it_happens(
    registry: CollectorRegistry,
) -> None:
    ways = {REASON_LINK, REASON_CORRUPT, REASON_FULL, "rejected"}
    assert set(LOSSES) == ways | {f"logfile_{reason}" for reason in POSSIBLE_LOSSES}
    name = f"{PREFIX}events_lost_total"
    assert [registry.get_sample_value(name, {"reason": each}) for each in LOSSES] == [0] * 7


def test_a_histogram_of_relays_grows_over_the_death_of_one() -> None:
    registry, bounds = CollectorRegistry(), (0.1, 1.0)
    shown = RelayHistogram(registry, f"{PREFIX}x_seconds", "X", bounds)
    for run_number, seconds in enumerate([(0.1, 0.5), (2.0,)]):
        timings = Timings(bounds)
        for number, each in enumerate(seconds):
            timings.add(each)
            shown.show(timings.snapshot(), is_new_run=run_number > 0 and number == 0)

    def sample(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"{PREFIX}x_seconds_{name}", labels)

    buckets = [sample("bucket", le=bound) for bound in ("0.1", "1.0", "+Inf")]
    assert buckets == [1, 2, 3]
    assert (sample("count"), sample("sum")) == (3, 2.6)
