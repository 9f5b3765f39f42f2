"""The collector's Prometheus metrics: names, labels and buckets, in a registry of their own.

Owns every metric of the collector; `app` makes one `Metrics`, the probe server
shows its registry. Called by intake, deliver, heartbeat and the sources. No
label ever holds a user, a pod, a namespace, an org or a token.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from .spool_records import SpoolStats

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1)
_REQUEST_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_PREFIX = "radar_audit_collector_"
# Why events are lost. Each is a series from the start: an alert on growth sees the first loss, too.
LOSSES = (
    "gateway_link",
    "logfile_archive_unreadable",
    "logfile_checkpoint_lost",
    "logfile_file_truncated",
    "rejected",
    "spool_corrupt",
    "spool_full",
)


class Metrics:
    """One attribute per metric; label values come from closed sets (reasons, results, sources)."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        """Register all metrics, in a new registry unless one is given."""
        self.registry = registry if registry is not None else CollectorRegistry()
        self._losses: Tally[str] = Tally()
        self.events = self._counter(
            "events", "Events captured and durable in the spool", ["action", "source"]
        )
        self.ignored = self._counter(
            "records_ignored", "Audit records that are no terminal of a person", ["reason"]
        )
        self.pairing = self._counter(
            "session_notes", "What pairing met: repeats, collisions, inferred starts", ["note"]
        )
        self._lost = self._counter(
            "events_lost", "Events that will never reach the hub; must stay 0", ["reason"]
        )
        for reason in LOSSES:
            self._lost.labels(reason)
        self.settled = self._counter("events_settled", "Answers of the hub by event", ["result"])
        self.deliveries = self._counter("deliveries", "Requests that carried events", ["result"])
        self.delivery_seconds = self._histogram(
            "delivery_seconds", "Time from sending a batch to its answer", _REQUEST_SECONDS
        )
        self.heartbeats = self._counter("heartbeats", "Heartbeats sent", ["result"])
        self.heartbeats.labels("ok")  # so that its standing still is seen from the start
        self.webhook_requests = self._counter(
            "webhook_requests", "Requests to the webhook sink", ["status"]
        )
        self.journal_write_seconds = self._histogram(
            "journal_write_seconds", "Time until captured events were durable", _SECONDS
        )
        self.journal_refusals = self._counter(
            "journal_refusals", "Batches that the spool could not take just then", []
        )
        self.sessions_active = self._gauge("sessions_active", "Terminals that are open now")
        self.spool_events = self._gauge("spool_events", "Events in the spool")
        self.spool_held = self._gauge("spool_held_events", "Events ahead of the hub's clock")
        self.spool_bytes = self._gauge("spool_bytes", "What the spool uses on the disk")
        self.spool_oldest = self._gauge(
            "spool_oldest_timestamp_seconds", "Time of the oldest event in the spool; 0: none"
        )
        self.dead_letters = self._gauge("dead_letters", "Events that the hub refused for good")
        self.clock_offset_seconds = self._gauge(
            "hub_clock_offset_seconds", "The hub's clock minus ours, by the last heartbeat"
        )
        self.token_refused = self._gauge(
            "token_refused", "1 while the hub refuses the cluster token"
        )

    def show_webhook_certificate(self, ends: Callable[[], float]) -> None:
        """Show when the webhook sink's certificate ends; `ends` tells it in Unix seconds.

        Called where the sink has one, so that elsewhere no series looks like one that has ended.
        """
        self._gauge(
            "webhook_certificate_expiry_timestamp_seconds", "When the webhook's certificate ends"
        ).set_function(ends)

    def lose(self, reason: str, count: int) -> None:
        """Count lost events; an unknown number counts as one, so that the alert fires."""
        self._losses[reason] += max(count, 1)
        self._lost.labels(reason).inc(max(count, 1))

    @property
    def losses(self) -> dict[str, int]:
        """Lost events by reason since the start of this process."""
        return dict(self._losses)

    def show_spool(self, stats: SpoolStats) -> None:
        """Publish the depth of the spool."""
        self.spool_events.set(stats.events)
        self.spool_held.set(stats.held)
        self.spool_bytes.set(stats.bytes)
        self.spool_oldest.set((stats.oldest_at_ms or 0) / 1000)
        self.dead_letters.set(stats.dead_letters)

    def _counter(self, name: str, text: str, labels: list[str]) -> Counter:
        return Counter(_PREFIX + name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(_PREFIX + name, text, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(_PREFIX + name, text, buckets=buckets, registry=self.registry)
