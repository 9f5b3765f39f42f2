"""The collector's end of the journal link: what the relay saw becomes durable events.

Owns the order of that and the answers to the relay. Called by `process`, which
reads the link, and by the collector's app, which runs `run` as a task. Never
answers "stored" before the disk has it, never gives up a start or an end while
the spool cannot be written, and never holds more than its bound: past it the
relay counts what it could not say.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from radar_audit_collector.capture.record import AuditRecord
from radar_audit_collector.classify import ClassifyRules, Verdict, classify
from radar_audit_collector.errors import SpoolUnavailableError
from radar_audit_collector.intake import to_spool
from radar_audit_collector.metrics import Metrics
from radar_audit_collector.spool import Spool, wall_clock_ms
from radar_audit_collector.spool_records import NewGap

from .terminals import Change, Terminals, join

SOURCE = "gateway"
STATE_PREFIX = "gateway/"
REASON_LINK = "gateway_link"
_MAX_WAITING = 2048
_MAX_GROUP = 256
_RETRY_SECONDS = 0.5

_logger = logging.getLogger(__name__)
_Accept = Callable[[Sequence[AuditRecord]], Awaitable[None]]


class RelayFacts(AuditRecord, frozen=True, gc=False, kw_only=True):
    """An audit record as the relay makes it; `chosen`: the client chose the Audit-ID."""

    chosen: bool = False


class Answer(Protocol):
    """How the relay is answered."""

    def __call__(self, ref: int, *, ok: bool) -> None:
        """Say whether what `ref` names was (or could be) stored."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A message of a relay; `relay` tells which run of it, as references begin anew with each."""

    relay: int
    message: Mapping[str, Any]
    answer: Answer


@dataclass(slots=True)
class _Group:
    """What a group of messages comes to."""

    changes: list[Change] = field(default_factory=list)
    records: list[AuditRecord] = field(default_factory=list)
    opens: list[tuple[Heard, int]] = field(default_factory=list)
    asks: list[tuple[Heard, int]] = field(default_factory=list)
    lost: int = 0


class GatewayJournal:
    """Takes messages in order; `rules` is asked anew for each group of them."""

    def __init__(
        self,
        spool: Spool,
        accept: _Accept,
        rules: Callable[[], ClassifyRules],
        metrics: Metrics,
        now_ms: Callable[[], int] = wall_clock_ms,
    ) -> None:
        """Nothing is read before `load`; `accept` is the intake's, for all but terminals."""
        self._spool = spool
        self._accept = accept
        self._rules = rules
        self._metrics = metrics
        self._now_ms = now_ms
        self._terminals = Terminals({})
        self._refs: dict[tuple[int, int], str] = {}
        self._waiting: asyncio.Queue[Heard] = asyncio.Queue(_MAX_WAITING)
        self._is_refused = False

    async def load(self) -> None:
        """End what the last run left open. Raises SpoolUnavailableError; call again then."""
        state = await self._spool.load_state(STATE_PREFIX)
        terminals = Terminals(state.values)
        left = terminals.end_all(terminals.open_ids(), "collector_restart", self._now_ms() * 1000)
        if left.events:
            await self._append(left)
        self._terminals = terminals

    def open_session_ids(self) -> list[str]:
        """Return the ids of the terminals that are open now."""
        return self._terminals.open_ids()

    async def hear(self, heard: Heard) -> None:
        """Take a message; waits while too many wait already."""
        await self._waiting.put(heard)

    async def settle(self) -> None:
        """Wait until everything that was heard is stored."""
        await self._waiting.join()

    async def run(self) -> None:
        """Store what is heard, for ever."""
        while True:
            group = [await self._waiting.get()]
            while len(group) < _MAX_GROUP and not self._waiting.empty():
                group.append(self._waiting.get_nowait())
            try:
                await self._work(group)
            finally:
                for _ in group:
                    self._waiting.task_done()

    async def _work(self, heard: Sequence[Heard]) -> None:
        group = _Group()
        rules = self._rules()
        for each in heard:
            try:
                self._sort(each, rules, group)
            except (msgspec.ValidationError, KeyError, ValueError):
                # Our own two ends disagree; the stream it is about must not suffer.
                _logger.error("the relay sent what is no message")  # noqa: TRY400 - it might quote
                group.lost += 1
        change = join(group.changes)
        if change.events or change.state:
            await self._store(change, group.opens)
        for each, ref in group.opens:
            each.answer(ref, ok=not self._is_refused)
        if group.records:
            await self._patiently(lambda: self._accept(group.records))
        if group.lost:
            await self._record_loss(group.lost)
        if group.asks:
            await self._answer_asks(group.asks)

    def _sort(self, heard: Heard, rules: ClassifyRules, group: _Group) -> None:
        message = heard.message
        kind = message["kind"]
        if kind == "ended":
            session_id = self._refs.pop((heard.relay, message["ref"]), None)
            if session_id is not None:
                end = self._terminals.end(session_id, message["reason"], message["at_us"])
                group.changes.append(end)
        elif kind == "gone":
            group.changes.append(self._end_of_relay(heard.relay))
        elif kind == "dropped":
            group.lost += message["count"]
        else:
            facts = msgspec.convert(message["facts"] | _OF_GATEWAY, RelayFacts)
            verdict = classify(facts, rules)
            if kind == "open":
                self._open(heard, message["ref"], facts, verdict, group)
            elif kind == "ask" and verdict.kind == "started":
                group.asks.append((heard, message["ref"]))
            elif kind == "ask":
                heard.answer(message["ref"], ok=True)
            else:
                group.records.append(facts)

    def _open(
        self, heard: Heard, ref: int, facts: RelayFacts, verdict: Verdict, group: _Group
    ) -> None:
        if verdict.kind != "started":
            group.records.append(facts)  # the intake counts why it is none
            heard.answer(ref, ok=True)
            return
        session_id, change = self._terminals.start(
            verdict, chosen=facts.chosen, now_ms=self._now_ms()
        )
        self._refs[heard.relay, ref] = session_id
        group.changes.append(change)
        group.opens.append((heard, ref))

    def _end_of_relay(self, relay: int) -> Change:
        """End what a relay that is gone had open: its connections are gone with it."""
        refs = [key for key in self._refs if key[0] == relay]
        session_ids = [self._refs.pop(key) for key in refs]
        return self._terminals.end_all(session_ids, "collector_restart", self._now_ms() * 1000)

    async def _store(self, change: Change, opens: list[tuple[Heard, int]]) -> None:
        """Append until it is stored; whoever waits is told at once that it is not yet."""
        while True:
            try:
                await self._append(change)
            except SpoolUnavailableError as exc:
                self._note_refusal(exc)
                for heard, ref in opens:
                    heard.answer(ref, ok=False)
                opens.clear()
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                self._note_recovery()
                return

    async def _append(self, change: Change) -> None:
        begun = time.perf_counter()
        await self._spool.append([to_spool(event) for event in change.events], change.state)
        self._metrics.journal_write_seconds.observe(time.perf_counter() - begun)
        for captured in change.events:
            self._metrics.events.labels(captured.event.action, SOURCE).inc()

    async def _answer_asks(self, asks: list[tuple[Heard, int]]) -> None:
        try:
            await self._spool.probe()
            is_writable = True
        except SpoolUnavailableError:
            is_writable = False
        for heard, ref in asks:
            heard.answer(ref, ok=is_writable)

    async def _record_loss(self, count: int) -> None:
        """Say in the log of the org that something is missing."""
        now_ms = self._now_ms()
        self._metrics.lose(REASON_LINK, count)
        gap = NewGap(REASON_LINK, now_ms, now_ms, count)
        await self._patiently(lambda: self._spool.add_gap(gap))

    async def _patiently(self, call: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await call()
                return
            except SpoolUnavailableError as exc:
                self._note_refusal(exc)
                await asyncio.sleep(_RETRY_SECONDS)

    def _note_refusal(self, exc: SpoolUnavailableError) -> None:
        self._metrics.journal_refusals.inc()
        if not self._is_refused:
            _logger.error("the gateway's journal waits for the spool", extra={"cause": str(exc)})
        self._is_refused = True

    def _note_recovery(self) -> None:
        if self._is_refused:
            _logger.info("the gateway's journal is written again")
        self._is_refused = False


# A start is audited at ResponseStarted; so is every other answer that the relay tells of.
_OF_GATEWAY = {"stage": "ResponseStarted", "by_gateway": True}
