"""The gateway's Prometheus metrics, made of the figures that the relay sends each second.

Owns their names and which counter of the relay is shown where. Made by `source`
where the gateway is switched on, so that elsewhere no series stands at 0 and looks
like a certificate that has ended. No label ever holds a user, a pod or an org.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from .counters import Count
from .timings import HEAD_BOUNDS_SECONDS, Counted

_PREFIX = "radar_audit_collector_"

_PROTOCOLS: dict[Count, str] = {
    "connections_h2": "h2",
    "connections_h1": "http/1.1",
    "connections_unwatched": "blind",
}
_BYTES: dict[Count, str] = {"bytes_up": "up", "bytes_down": "down"}
_REQUESTS: tuple[Count, ...] = (
    "exec_seen",
    "exec_unnamed",
    "exec_malformed",
    "exec_oversized",
    "upgrade_watched",
    "upgrade_switched",
    "upgrade_refused",
    "closed_off",
    "not_closed_off",
    "later_request_cut",
    "head_malformed",
)
_FAULTS: tuple[Count, ...] = (
    "refused_full",
    "refused_half_open",
    "handshake_failed",
    "opening_timed_out",
    "upstream_failed",
    "alpn_mismatch",
    "relay_failed",
    "unexpected_error",
)


class RelayHistogram(Collector):
    """A histogram whose counts come from relays; `prometheus_client` can only observe."""

    def __init__(
        self,
        registry: CollectorRegistry,
        name: str,
        text: str,
        bounds_seconds: tuple[float, ...],
    ) -> None:
        """Register it."""
        self._name, self._text = name, text
        self._bounds = [*map(str, bounds_seconds), "+Inf"]
        self._of_earlier_runs: Counted = {"counts": [0] * len(self._bounds), "sum_seconds": 0.0}
        self._now: Counted = self._of_earlier_runs
        registry.register(self)

    def show(self, counted: Counted, *, is_new_run: bool) -> None:
        """Publish the counts of a relay; those of a new run begin at 0."""
        if is_new_run:
            self._of_earlier_runs = self._now
        earlier = self._of_earlier_runs
        pairs = zip(earlier["counts"], counted["counts"], strict=True)
        self._now = {
            "counts": [a + b for a, b in pairs],
            "sum_seconds": earlier["sum_seconds"] + counted["sum_seconds"],
        }

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """Return it in the form of the registry, whose counts are cumulative."""
        cumulative = accumulate(self._now["counts"])
        buckets = list(zip(self._bounds, map(float, cumulative), strict=True))
        yield HistogramMetricFamily(
            self._name, self._text, buckets=buckets, sum_value=self._now["sum_seconds"]
        )


class GatewayMetrics:
    """One attribute per metric; `show` is called with each report of a relay."""

    def __init__(self, registry: CollectorRegistry, leaf_ends: Callable[[], float]) -> None:
        """Register them; `leaf_ends` tells when our certificate ends (Unix seconds)."""

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(_PREFIX + name, text, labels, registry=registry)

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(_PREFIX + name, text, registry=registry)

        self._connections = counter(
            "connections", "Connections of Radar that the gateway took, by protocol", "protocol"
        )
        self._faults = counter(
            "connection_faults",
            "Connections that broke, by cause; must stay 0 for unexpected_error",
            "cause",
        )
        self._requests = counter(
            "requests", "What the gateway noted of HTTP/1.1 requests (one may have more)", "note"
        )
        self._unparsed = counter(
            "head_unparsed", "Request heads too long to be read, relayed untouched"
        )
        self._head_times = RelayHistogram(
            registry,
            _PREFIX + "gateway_head_parse_seconds",
            "Time that the gateway spent on reading a request head and deciding on it",
            HEAD_BOUNDS_SECONDS,
        )
        self._bytes = counter("relayed_bytes", "Bytes that the gateway relayed", "direction")
        self._unconfirmed = counter(
            "starts_unconfirmed", "Terminals that began before their start was on disk"
        )
        self._refused = counter(
            "starts_refused", "Terminals refused because they could not be recorded"
        )
        self.restarts = counter("relay_restarts", "Relay processes that ended unasked; must stay 0")
        self._open = gauge("connections_active", "Connections that the gateway has open")
        self._reachable = gauge("upstream_reachable", "1 while the API server can be reached")
        ends = gauge("certificate_expiry_timestamp_seconds", "When the gateway's certificate ends")
        ends.set_function(leaf_ends)
        self._shown: dict[str, int] = {}
        self._run_number = 0
        self._make_series()

    def show(self, run_number: int, figures: Mapping[str, Any]) -> None:
        """Publish the figures of a relay; those of each run begin at 0."""
        is_new_run = run_number != self._run_number
        if is_new_run:
            self._run_number = run_number
            self._shown = {}
        self._head_times.show(figures["head_times"], is_new_run=is_new_run)
        counters: Mapping[str, int] = figures["counters"]
        for name, series in self._series.items():
            series.inc(max(0, counters[name] - self._shown.get(name, 0)))
        self._shown = dict(counters)
        self._open.set(figures["connections"])
        self._reachable.set(bool(figures["reachable"]))

    def _make_series(self) -> None:
        """Make every series now, so that a rate sees the first event, too."""
        self._series: dict[str, Counter] = {
            "head_unparsed": self._unparsed,
            "start_unconfirmed": self._unconfirmed,
            "exec_not_recorded_refused": self._refused,
        }
        for name, protocol in _PROTOCOLS.items():
            self._series[name] = self._connections.labels(protocol)
        for name, direction in _BYTES.items():
            self._series[name] = self._bytes.labels(direction)
        for name in _REQUESTS:
            self._series[name] = self._requests.labels(name)
        for name in _FAULTS:
            self._series[name] = self._faults.labels(name)
