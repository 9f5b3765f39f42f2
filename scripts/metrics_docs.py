"""Writes docs/metrics.md from the registries of the parts; `make docs` calls it.

Owns what each label may hold, in words. `tests/chart/monitoring` compares the page with `render()`,
and the alerts and the dashboard with `registries()`. Never starts a part.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry, Info
from radar_audit_collector.capture.gateway.metrics import GatewayMetrics
from radar_audit_collector.metrics import Metrics as CollectorMetrics
from radar_audit_hub.metrics import Metrics as HubMetrics
from radar_audit_operator.metrics import Metrics as OperatorMetrics
from radar_audit_runtime.probes import BUILD_INFO

PAGE = Path(__file__).parents[1] / "docs" / "metrics.md"
# Label: what it may hold. Every value is one of a set that no caller can widen.
LABELS: dict[str, str] = {
    "action": "an action of the log, such as `pod.exec_started`",
    "cause": "how a connection of Radar's failed",
    "channel": "a kind of destination: slack, webhook, email, teams, pagerduty",
    "code": "an HTTP status, or `unreachable`",
    "component": "hub, collector or operator",
    "direction": "`up` to the API server, `down` to Radar",
    "format": "csv or ndjson",
    "kind": "a kind of outgoing work, or of notice",
    "method": "an HTTP method, or `other`",
    "note": "a word for what was noticed",
    "operation": "a call of the hub's API by its name",
    "outcome": "how an attempt ended",
    "protocol": "h2, http/1.1, or blind where nothing was read",
    "reason": "a word for why",
    "resource": "a kind of Kubernetes object",
    "result": "how it ended",
    "route": "a route as the API describes it, never an address that was asked for",
    "source": "gateway, webhook, logfile or timer",
    "status": "an HTTP status; of `policies` that of the condition Ready",
    "verb": "an HTTP method",
    "version": "the version of the program",
}
_HEAD = """# Metrics

<!-- Written by `make docs` from the registries of the parts; a test compares them. -->

Each part shows its metrics at `/metrics` of its probe port. How Prometheus finds them:
[operations.md](operations.md#prometheus); what the alerts mean: [runbooks](runbooks/README.md). A
histogram `x` is scraped as `x_bucket`, `x_sum` and `x_count`. No label ever holds a person, an
address, a pod or an organization.
"""


@dataclass(frozen=True, slots=True)
class Row:
    """A metric as the page shows it; `name` is that of its samples, without a histogram's ends."""

    name: str
    type: str
    unit: str
    labels: tuple[str, ...]
    meaning: str
    buckets: tuple[str, ...]


def bare_registries() -> dict[str, CollectorRegistry]:
    """Return a fresh registry of each part with all that it may ever show of its own."""
    collector = CollectorMetrics()
    GatewayMetrics(collector.registry, lambda: 0.0)
    collector.show_webhook_certificate(lambda: 0.0)
    made = {"hub": HubMetrics().registry, "collector": collector.registry}
    made["operator"] = OperatorMetrics().registry
    return made


def registries() -> dict[str, CollectorRegistry]:
    """Return the same as the probe server shows them: with what it adds."""
    made = bare_registries()
    for component, registry in made.items():
        info = Info(BUILD_INFO, "Version of the running program", registry=registry)
        info.info({"version": "", "component": component})
    return made


def rows(registry: CollectorRegistry) -> list[Row]:
    """Return the metrics of a registry, by name."""
    return sorted(_rows(registry), key=lambda row: row.name)


def _rows(registry: CollectorRegistry) -> Iterator[Row]:
    for source in list(registry._collector_to_names):  # noqa: SLF001 # no public way to the labels
        for metric in source.collect():
            suffix = {"counter": "_total", "info": "_info"}.get(metric.type, "")
            name = metric.name + suffix
            labels = tuple(getattr(source, "_labelnames", ()))
            if metric.type == "info":
                labels = tuple(sorted(metric.samples[0].labels))
            found = sorted(
                {each.labels["le"] for each in metric.samples if "le" in each.labels}, key=float
            )
            bounds = tuple(bound for bound in found if bound != "+Inf") or _upper_bounds(source)
            yield Row(name, metric.type, _unit(metric.name), labels, metric.documentation, bounds)


def _upper_bounds(source: object) -> tuple[str, ...]:
    kwargs = getattr(source, "_kwargs", {})
    return tuple(str(float(bound)) for bound in kwargs.get("buckets", ()))


def _unit(name: str) -> str:
    if name.endswith("_timestamp_seconds"):
        return "Unix time in seconds"
    return next((unit for unit in ("seconds", "bytes") if name.endswith(f"_{unit}")), "number")


def render() -> str:
    """Return the whole page."""
    parts = [_section(title, registry) for title, registry in registries().items()]
    return "\n".join((_HEAD, *parts, _labels()))


def _section(component: str, registry: CollectorRegistry) -> str:
    head = ["| metric | type | unit | labels | is |", "|---|---|---|---|---|"]
    lines = [f"## {component.capitalize()}", "", *head]
    bounds: dict[tuple[str, ...], list[str]] = {}
    for row in rows(registry):
        labels = ", ".join(row.labels)
        lines.append(f"| `{row.name}` | {row.type} | {row.unit} | {labels} | {row.meaning} |")
        if row.buckets:
            bounds.setdefault(row.buckets, []).append(f"`{row.name}`")
    lines += ["", "Buckets end at, in seconds:", ""]
    lines += [
        f"- {', '.join(names)}: {', '.join(f'{float(each):g}' for each in found)}"
        for found, names in bounds.items()
    ]
    return "\n".join(lines) + "\n"


def _labels() -> str:
    lines = ["## Labels", "", "| label | holds |", "|---|---|"]
    return "\n".join(lines + [f"| {name} | {words} |" for name, words in LABELS.items()]) + "\n"


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
    print(f"{PAGE} is up to date")
