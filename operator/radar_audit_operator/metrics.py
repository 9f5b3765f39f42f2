"""The operator's Prometheus metrics: names, labels and buckets, in a registry of their own.

Owns every metric of the operator; `app` makes one `Metrics`, the probe server shows its registry.
No label ever holds a namespace, a policy, an organization or an address.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_PREFIX = "radar_audit_operator_"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Metrics:
    """One attribute per metric; label values come from closed sets."""

    def __init__(self) -> None:
        """Register all metrics in a new registry."""
        self.registry = CollectorRegistry()
        self.reconciles = self._counter("reconciles", "Reconciles by outcome", ["result"])
        self.reconcile_seconds = self._histogram("reconcile_seconds", "Time of one reconcile")
        self.edit_to_synced_seconds = self._histogram(
            "edit_to_synced_seconds", "From seeing an edit to the hub's word and the status"
        )
        self.hub_requests = self._counter(
            "hub_requests", "Requests to the hub; code is unreachable without an answer",
            ["operation", "code"],
        )  # fmt: skip
        self.hub_request_seconds = self._histogram(
            "hub_request_seconds", "Time of a request to the hub"
        )
        self.cluster_writes = self._counter(
            "cluster_writes", "Writes to the API server", ["verb", "resource"]
        )
        self.events_dropped = self._counter(
            "events_dropped", "Kubernetes events that were not posted, as too many waited", []
        )
        self.resyncs = self._counter("resyncs", "Comparisons of all policies", ["result"])
        self.queue_depth = self._gauge("queue_depth", "Objects that wait or are worked on")
        self.queue_oldest = self._gauge("queue_oldest_age_seconds", "How long the first has waited")
        self.queue_dropped = self._gauge("queue_dropped", "Objects left to a resync; must stay 0")
        self.hubs_up = self._gauge("hubs_up", "AuditHubs whose hub answers")
        self.hubs_down = self._gauge(
            "hubs_down", "AuditHubs whose hub does not answer; must stay 0"
        )
        self.policies = Gauge(
            _PREFIX + "policies", "AuditPolicies by the status and reason of Ready",
            ["status", "reason"], registry=self.registry,
        )  # fmt: skip
        self.destinations = Gauge(
            _PREFIX + "destinations", "Destinations by how they stand",
            ["reason"], registry=self.registry,
        )  # fmt: skip
        self.pending_shrink_events = self._gauge(
            "pending_shrink_events", "Events that ages which wait would delete"
        )
        self.radar_pods = self._gauge("radar_pods", "Radar's pods")
        self.radar_pods_without_gateway = self._gauge(
            "radar_pods_without_gateway", "Radar's pods that run without the gateway; must stay 0"
        )
        self.active = self._gauge("active", "1 if this replica holds the Lease")
        self.last_resync = self._gauge(
            "last_resync_timestamp_seconds", "When all policies were last compared; 0: never"
        )

    def _counter(self, name: str, text: str, labels: list[str]) -> Counter:
        return Counter(_PREFIX + name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(_PREFIX + name, text, registry=self.registry)

    def _histogram(self, name: str, text: str) -> Histogram:
        return Histogram(_PREFIX + name, text, buckets=_SECONDS, registry=self.registry)
