"""From events to the rows that people read: start and end of a terminal as one row.

Owns the words for an event: what it was about, and how a terminal ended. Called by the Activity
and the Sessions pages. Never decides what is found or how old an event may be: the store does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from radar_audit_events.actions import ACTIONS
from radar_audit_events.errors import TimeError
from radar_audit_events.event import Event
from radar_audit_events.ids import parse_ms, source_key
from radar_audit_events.matching import matches
from radar_audit_events.query import Query

from radar_audit_hub.retention.policy import Floors
from radar_audit_hub.store.database import Database
from radar_audit_hub.store.known_names import names_by_id
from radar_audit_hub.store.query import StoredEvent
from radar_audit_hub.store.terminals import events_by_key

from .event_names import holder_words, own_names

STARTED, ENDED, DENIED = "pod.exec_started", "pod.exec_ended", "cluster.action_denied"
# How a terminal ended, in words; the keys are those of the action table.
END_WORDS: Mapping[str, str] = {
    "client_closed": "closed by the person",
    "server_closed": "closed by the cluster",
    "error": "ended by an error",
    "collector_shutdown": "cut off: the collector was stopped",
    "collector_restart": "cut off: the collector was restarted",
    "assumed": "assumed to be over: the collector fell silent",
}
# What of the metadata the row shows elsewhere.
_SHOWN_ELSEWHERE = frozenset(
    (
        "cluster_id", "cluster_name", "namespace", "pod", "container", "session_id", "duration_ms",
        "end_reason", "observed", "started_at", "via_pat", "supersedes", "name", "email", "changes",
    )
)  # fmt: skip
_MAX_FACTS = 4
_decoder = msgspec.json.Decoder(dict[str, Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    """A terminal as far as it is known; times in Unix ms, `end_words` say how it ended."""

    session_id: str
    started_ms: int | None
    ended_ms: int | None
    duration_ms: int | None
    end_words: str | None
    observed: bool

    @property
    def is_open(self) -> bool:
        """Whether no end is known."""
        return self.ended_ms is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row: an event, and for a terminal its other half, where that is known.

    `names` are those of the ids in it that are known.
    """

    event: StoredEvent
    metadata: Mapping[str, Any]
    title: str
    target: str
    cluster: str
    facts: Sequence[tuple[str, str]]
    names: Mapping[str, str]
    terminal: Terminal | None = None
    other: StoredEvent | None = None

    @property
    def is_denied(self) -> bool:
        """Whether somebody was refused what they tried."""
        return self.event.action == DENIED

    @property
    def is_warning(self) -> bool:
        """Whether the action is one to look at."""
        return ACTIONS[self.event.action].severity == "warning"

    @property
    def via_pat(self) -> str | None:
        """The name of the token it was done with, None for none."""
        name = self.metadata.get("via_pat")
        return None if name is None else str(name)

    @property
    def actor(self) -> str | None:
        """By what the log finds who did it: their e-mail, else their id; None: nobody did."""
        return self.event.actor_email or self.event.actor_user_id

    @property
    def actor_name(self) -> str | None:
        """Who did it, as people call them; None where nobody did."""
        return self.event.actor_email or self.names.get(self.actor or "", self.actor)

    @property
    def actor_id(self) -> str | None:
        """Their id, where they are not called by it anyway."""
        found = self.event.actor_user_id
        return None if found == self.actor_name else found


async def rows_of(
    database: Database,
    org_id: str,
    events: Sequence[StoredEvent],
    floors: Floors,
    query: Query | None = None,
    *,
    org_name: str,
) -> list[Row]:
    """Return the rows of events, which are in the order of the page.

    A start whose end `query` finds too is part of the end's row, wherever that is. Without a
    query nothing is left out. All ids that no event names are looked up at once.
    """
    known = {event.id: _decoder.decode(event.metadata) for event in events}
    halves = await _other_halves(database, org_id, events, known, floors)
    own = {event.id: own_names(event, known[event.id]) for event in events}
    nameless = {one for names in own.values() for one, name in names.items() if name is None}
    found = await names_by_id(database, org_id, nameless - {org_id}) | {org_id: org_name}
    made = []
    for event in events:
        other = halves.get(event.id)
        folded = event.action == STARTED and other is not None and query is not None
        if folded and other is not None and query is not None and _finds(query, other):
            continue
        names = {one: name or found.get(one) for one, name in own[event.id].items()}
        called = {one: name for one, name in names.items() if name is not None}
        made.append(_row(event, known[event.id], other, called))
    return made


def _row(
    event: StoredEvent,
    metadata: Mapping[str, Any],
    other: StoredEvent | None,
    names: Mapping[str, str],
) -> Row:
    """Return the row of an event and, for a terminal, its other half."""
    terminal = None
    if event.action in (STARTED, ENDED):
        terminal = _terminal(event, metadata, other)
    return Row(
        event=event,
        metadata=metadata,
        title=_title(event, terminal),
        target=_target(event, metadata, names),
        cluster=_cluster(event, metadata, names),
        facts=_facts(metadata, names),
        names=names,
        terminal=terminal,
        other=other,
    )


async def _other_halves(
    database: Database,
    org_id: str,
    events: Sequence[StoredEvent],
    known: Mapping[str, Mapping[str, Any]],
    floors: Floors,
) -> dict[str, StoredEvent]:
    """Return the end of each start and the start of each end, by the event's id."""
    wanted: dict[str, list[bytes]] = {}
    places = {(_place(known[e.id]), e.action): e for e in events if e.action in (STARTED, ENDED)}
    for event in events:
        kinds = {STARTED: ("ended", "assumed"), ENDED: ("started",)}.get(event.action, ())
        cluster_id, session_id = _place(known[event.id])
        wanted[event.id] = [source_key(cluster_id, session_id, kind) for kind in kinds]
    keys = [key for mine in wanted.values() for key in mine]
    found = await events_by_key(database, org_id, keys, floors)
    result = {}
    for event in events:
        hit = next((found[key] for key in wanted[event.id] if key in found), None)
        if hit is None and event.action in (STARTED, ENDED):
            # Recorded by another control plane: its rows have no such key, but may be near.
            other_action = ENDED if event.action == STARTED else STARTED
            hit = places.get((_place(known[event.id]), other_action))
        if hit is not None:
            result[event.id] = hit
    return result


def _place(metadata: Mapping[str, Any]) -> tuple[str, str]:
    return str(metadata.get("cluster_id", "")), str(metadata.get("session_id", ""))


def _finds(query: Query, stored: StoredEvent) -> bool:
    metadata = _decoder.decode(stored.metadata)
    event = Event(
        id=stored.id,
        org_id=stored.org_id,
        actor_user_id=stored.actor_user_id,
        actor_email=stored.actor_email,
        action=stored.action,
        target_type=stored.target_type,
        target_id=stored.target_id,
        cluster_id=metadata.get("cluster_id"),
        metadata=metadata,
        created_at_ms=parse_ms(stored.created_at),
    )
    return matches(query, event)


def _terminal(
    event: StoredEvent, metadata: Mapping[str, Any], other: StoredEvent | None
) -> Terminal:
    start, end = (event, other) if event.action == STARTED else (other, event)
    last = {} if end is None else metadata if end is event else _decoder.decode(end.metadata)
    started = None if start is None else parse_ms(start.created_at)
    if started is None:
        started = _time(last.get("started_at"))
    reason = last.get("end_reason")
    return Terminal(
        session_id=str(metadata.get("session_id", "")),
        started_ms=started,
        ended_ms=None if end is None else parse_ms(end.created_at),
        duration_ms=last.get("duration_ms"),
        end_words=None if reason is None else END_WORDS.get(reason, str(reason)),
        observed=bool(last.get("observed", metadata.get("observed", True))),
    )


def _time(text: object) -> int | None:
    """Return a time of the metadata, which is any text, None for what is none."""
    try:
        return parse_ms(text) if isinstance(text, str) else None
    except TimeError:
        return None


def _title(event: StoredEvent, terminal: Terminal | None) -> str:
    if terminal is None:
        return ACTIONS[event.action].title
    if terminal.is_open:
        return "Pod terminal opened"
    return "Pod terminal" if terminal.started_ms is not None else "Pod terminal closed"


def _target(event: StoredEvent, metadata: Mapping[str, Any], names: Mapping[str, str]) -> str:
    if metadata.get("pod"):
        parts = [metadata.get("namespace"), metadata["pod"], metadata.get("container")]
        return " / ".join(str(part) for part in parts if part)
    if event.target_id in names:
        return names[event.target_id]
    for key in ("name", "email", "plan"):
        if metadata.get(key):
            return str(metadata[key])
    return event.target_id


def _cluster(event: StoredEvent, metadata: Mapping[str, Any], names: Mapping[str, str]) -> str:
    cluster_id = event.target_id if event.target_type == "cluster" else metadata.get("cluster_id")
    if metadata.get("cluster_name"):
        return str(metadata["cluster_name"])
    return "" if cluster_id is None else names.get(str(cluster_id), str(cluster_id))


def _facts(metadata: Mapping[str, Any], names: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the few facts of the metadata that the row names, in words."""
    facts: list[tuple[str, str]] = []
    changes = metadata.get("changes")
    if isinstance(changes, dict):
        for name, pair in changes.items():
            if isinstance(pair, list) and len(pair) == 2:
                facts.append((str(name), f"{_plain(pair[0])} → {_plain(pair[1])}"))
    if metadata.get("namespace") and not metadata.get("pod"):  # else it is in the target
        facts.append(("namespace", str(metadata["namespace"])))
    for name, value in metadata.items():
        if name in _SHOWN_ELSEWHERE or value in (None, [], {}):
            continue
        if name == "owner" and isinstance(value, str):
            facts.append((name, holder_words(value, names)))
        elif name != "inviter_user_id":
            facts.append((name, _plain(value)))
        elif not metadata.get("inviter_email"):
            facts.append(("inviter", names.get(str(value), str(value))))
    return facts[:_MAX_FACTS]


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return "none"
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value) if value else "none"
    if isinstance(value, dict) and all(isinstance(one, str) for one in value.values()):
        return ", ".join(f"{key}={one}" for key, one in value.items())  # labels
    return msgspec.json.encode(value).decode()
