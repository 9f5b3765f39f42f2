"""Pairs the stages of audited requests into sessions: each fact exactly once.

Owns the rules of pairing: reordered, repeated and missing stages, refusals with
their retry, colliding ids, ends that never come. Called by the intake with
verdicts and with the time. Pure: every step says which events it gives and which
state must be stored with them, in one durable transaction; if that fails, the
object is thrown away and made anew from the durable state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import msgspec
from radar_audit_events.wire import WireEvent

from .capture.record import AuditRecord
from .classify import Verdict
from .session_entries import (
    STATE_PREFIX,
    DenialIndex,
    Entry,
    SessionTable,
    Shelf,
    Status,
    collided_id,
    decode_entry,
    encode_entry,
    fingerprint_of,
    open_entry,
    request_of,
    retry_key_of,
    session_id_of,
)
from .session_events import assumed_end_event, denied_event, end_event, start_event

Count = Literal[
    "duplicate",
    "collision",
    "held",
    "denied_known",
    "denied_retry",
    "start_inferred",
    "end_assumed",
    "end_superseded",
    "panic_unmatched",
    "untracked",
    "forgotten_early",
    "state_unreadable",
]
_DAY_MS = 24 * 60 * 60 * 1000
_MAX_TIMERS_PER_TICK = 1000  # keeps one transaction small; the next tick goes on


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """How long and how much is remembered; times in milliseconds.

    `hold_ms` is how long a refused POST waits for its GET (and how far apart, in
    event time, the two may be); `await_start_ms` is how long an end waits for its
    start, before one is inferred: the API server tries a failed webhook batch
    again for up to 100 s, so batches may come that much out of order;
    `max_age_ms` is when a session without an end is taken as ended;
    `remember_ms` is how long a finished session still swallows repeats, and
    `await_late_end_ms` how long an assumed end can be corrected.
    """

    hold_ms: int = 2_000
    await_start_ms: int = 120_000
    max_age_ms: int = _DAY_MS
    remember_ms: int = _DAY_MS
    await_late_end_ms: int = 30 * _DAY_MS
    max_open: int = 20_000
    max_held: int = 10_000
    max_done: int = 20_000


@dataclass(frozen=True, slots=True)
class Captured:
    """An event to ship; `claimed_org` is the org it waits for while the own one is unknown."""

    event: WireEvent
    claimed_org: str | None


@dataclass(frozen=True, slots=True)
class Step:
    """What one call gives: events, state to put (or delete: null) with them, names to count."""

    events: tuple[Captured, ...] = ()
    changes: Mapping[str, bytes | None] = field(default_factory=dict)
    counts: tuple[Count, ...] = ()


NOTHING = Step()


class _Draft:
    """A step in the making."""

    def __init__(self) -> None:
        self.events: list[Captured] = []
        self.changes: dict[str, bytes | None] = {}
        self.counts: list[Count] = []

    def emit(self, entry: Entry, *events: WireEvent) -> None:
        self.events.extend(Captured(event, entry.claimed_org) for event in events)

    def done(self) -> Step:
        if not (self.events or self.changes or self.counts):
            return NOTHING
        return Step(tuple(self.events), self.changes, tuple(self.counts))


class Sessions:
    """The sessions of one capture; memory always equals what the steps said to store.

    `state` is the durable state; keys that do not begin with `session/` are not looked at.
    """

    def __init__(self, state: Mapping[str, bytes], limits: SessionLimits | None = None) -> None:
        self._limits = limits or SessionLimits()
        self._table = SessionTable()
        self._denials = DenialIndex(self._limits.hold_ms * 1000)
        self._unreadable: list[str] = []
        for key, blob in state.items():
            if key.startswith(STATE_PREFIX):
                entry = decode_entry(blob)
                if entry is None:
                    self._unreadable.append(key)
                else:
                    self._remember(key[len(STATE_PREFIX) :], entry)

    @property
    def open_count(self) -> int:
        """How many sessions are open now."""
        return self._table.count("open")

    def open_session_ids(self) -> list[str]:
        """Return the ids of the sessions that are open now."""
        return [session_id for session_id, e in self._table.items() if e.status == "open"]

    def observe(self, verdict: Verdict, now_ms: int) -> Step:
        """Take one verdict at wall-clock time `now_ms` (Unix milliseconds)."""
        record = verdict.record
        if record is None:
            return NOTHING
        draft = _Draft()
        session_id, known = self._find(record, draft)
        fresh = open_entry(record, verdict)
        if verdict.kind == "started":
            self._started(session_id, known, fresh, record, now_ms, draft)
        elif verdict.kind == "ended":
            self._ended(session_id, known, fresh, record, now_ms, draft)
        elif known is not None:
            draft.counts.append("denied_known")  # a refusal has two stages that say the same
        else:
            fresh = _with(
                fresh,
                retry_key=retry_key_of(record),
                verb=record.verb,
                request=request_of(record),
                by_gateway=record.by_gateway,
            )
            self._denied(session_id, fresh, now_ms, draft)
        self._hold_bounds(now_ms, draft)
        return draft.done()

    def tick(self, now_ms: int) -> Step:
        """Let time pass to `now_ms`: release what is held, assume ends, forget what is old."""
        draft = _Draft()
        for key in self._unreadable:
            draft.changes[key] = None
            draft.counts.append("state_unreadable")
        self._unreadable.clear()
        for _ in range(_MAX_TIMERS_PER_TICK):
            if not (
                self._release_one(now_ms, draft)
                or self._assume_one(now_ms, draft)
                or self._forget_one(now_ms, draft)
            ):
                break
        self._hold_bounds(now_ms, draft)
        return draft.done()

    # What each stage does to what is known of its session.

    def _started(
        self,
        session_id: str,
        known: Entry | None,
        fresh: Entry,
        record: AuditRecord,
        now_ms: int,
        draft: _Draft,
    ) -> None:
        fresh = _with(fresh, started_us=record.stage_us)
        if known is None:
            draft.emit(fresh, start_event(session_id, fresh, observed=True))
            if self._table.count("open") >= self._limits.max_open:
                # Not lost: its ResponseComplete carries all that the end needs.
                draft.counts.append("untracked")
                return
            # From the later of both clocks, or a log that is read long after the fact
            # would have every end assumed just before the real one is read.
            due_ms = max(record.stage_us // 1000, now_ms) + self._limits.max_age_ms
            self._put(session_id, _with(fresh, due_ms=due_ms), draft)
        elif known.status in ("end_held", "panic_held"):
            whole = _with(fresh, ended_us=known.ended_us)
            panicked = known.status == "panic_held"
            draft.emit(
                whole,
                start_event(session_id, whole, observed=True),
                end_event(session_id, whole, panicked=panicked),
            )
            self._close(session_id, whole, now_ms, draft)
        else:
            draft.counts.append("duplicate")

    def _ended(
        self,
        session_id: str,
        known: Entry | None,
        fresh: Entry,
        record: AuditRecord,
        now_ms: int,
        draft: _Draft,
    ) -> None:
        panicked = record.stage == "Panic"
        if known is None:
            draft.counts.append("held")
            held = _with(fresh, started_us=record.received_us, ended_us=record.stage_us)
            if panicked:
                # Its code is 500 whatever came before: only a start proves that there was one.
                due_ms = now_ms + self._limits.remember_ms
                self._put(session_id, _with(held, status="panic_held", due_ms=due_ms), draft)
            else:
                due_ms = now_ms + self._limits.await_start_ms
                self._put(session_id, _with(held, status="end_held", due_ms=due_ms), draft)
        elif known.status in ("open", "assumed"):
            assumed_us = known.ended_us if known.status == "assumed" else None
            if assumed_us is not None:
                draft.counts.append("end_superseded")
            whole = _with(known, ended_us=record.stage_us)
            draft.emit(
                whole,
                end_event(session_id, whole, panicked=panicked, assumed_us=assumed_us),
            )
            self._close(session_id, whole, now_ms, draft)
        else:
            draft.counts.append("duplicate")

    def _denied(self, session_id: str, fresh: Entry, now_ms: int, draft: _Draft) -> None:
        if fresh.verb == "get":
            spoken_for = False
            for post_id in self._denials.posts_after(fresh):
                post = self._table.get(post_id)
                if post is None or post.status == "retry":
                    continue
                if post.status == "denied_held" or not spoken_for:
                    # One that was released before its GET came stands for that GET, but once.
                    spoken_for = spoken_for or post.status == "denied"
                    draft.counts.append("denied_retry")
                    self._refused(post_id, post, "retry", now_ms, draft)
            if not spoken_for:
                draft.emit(fresh, denied_event(session_id, fresh))
            self._refused(session_id, fresh, "denied", now_ms, draft)
        elif self._denials.has_get_before(fresh):
            draft.counts.append("denied_retry")
            self._refused(session_id, fresh, "retry", now_ms, draft)
        else:
            draft.counts.append("held")
            due_ms = now_ms + self._limits.hold_ms
            self._put(session_id, _with(fresh, status="denied_held", due_ms=due_ms), draft)

    # What the passing of time does.

    def _release_one(self, now_ms: int, draft: _Draft) -> bool:
        first = self._table.first("held")
        longest_ms = max(self._limits.hold_ms, self._limits.await_start_ms)
        # A due time further away than any hold means that the clock was set back.
        if first is None or now_ms < first[1].due_ms <= now_ms + longest_ms:
            return False
        self._release(*first, now_ms, draft)
        return True

    def _release(self, session_id: str, entry: Entry, now_ms: int, draft: _Draft) -> None:
        if entry.status == "denied_held":
            draft.emit(entry, denied_event(session_id, entry))
            self._refused(session_id, entry, "denied", now_ms, draft)
            return
        draft.counts.append("start_inferred")
        draft.emit(
            entry,
            start_event(session_id, entry, observed=False),
            end_event(session_id, entry, panicked=False),
        )
        self._close(session_id, entry, now_ms, draft)

    def _assume_one(self, now_ms: int, draft: _Draft) -> bool:
        first = self._table.first("open")
        if first is None or first[1].due_ms > now_ms:
            return False
        session_id, entry = first
        draft.counts.append("end_assumed")
        # Dated by the start, not by the clock, so that a replay gives the same event.
        assumed_us = entry.started_us + self._limits.max_age_ms * 1000
        draft.emit(entry, assumed_end_event(session_id, entry, assumed_us))
        due_ms = now_ms + self._limits.await_late_end_ms
        assumed = _with(entry, status="assumed", ended_us=assumed_us, due_ms=due_ms)
        self._put(session_id, assumed, draft)
        return True

    def _forget_one(self, now_ms: int, draft: _Draft) -> bool:
        first = self._table.first("done")
        if first is None or first[1].due_ms > now_ms:
            return False
        self._forget(*first, draft)
        return True

    def _hold_bounds(self, now_ms: int, draft: _Draft) -> None:
        while self._table.count("held") > self._limits.max_held:
            self._release(*self._first("held"), now_ms, draft)
        while self._table.count("done") > self._limits.max_done:
            draft.counts.append("forgotten_early")
            self._forget(*self._first("done"), draft)

    # The table, its index and the durable state, always changed together.

    def _find(self, record: AuditRecord, draft: _Draft) -> tuple[str, Entry | None]:
        session_id = session_id_of(record.audit_id)
        known = self._table.get(session_id)
        if known is None or known.is_of(record):
            return session_id, known
        fingerprint = fingerprint_of(record)
        if known.may_be_twin_of(record):
            self._put(session_id, _with(known, twin=fingerprint), draft)
            return session_id, known
        session_id = collided_id(record.audit_id, fingerprint)
        known = self._table.get(session_id)
        if known is None:
            draft.counts.append("collision")
        return session_id, known

    def _first(self, shelf: Shelf) -> tuple[str, Entry]:
        first = self._table.first(shelf)
        assert first is not None, "a shelf over its bound is not empty"
        return first

    def _close(self, session_id: str, entry: Entry, now_ms: int, draft: _Draft) -> None:
        due_ms = now_ms + self._limits.remember_ms
        self._put(session_id, Entry("closed", entry.fingerprint, due_ms), draft)

    def _refused(
        self, session_id: str, entry: Entry, status: Status, now_ms: int, draft: _Draft
    ) -> None:
        due_ms = now_ms + self._limits.remember_ms
        self._put(session_id, entry.refused(status, due_ms), draft)

    def _forget(self, session_id: str, entry: Entry, draft: _Draft) -> None:
        if entry.status == "panic_held":
            draft.counts.append("panic_unmatched")
        self._table.drop(session_id)
        self._denials.drop(session_id, entry)
        draft.changes[STATE_PREFIX + session_id] = None

    def _put(self, session_id: str, entry: Entry, draft: _Draft) -> None:
        self._remember(session_id, entry)
        draft.changes[STATE_PREFIX + session_id] = encode_entry(entry)

    def _remember(self, session_id: str, entry: Entry) -> None:
        self._table.put(session_id, entry)
        if entry.retry_key:
            self._denials.put(session_id, entry)


def _with(entry: Entry, **changes: object) -> Entry:
    return msgspec.structs.replace(entry, **changes)
