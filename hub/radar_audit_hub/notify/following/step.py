"""One step along an org's log: some events judged, and all that follows written as one.

Owns the order that loses nothing and doubles nothing: read, judge, then in one transaction move
the cursor (under the condition that nobody moved it since), put the messages, and write what the
rules remember. Killed anywhere before the commit the step is as if it had not been; a rival that
judged the same events is turned away by the cursor. Called by `job.py`. Never sends anything.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
from radar_audit_events.ids import new_id

from radar_audit_hub.context import Hub
from radar_audit_hub.notify.composing import content_of, dedup_key, is_prompt, kind_of
from radar_audit_hub.notify.content import encode
from radar_audit_hub.notify.finding import Seen
from radar_audit_hub.notify.judging import (
    Draft,
    Judge,
    Memory,
    RuleMemory,
    Window,
    WindowKey,
    strongest,
)
from radar_audit_hub.notify.rules import Rule, RuleKey, RuleSet
from radar_audit_hub.retention.in_force import read
from radar_audit_hub.retention.policy import Floors, floors
from radar_audit_hub.store.database import Connection
from radar_audit_hub.store.notify_destinations import disabled_ids
from radar_audit_hub.store.notify_expiry import event_ids_of
from radar_audit_hub.store.notify_following import (
    Cursor,
    FollowedOrg,
    Remembered,
    advance,
    get_cursor,
    get_followed_org,
    load_memories,
    load_windows,
    remember,
    rules_due,
    stop_following,
)
from radar_audit_hub.store.notify_messages import MESSAGE_PREFIX, NewMessage, put_messages
from radar_audit_hub.store.notify_reading import events_at, events_between

from .loading import RuleSets

STEP_EVENTS = 500
_STEP_LOOKS = 50_000  # events times rules of one step, so that it is short with many rules
_SLICE_EVENTS = 50  # judged without letting other requests run
_rule_memory = msgspec.json.Decoder(RuleMemory)
_window = msgspec.json.Decoder(Window)


class _SupersededError(Exception):
    """Another step, or a change of a document, came between: nothing is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loaded:
    """What a step begins with."""

    cursor: Cursor
    org: FollowedOrg
    rules: RuleSet
    floors: Floors
    events: list[Seen]
    end_seq: int


@dataclass(frozen=True, slots=True)
class _Kept:
    """What rules remembered when it was loaded, as text: only what differs is written."""

    memories: Mapping[RuleKey, str]
    windows: Mapping[WindowKey, tuple[int, str]]


@dataclass(frozen=True, slots=True)
class Stepper:
    """Makes steps in the name of `holder`, a name of this replica."""

    hub: Hub
    holder: str
    sets: RuleSets

    async def step(self, org_id: str) -> bool:
        """Judge the next events of an org and release what waited until now.

        Tell whether there is more to judge, or all of it again since something came between.
        """
        now_ms = self.hub.now_ms()
        loaded = await self._load(org_id, now_ms)
        if loaded is None:
            return False
        selected = await _select(loaded)
        kept, memory, disabled = await self._recall(org_id, selected, now_ms)
        judge = Judge(loaded.rules, memory, now_ms)
        judge.flush()
        for seen, rules in selected:
            for rule in rules:
                judge.take(rule, seen)
        drafts = strongest(judge.drafts, disabled)
        messages = await self._compose(org_id, loaded, drafts, now_ms)
        changed = _changed(kept, memory, judge)
        if loaded.end_seq == loaded.cursor.next_seq and not messages and not changed.windows:
            return False
        try:
            put = await self._write(loaded, messages, changed, now_ms)
        except _SupersededError:
            self.sets.forget(org_id)
            return True
        self._count(loaded, judge, messages, put)
        return loaded.end_seq < loaded.cursor.end_seq

    async def _load(self, org_id: str, now_ms: int) -> _Loaded | None:
        async with self.hub.db.read() as conn:
            cursor = await get_cursor(conn, org_id)
            if cursor is None:
                return None
            org = await get_followed_org(conn, org_id)
            if not org.is_deleted:
                rules = await self.sets.of(conn, org_id, org.revision)
                limits = floors(org.plan, now_ms, read(org.retention))
                room = max(1, min(STEP_EVENTS, _STEP_LOOKS // max(1, len(rules.rules))))
                end_seq = min(cursor.end_seq, cursor.next_seq + room)
                events = await _events(conn, cursor, limits, end_seq)
                return _Loaded(
                    cursor=cursor,
                    org=org,
                    rules=rules,
                    floors=limits,
                    events=events,
                    end_seq=end_seq,
                )
        async with self.hub.db.write() as conn:
            await stop_following(conn, org_id)
        return None

    async def _recall(
        self, org_id: str, selected: list[tuple[Seen, list[Rule]]], now_ms: int
    ) -> tuple[_Kept, Memory, frozenset[str]]:
        """Load what the rules remember that select an event, or for which something is due.

        Also which destinations are disabled: that changes without a new revision of the rules.
        """
        keys = {rule.key for _, rules in selected for rule in rules if rule.remembers}
        async with self.hub.db.read() as conn:
            keys |= await rules_due(conn, org_id, now_ms)
            memories = await load_memories(conn, org_id, keys)
            windows = await load_windows(conn, org_id, keys)
            disabled = await disabled_ids(conn, org_id)
        named = {_key(key): value for key, value in windows.items()}
        memory = Memory(
            {key: _rule_memory.decode(text) for key, text in memories.items()},
            {key: _window.decode(text) for key, (_, text) in named.items()},
        )
        return _Kept(memories, named), memory, disabled

    async def _compose(
        self, org_id: str, loaded: _Loaded, drafts: list[Draft], now_ms: int
    ) -> list[NewMessage]:
        events = {seen.seq: seen for seen in loaded.events}
        missing = {seq for draft in drafts for seq in draft.gathered.seqs} - events.keys()
        if missing:
            async with self.hub.db.read() as conn:
                for first in range(0, len(missing), STEP_EVENTS):
                    some = sorted(missing)[first : first + STEP_EVENTS]
                    found = await events_at(conn, org_id, loaded.floors, some)
                    events |= {seen.seq: seen for seen in found}
        contents = [
            (draft, content_of(draft, events, org_id=org_id, org_name=loaded.org.name))
            for draft in drafts
        ]
        return [
            NewMessage(
                org_id=org_id,
                id=new_id(MESSAGE_PREFIX, now_ms, self.hub.random_bytes(10)),
                destination_id=draft.route.destination_id,
                owner_id=draft.rule.place.owner_id,
                rule=draft.rule.name,
                kind=kind_of(draft),
                severity=draft.rule.severity,
                dedup_key=dedup_key(draft, events),
                payload=encode(content),
                event_ids=event_ids_of(event["id"] for event in content.events),
                created_at=now_ms,
                due_at=now_ms,
                # What waited on purpose says nothing of how fast messages are.
                recorded_at=draft.gathered.until_ms if is_prompt(draft) else None,
            )
            for draft, content in contents
        ]

    async def _write(
        self, loaded: _Loaded, messages: list[NewMessage], changed: Remembered, now_ms: int
    ) -> int:
        async with self.hub.db.write() as conn:
            moved = await advance(
                conn,
                loaded.cursor,
                next_seq=loaded.end_seq,
                revision=loaded.org.revision,
                holder=self.holder,
                now_ms=now_ms,
            )
            if not moved:
                raise _SupersededError
            put = await put_messages(conn, messages)
            await remember(conn, loaded.cursor.org_id, changed)
        if messages:
            self.hub.deliveries.wake()
        return put

    def _count(self, loaded: _Loaded, judge: Judge, messages: list[NewMessage], put: int) -> None:
        metrics = self.hub.metrics
        metrics.notify_events.inc(loaded.end_seq - loaded.cursor.next_seq)
        if put:
            for kind, count in Counter(message.kind for message in messages).items():
                metrics.notify_messages.labels(kind).inc(count)
        metrics.notify_suppressed.inc(sum(judge.suppressed.values()))


async def _events(conn: Connection, cursor: Cursor, limits: Floors, end_seq: int) -> list[Seen]:
    if end_seq <= cursor.next_seq:
        return []
    return await events_between(conn, cursor.org_id, limits, cursor.next_seq, end_seq)


async def _select(loaded: _Loaded) -> list[tuple[Seen, list[Rule]]]:
    """Return the events that rules select, each with them."""
    selected = []
    for place, seen in enumerate(loaded.events, 1):
        if found := loaded.rules.selecting(seen):
            selected.append((seen, found))
        if place % _SLICE_EVENTS == 0:
            await asyncio.sleep(0)
    return selected


def _key(key: tuple[str, str, str, str, str]) -> WindowKey:
    return WindowKey(*key)  # type: ignore[arg-type]


def _changed(kept: _Kept, memory: Memory, judge: Judge) -> Remembered:
    """Return what differs from what was loaded."""
    memories: dict[RuleKey, str | None] = {}
    for key, counts in memory.rules.items():
        text = None
        if counts != RuleMemory():
            text = msgspec.json.encode(counts).decode()
        if text != kept.memories.get(key):
            memories[key] = text
    windows: dict[tuple[str, str, str, str, str], tuple[int, str] | None] = {
        key: None for key in kept.windows if key not in memory.windows
    }
    for name, window in memory.windows.items():
        held = window.due_ms, msgspec.json.encode(window).decode()
        if kept.windows.get(name) != held:
            windows[name] = held
    return Remembered(memories=memories, windows=windows, suppressed=judge.suppressed)
