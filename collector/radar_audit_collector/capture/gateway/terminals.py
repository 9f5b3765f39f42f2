"""The terminals that the gateway has open: which events they give, which state survives.

Owns starts and ends as the gateway sees them. They come in order and with their
true reason, so there is nothing to pair and nothing that expires. Called by
`journal`. Pure: times come in as arguments; every step says which events and which
state belong into one transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec
from radar_audit_events.wire import EndReason

from radar_audit_collector.capture.record import AuditRecord
from radar_audit_collector.classify import Verdict
from radar_audit_collector.session_entries import (
    Entry,
    collided_id,
    decode_entry,
    encode_entry,
    open_entry,
    session_id_of,
)
from radar_audit_collector.session_events import closed_event, start_event
from radar_audit_collector.sessions import Captured

OPEN_PREFIX = "gateway/open/"
USED_PREFIX = "gateway/used/"
MAX_USED = 10_000
_REMEMBER_MS = 24 * 60 * 60 * 1000


@dataclass(frozen=True, slots=True)
class Change:
    """What one call gives: events, and state to put (or delete: null) with them."""

    events: tuple[Captured, ...] = ()
    state: Mapping[str, bytes | None] = field(default_factory=dict)


class Terminals:
    """The open terminals by session id, made from the durable state of the last run."""

    def __init__(self, state: Mapping[str, bytes]) -> None:
        """Take the keys that are the gateway's; unreadable ones are passed over."""
        self._open: dict[str, Entry] = {}
        self._used: dict[str, int] = {}  # until when (Unix ms) an id that a client chose counts
        for key, blob in state.items():
            if key.startswith(OPEN_PREFIX):
                entry = decode_entry(blob)
                if entry is not None:
                    self._open[key[len(OPEN_PREFIX) :]] = entry
            elif key.startswith(USED_PREFIX) and blob.isdigit():
                self._used[key[len(USED_PREFIX) :]] = int(blob)
        self._used = dict(sorted(self._used.items(), key=lambda item: item[1]))

    def open_ids(self) -> list[str]:
        """Return the ids of the terminals that are open."""
        return list(self._open)

    def start(self, verdict: Verdict, *, chosen: bool, now_ms: int) -> tuple[str, Change]:
        """Take a start (`chosen`: its id is the client's); return its session id and the change."""
        record = verdict.record
        assert record is not None
        opened = open_entry(record, verdict)  # without a due time, so it never expires
        entry = msgspec.structs.replace(opened, started_us=record.stage_us)
        session_id = self._free_id(record, entry.fingerprint)
        state: dict[str, bytes | None] = {OPEN_PREFIX + session_id: encode_entry(entry)}
        if chosen:
            self._remember(session_id, now_ms, state)
        self._open[session_id] = entry
        event = start_event(session_id, entry, observed=True)
        return session_id, Change((Captured(event, entry.claimed_org),), state)

    def end(self, session_id: str, reason: EndReason, at_us: int) -> Change:
        """Take an end (Unix microseconds); one of an unknown terminal gives nothing."""
        entry = self._open.pop(session_id, None)
        if entry is None:
            return Change()
        entry = msgspec.structs.replace(entry, ended_us=max(at_us, entry.started_us))
        event = closed_event(session_id, entry, reason)
        return Change((Captured(event, entry.claimed_org),), {OPEN_PREFIX + session_id: None})

    def end_all(self, session_ids: list[str], reason: EndReason, at_us: int) -> Change:
        """End several terminals at once."""
        changes = [self.end(session_id, reason, at_us) for session_id in session_ids]
        return join(changes)

    def _free_id(self, record: AuditRecord, fingerprint: str) -> str:
        """Return the Audit-ID, or another one if the client has used it for something else."""
        session_id = session_id_of(record.audit_id)
        if session_id in self._open or session_id in self._used:
            return collided_id(record.audit_id, fingerprint)
        return session_id

    def _remember(self, session_id: str, now_ms: int, state: dict[str, bytes | None]) -> None:
        until_ms = now_ms + _REMEMBER_MS
        self._used[session_id] = until_ms
        state[USED_PREFIX + session_id] = str(until_ms).encode()
        # Oldest first, so that a flood of them costs no scan.
        while len(self._used) > MAX_USED or self._first_used()[1] <= now_ms:
            oldest = self._first_used()[0]
            del self._used[oldest]
            state[USED_PREFIX + oldest] = None

    def _first_used(self) -> tuple[str, int]:
        return next(iter(self._used.items()))


def join(changes: list[Change]) -> Change:
    """Return several changes as one, later ones winning over earlier ones of the same key."""
    state: dict[str, bytes | None] = {}
    for change in changes:
        state.update(change.state)
    return Change(tuple(event for change in changes for event in change.events), state)
