"""What is remembered of each session, and for how long.

Owns the entry of one session, its durable form, the fingerprint and ids that
tell sessions apart, and the table with its timers and bounds. Called by
`sessions`, and by the gateway for its terminals. Pure: times come in as
arguments; never holds a query string, argv or a group.
"""

from __future__ import annotations

import hashlib
import heapq
from bisect import bisect_left
from collections.abc import Iterator
from typing import Literal
from urllib.parse import quote

import msgspec
from radar_audit_events.wire import MAX_SESSION_CHARS

from .capture.record import MAX_USER_CHARS, AuditRecord
from .classify import Verdict

Status = Literal[
    "open", "end_held", "denied_held", "panic_held", "closed", "assumed", "denied", "retry"
]
Shelf = Literal["open", "held", "done"]

STATE_PREFIX = "session/"
_SHELF: dict[Status, Shelf] = {
    "open": "open",
    "end_held": "held",
    "denied_held": "held",
    "panic_held": "done",  # waits as long as a tombstone does: alone it says nothing
    "closed": "done",
    "assumed": "done",
    "denied": "done",
    "retry": "done",  # a refused POST that stands for no event: its GET does
}


class Entry(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One session as it stands; replaced as a whole when it changes.

    `fingerprint` is what the session id is bound to. Of a refusal, `request` is the same
    without the time, and `twin` the fingerprint of the same request as the other one saw
    it, of gateway (`by_gateway`) and API server: each has a clock of its own. `due_ms` (Unix
    milliseconds) is when its status's time is over: an open session is then
    assumed to have ended, a held one is released, any other forgotten.
    Stamps are Unix microseconds of the API server's clock. `retry_key` binds
    the two requests of one refusal.
    """

    status: Status
    fingerprint: str
    due_ms: int
    namespace: str = ""
    pod: str = ""
    container: str | None = None
    actor: str | None = None
    claimed_org: str | None = None
    role: str | None = None
    received_us: int = 0
    started_us: int = 0
    ended_us: int = 0
    retry_key: str = ""
    verb: str = ""
    request: str = ""
    twin: str = ""
    by_gateway: bool = False

    def is_of(self, record: AuditRecord) -> bool:
        """Tell whether it is about this request, as the same one saw it before."""
        return fingerprint_of(record) in (self.fingerprint, self.twin)

    def may_be_twin_of(self, record: AuditRecord) -> bool:
        """Tell whether gateway and API server each saw this refusal, one of them only now."""
        is_other = record.code == 403 and self.by_gateway != record.by_gateway
        return is_other and not self.twin and self.request == request_of(record)

    def refused(self, status: Status, due_ms: int) -> Entry:
        """Return what is remembered of a refusal once it is told, or known to be a retry."""
        return Entry(
            status,
            self.fingerprint,
            due_ms,
            received_us=self.received_us,
            retry_key=self.retry_key,
            verb=self.verb,
            request=self.request,
            twin=self.twin,
            by_gateway=self.by_gateway,
        )

    @property
    def shelf(self) -> Shelf:
        """Which bound and which timer the entry belongs to."""
        return _SHELF[self.status]


_ENTRY = msgspec.msgpack.Decoder(Entry)


def open_entry(record: AuditRecord, verdict: Verdict) -> Entry:
    """Return the entry of a session that a request opens; its stage's stamps are the caller's."""
    return Entry(
        status="open",
        fingerprint=fingerprint_of(record),
        due_ms=0,
        namespace=record.namespace,
        pod=record.pod,
        container=record.container,
        actor=actor_of(record.impersonated_user),
        claimed_org=verdict.claimed_org,
        role=verdict.role,
        received_us=record.received_us,
    )


def encode_entry(entry: Entry) -> bytes:
    """Return the durable form of an entry."""
    return msgspec.msgpack.encode(entry)


def decode_entry(blob: bytes) -> Entry | None:
    """Read the durable form; null if it is none of ours."""
    try:
        return _ENTRY.decode(blob)
    except (msgspec.MsgspecError, ValueError):
        return None


def fingerprint_of(record: AuditRecord) -> str:
    """Return what makes a request itself: 8 bytes in hex over id, pod, user and received time."""
    return _hash(*_request(record), record.received_us)


def request_of(record: AuditRecord) -> str:
    """Return the same without the time, which is another where another clock has seen it."""
    return _hash(*_request(record))


def retry_key_of(record: AuditRecord) -> str:
    """Return what a refused GET and its retry by POST have in common, 8 bytes in hex."""
    return _hash(
        record.namespace,
        record.pod,
        record.subresource,
        record.container,
        record.impersonated_user,
        record.user_agent_hash,
    )


def actor_of(user: str | None) -> str | None:
    """Return the user's name as an actor id: controls and odd white space are written as %XX.

    The hub takes 256 printable characters without spaces at the ends; a dashboard
    that impersonates may use longer names, or others. Null where there is no name.
    """
    if not user:
        return None
    name = user.strip(" ")
    if not name.isprintable():
        name = "".join(char if char.isprintable() else quote(char) for char in name)
    return name[:MAX_USER_CHARS].rstrip(" ") or None


def session_id_of(audit_id: str) -> str:
    """Return the session id of an Audit-ID: itself, cut at the cap.

    A client may choose it, so one with other than printable ASCII is replaced by its hash.
    """
    if audit_id.isascii() and audit_id.isprintable() and " " not in audit_id:
        return audit_id[:MAX_SESSION_CHARS]
    return f"id-{_hash(audit_id)}"


def collided_id(audit_id: str, fingerprint: str) -> str:
    """Return the id of a session whose own id another session has: the same each time."""
    return f"dup-{fingerprint}-{_hash(audit_id, fingerprint)}"


def _request(record: AuditRecord) -> tuple[str | None, ...]:
    return (
        record.audit_id,
        record.namespace,
        record.pod,
        record.subresource,
        record.impersonated_user,
    )


def _hash(*parts: str | int | None) -> str:
    # JSON frames the parts, so that no two lists of parts look alike.
    return hashlib.blake2b(msgspec.json.encode(parts), digest_size=8).hexdigest()


class SessionTable:
    """All entries by session id, on three shelves, each with its timers.

    Memory is bounded by the caller: it asks `count` before it puts. Timers are
    heaps with lazy deletion: an entry's place counts only while its due time
    is the one in the heap.
    """

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._timers: dict[Shelf, list[tuple[int, str]]] = {"open": [], "held": [], "done": []}
        self._counts: dict[Shelf, int] = {"open": 0, "held": 0, "done": 0}

    def get(self, session_id: str) -> Entry | None:
        """Return the entry of a session, null if none is known."""
        return self._entries.get(session_id)

    def put(self, session_id: str, entry: Entry) -> None:
        """Set or replace the entry of a session."""
        self.drop(session_id)
        self._entries[session_id] = entry
        shelf = entry.shelf
        self._counts[shelf] += 1
        timers = self._timers[shelf]
        heapq.heappush(timers, (entry.due_ms, session_id))
        if len(timers) > 2 * self._counts[shelf] + 64:
            self._sweep(shelf)

    def drop(self, session_id: str) -> None:
        """Forget a session; nothing happens if it is unknown."""
        entry = self._entries.pop(session_id, None)
        if entry is not None:
            self._counts[entry.shelf] -= 1

    def count(self, shelf: Shelf) -> int:
        """Return how many entries stand on a shelf."""
        return self._counts[shelf]

    def first(self, shelf: Shelf) -> tuple[str, Entry] | None:
        """Return the session of a shelf whose time is over first, null if the shelf is empty."""
        timers = self._timers[shelf]
        while timers:
            due_ms, session_id = timers[0]
            entry = self._entries.get(session_id)
            if entry is not None and entry.shelf == shelf and entry.due_ms == due_ms:
                return session_id, entry
            heapq.heappop(timers)
        return None

    def items(self) -> Iterator[tuple[str, Entry]]:
        """Iterate over all sessions; the table must not change meanwhile."""
        return iter(self._entries.items())

    def _sweep(self, shelf: Shelf) -> None:
        live = [(e.due_ms, sid) for sid, e in self._entries.items() if e.shelf == shelf]
        heapq.heapify(live)
        self._timers[shelf] = live


class DenialIndex:
    """Finds the other request of a refused one: by retry key, within a window of event time.

    Requests stand sorted by the time they were received, so that a flood of
    refusals costs a search, not a scan.
    """

    def __init__(self, window_us: int) -> None:
        self._window_us = window_us
        self._gets: dict[str, list[tuple[int, str]]] = {}
        self._posts: dict[str, list[tuple[int, str]]] = {}

    def put(self, session_id: str, entry: Entry) -> None:
        """Add a refused request; nothing happens if it is there."""
        same = self._side(entry).setdefault(entry.retry_key, [])
        item = (entry.received_us, session_id)
        place = bisect_left(same, item)
        if same[place : place + 1] != [item]:
            same.insert(place, item)

    def drop(self, session_id: str, entry: Entry) -> None:
        """Forget a refused request; nothing happens if it is unknown."""
        side = self._side(entry)
        same = side.get(entry.retry_key, [])
        item = (entry.received_us, session_id)
        place = bisect_left(same, item)
        if same[place : place + 1] == [item]:
            del same[place]
            if not same:
                del side[entry.retry_key]

    def has_get_before(self, entry: Entry) -> bool:
        """Tell whether a refused GET came up to one window before this POST."""
        first = entry.received_us - self._window_us
        return bool(_between(self._gets.get(entry.retry_key, []), first, entry.received_us))

    def posts_after(self, entry: Entry) -> list[str]:
        """Return the sessions of the refused POSTs that came up to one window after this GET."""
        last = entry.received_us + self._window_us
        found = _between(self._posts.get(entry.retry_key, []), entry.received_us, last)
        return [session_id for _, session_id in found]

    def _side(self, entry: Entry) -> dict[str, list[tuple[int, str]]]:
        return self._gets if entry.verb == "get" else self._posts


def _between(items: list[tuple[int, str]], first_us: int, last_us: int) -> list[tuple[int, str]]:
    return items[bisect_left(items, (first_us, "")) : bisect_left(items, (last_us + 1, ""))]
