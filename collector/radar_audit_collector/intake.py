"""From audit records to durable events: classify, pair, store, in one transaction.

Owns the `Sessions` of this process and the loop that lets time pass for them.
Called by the sources (`accept`) and by `app` (the loop, the restart, open
sessions). Never keeps what the spool refused: its memory is
thrown away and made anew from the durable state, and the source offers the same
records again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import msgspec
from radar_audit_events.ids import parse_ms

from .capture.logfile import CHECKPOINT_KEY
from .capture.record import AuditRecord, Skipped
from .classify import ClassifyRules, classify
from .errors import SpoolUnavailableError
from .metrics import Metrics
from .sessions import Captured, Sessions, Step
from .spool import Spool, wall_clock_ms
from .spool_records import NewEvent, NewGap

SESSION_PREFIX = "session/"
TICK_SECONDS = 0.5
# Faults of a log file after which nobody can say that every line was read.
POSSIBLE_LOSSES: frozenset[str] = frozenset(
    {"checkpoint_lost", "archive_unreadable", "file_truncated"}
)
_TIMER = "timer"  # the source of events that the passing of time gives

_logger = logging.getLogger(__name__)
_encoder = msgspec.json.Encoder()


@dataclass(slots=True)
class _Draft:
    """What one call will store, and what it will count once that is durable."""

    events: list[NewEvent] = field(default_factory=list)
    changes: dict[str, bytes | None] = field(default_factory=dict)
    actions: Counter[str] = field(default_factory=Counter)
    ignored: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    gaps: list[NewGap] = field(default_factory=list)
    observed: int = 0

    def add(self, step: Step) -> None:
        for captured in step.events:
            self.events.append(to_spool(captured))
            self.actions[captured.event.action] += 1
        self.changes.update(step.changes)
        self.notes.update(step.counts)


@dataclass(frozen=True, slots=True)
class _Memory:
    """The sessions as of the durable state with this fence."""

    sessions: Sessions
    fence: int


class Intake:
    """Takes records from every source; `rules` may be replaced at any time."""

    def __init__(
        self,
        spool: Spool,
        metrics: Metrics,
        rules: ClassifyRules,
        now_ms: Callable[[], int] = wall_clock_ms,
    ) -> None:
        """Nothing is read before the first call."""
        self.rules = rules
        self._spool = spool
        self._metrics = metrics
        self._now_ms = now_ms
        self._memory: _Memory | None = None
        self._restoring = asyncio.Lock()
        self._is_refused = False

    async def accept(
        self,
        records: Iterable[AuditRecord | Skipped],
        source: str,
        *,
        checkpoint: bytes | None = None,
    ) -> None:
        """Store what these records mean, with the source's place in its log; durable on return.

        Raises SpoolUnavailableError: nothing was kept, offer the same records again.
        """
        memory = await self._remember()
        draft = _Draft()
        try:
            self._observe(memory.sessions, records, draft)
        except BaseException:
            self._forget(memory)
            raise
        if checkpoint is not None:
            draft.changes[CHECKPOINT_KEY] = checkpoint
        # Even with nothing to store it waits its turn: a repeat is only known as one
        # because an earlier call saw it first, and that call may not be durable yet.
        if draft.observed or draft.changes or draft.gaps:
            await self._store(memory, draft)
        self._count(draft, source)

    def _observe(
        self, sessions: Sessions, records: Iterable[AuditRecord | Skipped], draft: _Draft
    ) -> None:
        now_ms, rules = self._now_ms(), self.rules
        for record in records:
            if isinstance(record, Skipped):
                draft.ignored[record.reason] += 1
                if record.reason in POSSIBLE_LOSSES:
                    draft.gaps.append(NewGap(f"logfile_{record.reason}", now_ms, now_ms, 0))
                continue
            verdict = classify(record, rules)
            if verdict.record is None:
                draft.ignored[verdict.reason or "other"] += 1
                continue
            draft.observed += 1
            draft.add(sessions.observe(verdict, now_ms))

    async def tick(self) -> None:
        """Let time pass for the sessions. Raises SpoolUnavailableError."""
        memory = await self._remember()
        draft = _Draft()
        draft.add(memory.sessions.tick(self._now_ms()))
        if draft.events or draft.changes:
            await self._store(memory, draft)
        self._count(draft, _TIMER)

    async def run(self) -> None:
        """Tick for ever; while the spool refuses, try whether it can be written again."""
        while True:
            try:
                if not self._spool.is_writable:
                    await self._spool.probe()
                await self.tick()
                self._note_recovery()
            except SpoolUnavailableError as exc:
                self._note_refusal(exc)
            self._metrics.show_spool(self._spool.stats)
            await asyncio.sleep(TICK_SECONDS)

    async def open_session_ids(self) -> list[str]:
        """Return the ids of the terminals that are open now. Raises SpoolUnavailableError."""
        return (await self._remember()).sessions.open_session_ids()

    async def _remember(self) -> _Memory:
        """Return the sessions, made from the durable state if there are none in memory."""
        if self._memory is None:
            async with self._restoring:
                if self._memory is None:
                    state = await self._spool.load_state(SESSION_PREFIX)
                    self._memory = _Memory(Sessions(state.values), state.fence)
        return self._memory

    def _forget(self, memory: _Memory) -> None:
        if self._memory is memory:
            self._memory = None

    async def _store(self, memory: _Memory, draft: _Draft) -> None:
        started = time.perf_counter()
        try:
            # No await lies between the reading of `memory` and this append, so that
            # appends reach the spool in the order in which their changes were computed.
            await self._spool.append(
                draft.events, draft.changes, gaps=draft.gaps, fence=memory.fence
            )
        except SpoolUnavailableError as exc:
            self._forget(memory)
            self._metrics.journal_refusals.inc()
            self._note_refusal(exc)
            raise
        except BaseException:
            self._forget(memory)
            raise
        self._metrics.journal_write_seconds.observe(time.perf_counter() - started)

    def _count(self, draft: _Draft, source: str) -> None:
        for action, count in draft.actions.items():
            self._metrics.events.labels(action, source).inc(count)
        for reason, count in draft.ignored.items():
            self._metrics.ignored.labels(reason).inc(count)
        for gap in draft.gaps:
            self._metrics.lose(gap.reason, gap.count)
            _logger.error("lines of the log may be lost", extra={"reason": gap.reason})
        for note, count in draft.notes.items():
            self._metrics.pairing.labels(note).inc(count)

    def _note_refusal(self, exc: SpoolUnavailableError) -> None:
        if not self._is_refused:
            _logger.error("the spool takes nothing; sources wait", extra={"cause": str(exc)})
        self._is_refused = True

    def _note_recovery(self) -> None:
        if self._is_refused and self._spool.is_writable:
            _logger.info("the spool takes events again")
            self._is_refused = False


def to_spool(captured: Captured) -> NewEvent:
    """Return the form in which an event waits in the spool. Raises TimeError."""
    event = captured.event
    return NewEvent(parse_ms(event.created_at), captured.claimed_org, _encoder.encode(event))
