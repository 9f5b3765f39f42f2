"""What becomes of an event that a rule selects: told, waiting for more, or held back: pure.

Owns the order of a rule's parts: its threshold lets nothing pass before it is reached; then a
digest or a group gathers; then quiet hours make wait what is not critical; then the throttle
counts messages, and tells as a sum what it held back. Mutes and a destination's least severity
come first of all. Called by the job that follows the log and by the preview, both with `now` as
an argument. Never reads the store, and never loses an event without counting it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import msgspec

from .content import MAX_EVENTS
from .finding import Seen
from .rules import RANKS, Route, Rule, RuleKey, RuleSet, claim, group_key, raised
from .windows import digest_end, quiet_until, reopens_at, still_counting

MAX_GROUPS = 200  # that one rule keeps apart; the events of further ones are counted together
OTHERS = "(others)"
MAX_COUNTED = 20_000  # events of all groups on the way to one rule's threshold: read at each step
WindowKind = Literal["digest", "group", "quiet", "throttle"]
Lost = Literal["muted", "below_severity", "ended"]


class Gathered(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Events that are told together: the newest of their seqs, and how many there are in all.

    `suppressed` of them were held back by a throttle. Times are when they were committed.
    """

    first_seq: int
    seqs: tuple[int, ...]
    since_ms: int
    until_ms: int
    total: int = 1
    suppressed: int = 0

    def joined(self, later: Gathered) -> Gathered:
        """Return these events and later ones."""
        return Gathered(
            first_seq=min(self.first_seq, later.first_seq),
            seqs=(*self.seqs, *later.seqs)[-MAX_EVENTS:],
            since_ms=min(self.since_ms, later.since_ms),
            until_ms=max(self.until_ms, later.until_ms),
            total=self.total + later.total,
            suppressed=self.suppressed + later.suppressed,
        )


class RuleMemory(msgspec.Struct, omit_defaults=True):
    """What a rule counts.

    `counted`: by group the (time, seq) of events on the way to its threshold; `sent`: by
    destination the times of the messages that its throttle let pass.
    """

    counted: dict[str, list[tuple[int, int]]] = {}
    sent: dict[str, list[int]] = {}


class WindowKey(NamedTuple):
    """What waits where: a rule's kind of window for one destination, apart by group."""

    owner_id: str
    rule: str
    destination_id: str
    kind: WindowKind
    key: str


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """What waits, and until when (Unix ms)."""

    due_ms: int
    held: Gathered


@dataclass(slots=True)
class Memory:
    """What rules remember, as it was loaded and as the judging leaves it."""

    rules: dict[RuleKey, RuleMemory] = field(default_factory=dict)
    windows: dict[WindowKey, Window] = field(default_factory=dict)


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """A message to be: what of which rule goes to which destination.

    `cause` is why several are told at once; "event" is one that goes out as it came, "threshold"
    those that reached one.
    """

    rule: Rule
    route: Route
    cause: Literal["event", "threshold"] | WindowKind
    gathered: Gathered


@dataclass(slots=True)
class Judge:
    """One judging of some events, or of a preview's. `now_ms` (Unix ms) may be moved on."""

    rules: RuleSet
    memory: Memory
    now_ms: int
    drafts: list[Draft] = field(default_factory=list)
    lost: Counter[Lost] = field(default_factory=Counter)
    suppressed: Counter[str] = field(default_factory=Counter)  # by destination id
    below_threshold: int = 0
    _groups: Counter[tuple[str, ...]] = field(init=False, repr=False)
    _gone_through: dict[tuple[RuleKey, str], int] = field(default_factory=dict, repr=False)
    _last: Gathered | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        """Count the groups that are open, by rule and destination."""
        self._groups = Counter(key[:3] for key in self.memory.windows if key.kind == "group")

    def flush(self) -> None:
        """Release what waited until now; what waits for a rule or a route that is no more ends."""
        due = [(w.due_ms, key) for key, w in self.memory.windows.items() if w.due_ms <= self.now_ms]
        for _, key in sorted(due):
            window = self.memory.windows.pop(key)  # as it is now: one before may have added to it
            if key.kind == "group":
                self._groups[key[:3]] -= 1
            rule = self.rules.by_key.get((key.owner_id, key.rule))
            route = None if rule is None else _route_to(rule, key.destination_id)
            if rule is None or route is None:
                self.lost["ended"] += window.held.total
            elif route.is_muted(self.now_ms):
                self.lost["muted"] += window.held.total
            elif key.kind == "group":
                self._release(rule, route, window.held, "group")
            else:
                self._tell_gathered(rule, route, key.kind, window.held)

    def take(self, rule: Rule, seen: Seen) -> None:
        """Judge an event that a rule selects."""
        routes = self._open_routes(rule, seen)
        if not routes:
            return
        one = self._alone(seen)
        if rule.threshold is not None:
            reached = self._counted(rule, seen)
            if reached is None:
                return
            one = reached
        key = "" if rule.group_by is None else group_key(seen, rule.group_by)
        for route in routes:
            if rule.digest_seconds is not None:
                end_ms = digest_end(self.now_ms, rule.digest_seconds)
                self._gather(rule, route, "digest", "", one, end_ms)
            elif rule.group_by is not None:
                end_ms = self.now_ms + rule.group_wait_ms
                self._gather(rule, route, "group", self._bounded(rule, route, key), one, end_ms)
            else:
                self._release(rule, route, one, "event" if one.total == 1 else "threshold")

    def _alone(self, seen: Seen) -> Gathered:
        """Return an event by itself: made once for all rules that select it."""
        if self._last is None or self._last.first_seq != seen.seq:
            at_ms = seen.recorded_at_ms
            self._last = Gathered(
                first_seq=seen.seq, seqs=(seen.seq,), since_ms=at_ms, until_ms=at_ms
            )
        return self._last

    def _open_routes(self, rule: Rule, seen: Seen) -> list[Route]:
        """Return where an event may be told to; what a mute or a severity forbids is counted."""
        is_muted = rule.is_muted(seen.recorded_at_ms)
        rank, found = RANKS[rule.severity], []
        for route in rule.routes:
            if route.from_seq > seen.seq:
                continue
            if is_muted or (route.muted_until_ms and route.is_muted(seen.recorded_at_ms)):
                self.lost["muted"] += 1
            elif rank < RANKS[route.min_severity]:
                self.lost["below_severity"] += 1
            else:
                found.append(route)
        return found

    def _counted(self, rule: Rule, seen: Seen) -> Gathered | None:
        """Count an event of a rule with a threshold; all that were counted if that reaches it."""
        limit = rule.threshold
        assert limit is not None
        counted = self._memory_of(rule).counted
        key = group_key(seen, limit.by)
        if key not in counted and len(counted) >= MAX_GROUPS:
            self._forget_old_groups(rule, limit.within_seconds * 1000, seen.recorded_at_ms)
            key = key if len(counted) < MAX_GROUPS else OTHERS
        kept = counted.setdefault(key, [])
        # In the order of the log, so only the oldest are looked at: there may be 10,000 for each
        # event that is judged.
        old = 0
        while old < len(kept) and not _within(kept[old][0], seen, limit.within_seconds):
            old += 1
        del kept[:old]
        self.below_threshold += old
        kept.append((seen.recorded_at_ms, seen.seq))
        if len(kept) < limit.count:
            if len(kept) * MAX_GROUPS > MAX_COUNTED:
                self._bound(counted, key)
            return None
        counted.pop(key, None)
        times = [at for at, _ in kept]
        seqs = [seq for _, seq in kept]
        return Gathered(
            first_seq=min(seqs),
            seqs=tuple(seqs[-MAX_EVENTS:]),
            since_ms=min(times),
            until_ms=max(times),
            total=len(kept),
        )

    def _forget_old_groups(self, rule: Rule, within_ms: int, at_ms: int) -> None:
        counted = self._memory_of(rule).counted
        for key in [k for k, times in counted.items() if times[-1][0] <= at_ms - within_ms]:
            self.below_threshold += len(counted.pop(key))

    def _bound(self, counted: dict[str, list[tuple[int, int]]], key: str) -> None:
        """Forget groups, those without an event for the longest time first, but never `key`'s."""
        total = sum(len(times) for times in counted.values())
        while total > MAX_COUNTED and len(counted) > 1:
            oldest = min((k for k in counted if k != key), key=lambda k: counted[k][-1])
            forgotten = len(counted.pop(oldest))
            total -= forgotten
            self.below_threshold += forgotten

    def _release(
        self,
        rule: Rule,
        route: Route,
        gathered: Gathered,
        cause: Literal["event", "threshold", "group"],
    ) -> None:
        """Let a message out, unless quiet hours or the throttle are against it."""
        if self._waits_for_quiet(rule, route, gathered):
            return
        limit = rule.throttle
        if limit is not None:
            length_ms = limit.per_seconds * 1000
            recent = self._recent(rule, route, length_ms)
            if len(recent) >= limit.max:
                name = WindowKey(*rule.key, route.destination_id, "throttle", "")
                window = self.memory.windows.get(name)
                due_ms = window.due_ms if window else reopens_at(recent, limit.max, length_ms)
                held = msgspec.structs.replace(gathered, suppressed=gathered.total)
                self._gather(rule, route, "throttle", "", held, due_ms)
                self.suppressed[route.destination_id] += gathered.total
                return
            recent.append(self.now_ms)
        self.drafts.append(Draft(rule=rule, route=route, cause=cause, gathered=gathered))

    def _recent(self, rule: Rule, route: Route, length_ms: int) -> list[int]:
        """Return the times that a throttle counts; at one `now` they are gone through once."""
        sent, place = self._memory_of(rule).sent, (rule.key, route.destination_id)
        if self._gone_through.get(place) != self.now_ms:
            before = sent.get(route.destination_id, ())
            sent[route.destination_id] = still_counting(before, length_ms, self.now_ms)
            self._gone_through[place] = self.now_ms
        return sent[route.destination_id]

    def _tell_gathered(
        self, rule: Rule, route: Route, kind: WindowKind, gathered: Gathered
    ) -> None:
        if not self._waits_for_quiet(rule, route, gathered):
            self.drafts.append(Draft(rule=rule, route=route, cause=kind, gathered=gathered))

    def _waits_for_quiet(self, rule: Rule, route: Route, gathered: Gathered) -> bool:
        """Put off to the end of quiet hours, together, what is not critical."""
        end_ms = None if rule.severity == "critical" else quiet_until(rule.quiet, self.now_ms)
        if end_ms is None:
            return False
        self._gather(rule, route, "quiet", "", gathered, end_ms)
        return True

    def _gather(
        self,
        rule: Rule,
        route: Route,
        kind: WindowKind,
        key: str,
        gathered: Gathered,
        due_ms: int,
    ) -> None:
        name = WindowKey(*rule.key, route.destination_id, kind, key)
        window = self.memory.windows.get(name)
        if window is not None:
            due_ms, gathered = min(due_ms, window.due_ms), window.held.joined(gathered)
        elif kind == "group":
            self._groups[name[:3]] += 1
        self.memory.windows[name] = Window(due_ms=due_ms, held=gathered)

    def _bounded(self, rule: Rule, route: Route, key: str) -> str:
        """Return the key of an event's group, or that of all others where there are too many."""
        name = WindowKey(*rule.key, route.destination_id, "group", key)
        is_known = name in self.memory.windows
        return key if is_known or self._groups[name[:3]] < MAX_GROUPS else OTHERS

    def _memory_of(self, rule: Rule) -> RuleMemory:
        return self.memory.rules.setdefault(rule.key, RuleMemory())


def _route_to(rule: Rule, destination_id: str) -> Route | None:
    return next((r for r in rule.routes if r.destination_id == destination_id), None)


def _within(at_ms: int, seen: Seen, seconds: int) -> bool:
    return at_ms > seen.recorded_at_ms - seconds * 1000


def strongest(drafts: Iterable[Draft], disabled: Container[str] = ()) -> list[Draft]:
    """Return the drafts without those of one event for one receiver, but for one.

    Two owners' rules may lead to the same receiver: the event is told there once, with the highest
    severity, by whose claim is the greatest. `disabled` are ids of destinations.
    """
    best: dict[tuple[str, int], Draft] = {}
    others = []
    for draft in drafts:
        if draft.cause != "event":
            others.append(draft)
            continue
        place = draft.route.identity, draft.gathered.first_seq
        known = best.get(place)
        best[place] = draft if known is None else _told_as_one(known, draft, disabled)
    return [*best.values(), *others]


def _told_as_one(known: Draft, other: Draft, disabled: Container[str]) -> Draft:
    best = max(known, other, key=lambda draft: claim(draft.rule, draft.route, disabled))
    rule = raised(best.rule, known.rule if best is other else other.rule)
    return best if rule is best.rule else msgspec.structs.replace(best, rule=rule)
