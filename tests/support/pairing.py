"""Drives the pairing of sessions the way the collector does, with crashes.

Owns a durable state in memory and the reading of rows from steps. Called by
the collector's tests only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec
from radar_audit_collector.capture.record import AuditRecord, Skipped, parse_line
from radar_audit_collector.classify import ClassifyRules, classify
from radar_audit_collector.sessions import Captured, SessionLimits, Sessions, Step
from radar_audit_events.wire import kind_of

RULES = ClassifyRules("radar/radar", org_id="org_x")
NOW_MS = 1_795_489_900_000  # half a minute after the template's START
Row = tuple[str, str, str, str | None, str, str | None]


def row(captured: Captured) -> Row:
    """Return an event in a form that compares, by its session and kind first."""
    event = captured.event
    return (
        event.session_id,
        kind_of(event.action, event.metadata),
        event.created_at,
        event.actor_user_id,
        msgspec.json.encode(event.metadata, order="deterministic").decode(),
        event.assumed_created_at,
    )


class Journal:
    """What is durable: state and events, changed together, step by step."""

    def __init__(
        self, limits: SessionLimits | None = None, state: dict[str, bytes] | None = None
    ) -> None:
        self.limits = limits or SessionLimits()
        self.state: dict[str, bytes] = dict(state or {})
        self.events: list[Captured] = []
        self.counts: Counter[str] = Counter()
        self.sessions = Sessions(self.state, self.limits)

    def feed(self, items: Iterable[bytes | AuditRecord | Skipped], now_ms: int = NOW_MS) -> Journal:
        """Observe lines (or records) and make each step durable; returns itself."""
        for item in items:
            self.store(self.step(item, now_ms))
        return self

    def step(self, item: bytes | AuditRecord | Skipped, now_ms: int = NOW_MS) -> Step:
        """Observe one line (or record) without making it durable."""
        parsed = parse_line(item) if isinstance(item, bytes) else item
        return self.sessions.observe(classify(parsed, RULES), now_ms)

    def tick(self, now_ms: int) -> Journal:
        """Let time pass and make what comes of it durable; returns itself."""
        self.store(self.sessions.tick(now_ms))
        return self

    def store(self, step: Step) -> None:
        """Make a step durable."""
        for key, blob in step.changes.items():
            if blob is None:
                del self.state[key]
            else:
                self.state[key] = blob
        self.events.extend(step.events)
        self.counts.update(step.counts)

    def crash(self) -> None:
        """Forget what is in memory and begin anew from the durable state."""
        self.sessions = Sessions(self.state, self.limits)

    def rows(self) -> list[Row]:
        """Return the durable events, sorted; a repeat would be there twice."""
        return sorted(map(row, self.events), key=str)
