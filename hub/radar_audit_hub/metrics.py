"""The hub's Prometheus metrics: names, labels and buckets, in a registry of their own.

Owns every metric of the hub; `app.py` makes one `Metrics`, the probe server
shows its registry. No label ever holds a user, an e-mail, a pod, an org or a token.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
# Until an event or a notice arrives: after an outage that is as long as the outage.
_LAG_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 21600, 86400)
# Closed sets whose series stand at 0 from the start, so that a rate sees the first of each, too.
_INGEST_RESULTS = ("accepted", "duplicate", "expired", "rejected")
_REVIEW_RESULTS = ("accepted", "refused", "unavailable")
_QUERY_ROUTES = ("event", "facets", "follow", "histogram", "list")
_EXPORT_FORMATS = ("csv", "ndjson")
_MESSAGE_KINDS = ("digest", "event", "notice")


class Metrics:
    """One attribute per metric; label values come from closed sets (routes, results, formats)."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        """Register all metrics, in a new registry unless one is given."""
        self.registry = registry if registry is not None else CollectorRegistry()
        self._prefix = "radar_audit_hub_"
        self.requests = self._counter(
            "http_requests", "Answered requests", ["method", "route", "status"]
        )
        self.auth_failures = self._counter(
            "auth_failures", "Requests refused for their credential", ["reason"]
        )
        self.token_reviews = self._counter(
            "token_reviews",
            "ServiceAccounts' tokens that the API server was asked about",
            ["result"],
        )
        self.ingest_events = self._counter(
            "ingest_events", "Events received from collectors", ["result"]
        )
        self.ingest_seconds = self._histogram(
            "ingest_seconds", "Time from a batch's arrival to its durable commit", []
        )
        self.ingest_lag_seconds = self._histogram(
            "ingest_lag_seconds",
            "Time from an event's stamp to its durable commit",
            [],
            _LAG_SECONDS,
        )
        self.query_seconds = self._histogram(
            "query_seconds", "Time to answer a read of the log", ["route"]
        )
        self.export_rows = self._counter("export_rows", "Rows sent by exports", ["format"])
        self.exports_aborted = self._counter(
            "exports_aborted", "Exports cut short by an error or a slow client", ["format"]
        )
        self.exports_running = self._gauge("exports_running", "Exports being sent now")
        self.followers = self._gauge("followers", "Long polls and live tails open now")
        self._add_jobs()
        self._add_notifications()
        self._make_series()

    def _add_jobs(self) -> None:
        self.outbox_attempts = self._counter(
            "outbox_attempts", "Attempts at outgoing work that ended", ["kind", "outcome"]
        )
        self.outbox_pending = self._gauge("outbox_pending", "Outgoing work that is not done yet")
        self.outbox_oldest_seconds = self._gauge(
            "outbox_oldest_seconds", "How long the oldest outgoing work has been due"
        )
        self.stripe_webhooks = self._counter(
            "stripe_webhooks", "Webhooks that came from Stripe, or said so", ["result"]
        )
        self.prune_rows = self._counter("prune_rows", "Expired rows deleted", [])
        self.prune_last_success = self._gauge(
            "prune_last_success_timestamp_seconds",
            "When this replica last ended a round of retention well; 0: never",
        )

    def _add_notifications(self) -> None:
        self.delivery_attempts = self._counter(
            "delivery_attempts", "Attempts at sending a notice", ["channel", "result"]
        )
        self.delivery_lag_seconds = self._histogram(
            "delivery_lag_seconds",
            "Time from an event's commit to the notice that was delivered",
            ["channel"],
            _LAG_SECONDS,
        )
        self.delivery_pending = self._gauge(
            "delivery_pending", "Notices that wait to be delivered, those of quiet hours, too"
        )
        self.destinations_disabled = self._gauge(
            "destinations_disabled", "Destinations that nothing is sent to any more"
        )
        self.notify_events = self._counter("notify_events", "Events judged by alert rules", [])
        self.notify_behind = self._gauge(
            "notify_behind_events", "Events that wait to be judged by alert rules"
        )
        self.notify_messages = self._counter(
            "notify_messages", "Notices made, to be delivered", ["kind"]
        )
        self.notify_suppressed = self._counter(
            "notify_suppressed", "Events that a throttle held back, to be told as a sum", []
        )

    def _make_series(self) -> None:
        for result in _INGEST_RESULTS:
            self.ingest_events.labels(result)
        for result in _REVIEW_RESULTS:
            self.token_reviews.labels(result)
        for kind in _MESSAGE_KINDS:
            self.notify_messages.labels(kind)
        for route in _QUERY_ROUTES:
            self.query_seconds.labels(route)
        for form in _EXPORT_FORMATS:
            self.export_rows.labels(form)
            self.exports_aborted.labels(form)

    def _counter(self, name: str, text: str, labels: list[str]) -> Counter:
        return Counter(self._prefix + name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(self._prefix + name, text, registry=self.registry)

    def _histogram(
        self, name: str, text: str, labels: list[str], buckets: tuple[float, ...] = _SECONDS
    ) -> Histogram:
        return Histogram(self._prefix + name, text, labels, buckets=buckets, registry=self.registry)
