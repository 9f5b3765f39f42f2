"""The alert rules of an org, made ready once for many events: pure.

Owns what a rule of a document comes to: which events and kinds it selects, and where to they are
told. Called by the job that follows the log, by Radar's own kinds and by the preview. Never reads
the store or a clock; a rule that is suspended is no rule here.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field, replace

from radar_audit_events.actions import ACTIONS
from radar_audit_events.ids import parse_ms
from radar_audit_events.policy_wire import (
    AlertRule,
    Destination,
    GroupBy,
    NotificationSettings,
    QuietHours,
    Severity,
    Threshold,
    Throttle,
)
from radar_audit_events.query import Query, Term, Value, parse

from radar_audit_hub.policy.mistakes import actions_of

from .finding import Finder, Seen, Test, finder

RANKS: Mapping[Severity, int] = {"info": 0, "warning": 1, "critical": 2}
NO_KEY = ""  # the group of events that have nothing to be grouped by
RuleKey = tuple[str, str]  # owner id and name of a rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One destination of a rule; `from_seq` is the first event that may be told there.

    `identity` is the same for two that lead to the same receiver.
    """

    destination_id: str
    name: str
    identity: str
    min_severity: Severity = "info"
    muted_until_ms: int | None = None
    from_seq: int = 0

    def takes(self, severity: Severity, at_ms: int) -> bool:
        """Tell whether a message of a severity and a time (Unix ms) may go there."""
        return RANKS[severity] >= RANKS[self.min_severity] and not self.is_muted(at_ms)

    def is_muted(self, at_ms: int) -> bool:
        """Tell whether nothing of a time (Unix ms) is to go there."""
        return self.muted_until_ms is not None and at_ms < self.muted_until_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a document stands: whose it is, and what of the log its rules may look at.

    Only events and notices of `cluster_id` (None: all of the org), and with an `only_namespace`
    only events of that.
    """

    owner_id: str
    cluster_id: str | None
    only_namespace: str | None = None

    @property
    def reach(self) -> int:
        """How much of the log its rules may look at: 2 all of it, 1 a cluster, 0 a namespace."""
        if self.only_namespace is not None:
            return 0
        return 2 if self.cluster_id is None else 1


def place_of(
    owner_id: str, cluster_id: str | None, asked: NotificationSettings, *, speaks_for_org: bool
) -> Place:
    """Return where an owner's alerts stand; `cluster_id` is its object's, None for the org's own.

    A namespace is one of its cluster: alerts that are bound to it never see another cluster's
    namespace of that name, also where the owner speaks for the org.
    """
    sees_org = speaks_for_org and asked.only_namespace is None
    return Place(
        owner_id=owner_id,
        cluster_id=None if sees_org else cluster_id,
        only_namespace=asked.only_namespace,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rule:
    """A rule in force. Times and lengths are milliseconds."""

    place: Place
    name: str
    severity: Severity
    routes: tuple[Route, ...]
    finder: Finder
    kinds: frozenset[str] = frozenset()
    threshold: Threshold | None = None
    throttle: Throttle | None = None
    group_by: GroupBy | None = None
    group_wait_ms: int = 0
    digest_seconds: int | None = None
    quiet: QuietHours | None = None
    muted_until_ms: int | None = None

    @property
    def key(self) -> RuleKey:
        """What its memory is kept under."""
        return self.place.owner_id, self.name

    @property
    def remembers(self) -> bool:
        """Whether anything of it outlives a step: if not, there is nothing to load for it."""
        kept = (self.threshold, self.throttle, self.group_by, self.digest_seconds, self.quiet)
        return any(part is not None for part in kept)

    def selects(self, seen: Seen) -> bool:
        """Tell whether it selects an event."""
        return seen.event.action in self.finder.actions and self.passes(seen)

    def passes(self, seen: Seen) -> bool:
        """Tell whether it selects an event that has one of its finder's actions."""
        cluster_id = self.place.cluster_id
        if cluster_id is not None and seen.event.cluster_id != cluster_id:
            return False
        return self.finder.passes(seen)

    def selects_kind(self, kind: str, cluster_id: str | None) -> bool:
        """Tell whether it selects one of Radar's own kinds, about a cluster or the whole org."""
        if kind not in self.kinds or self.place.only_namespace is not None:
            return False
        return self.place.cluster_id is None or self.place.cluster_id == cluster_id

    def is_muted(self, at_ms: int) -> bool:
        """Tell whether what happens at a time (Unix ms) is not to be told."""
        return self.muted_until_ms is not None and at_ms < self.muted_until_ms


def make_rule(asked: AlertRule, place: Place, routes: Iterable[Route]) -> Rule:
    """Make a rule of a document ready. Raises QueryError for one that was never checked."""
    grouping = asked.grouping
    return Rule(
        place=place,
        name=asked.name,
        severity=asked.severity,
        routes=tuple(routes),
        finder=_finder(asked, place),
        kinds=frozenset(asked.kinds),
        threshold=asked.threshold,
        throttle=asked.throttle,
        group_by=None if grouping is None else grouping.by,
        group_wait_ms=0 if grouping is None else grouping.wait_seconds * 1000,
        digest_seconds=asked.digest_seconds,
        quiet=asked.quiet_hours,
        muted_until_ms=_ms(asked.muted_until),
    )


def _finder(asked: AlertRule, place: Place) -> Finder:
    if asked.kinds and not asked.actions and asked.query is None:
        return Finder(frozenset(), ())
    found = finder(parse(asked.query or ""))
    if place.only_namespace is not None:
        here = finder(Query((Term("namespace", (Value(place.only_namespace),)),)))
        found = replace(found, tests=(*here.tests, *found.tests), namespaces=here.namespaces)
    if not asked.actions:
        return found
    named = frozenset().union(*(actions_of(pattern) for pattern in asked.actions))
    return replace(found, actions=found.actions & named)


def is_active(rule: AlertRule) -> bool:
    """Tell whether a rule tells anything at all."""
    return not rule.suspended and bool(rule.destinations)


def rules_of(
    asked: NotificationSettings,
    place: Place,
    since: Mapping[str, Mapping[str, int]],
    identities: Mapping[str, tuple[str, str]],
) -> list[Rule]:
    """Return the active rules of a document.

    `since` says by rule and destination from which seq on, `identities` the id and the identity
    of a destination's row by its name; a destination without a row leads nowhere.
    """
    targets = {target.name: target for target in asked.destinations}
    found = []
    for rule in asked.rules:
        if not is_active(rule):
            continue
        starts = since.get(rule.name, {})
        routes = [
            _route(targets[name], *identities[name], starts[name])
            for name in dict.fromkeys(rule.destinations)
            if name in targets and name in identities and name in starts
        ]
        if routes:
            found.append(make_rule(rule, place, routes))
    return found


def _route(target: Destination, destination_id: str, identity: str, from_seq: int) -> Route:
    return Route(
        destination_id=destination_id,
        name=target.name,
        identity=identity,
        min_severity=target.min_severity,
        muted_until_ms=_ms(target.muted_until),
        from_seq=from_seq,
    )


def _ms(text: str | None) -> int | None:
    return None if text is None else parse_ms(text)


def claim(rule: Rule, route: Route, disabled: Container[str]) -> tuple[bool, int, int]:
    """Return what orders rules of several owners that lead to one receiver: the greatest tells it.

    One that is sent to (`disabled` are ids of destinations), then the widest place, then the
    severity: who has a policy of a namespace must not be able to take an alert to himself, and
    then withdraw it.
    """
    return route.destination_id not in disabled, rule.place.reach, RANKS[rule.severity]


def raised(rule: Rule, other: Rule) -> Rule:
    """Return a rule, with the severity of another one where that is higher."""
    if RANKS[other.severity] <= RANKS[rule.severity]:
        return rule
    return replace(rule, severity=other.severity)


def group_key(seen: Seen, by: GroupBy) -> str:
    """Return what events are counted or grouped by."""
    event = seen.event
    if by == "actor":
        return event.actor_user_id or event.actor_email or NO_KEY
    if by == "target":
        return event.target_id
    if by == "cluster":
        return event.cluster_id or NO_KEY
    if by == "namespace":
        found = event.metadata.get("namespace")
        return f"{event.cluster_id}/{found}" if isinstance(found, str) else NO_KEY
    return NO_KEY


_Ready = tuple[Rule, str | None, tuple[Test, ...]]


@dataclass(frozen=True)
class RuleSet:
    """All rules of an org in force, by what they may select.

    An event is looked at by the rules that may select its action, and of those that name
    namespaces by its own namespace's alone: teams' rules cost each other nothing.
    """

    rules: tuple[Rule, ...]
    by_key: Mapping[RuleKey, Rule] = field(init=False)
    _anywhere: Mapping[str, list[_Ready]] = field(init=False)
    _confined: Mapping[tuple[str, str], list[_Ready]] = field(init=False)

    def __post_init__(self) -> None:
        """Look the rules up by action, and by namespace those that name some."""
        anywhere: dict[str, list[_Ready]] = {name: [] for name in ACTIONS}
        confined: dict[tuple[str, str], list[_Ready]] = {}
        for rule in self.rules:
            places, ready = rule.finder.namespaces, (rule, rule.place.cluster_id, rule.finder.tests)
            for action in rule.finder.actions:
                if places is None:
                    anywhere[action].append(ready)
                    continue
                for place in places:
                    confined.setdefault((action, place), []).append(ready)
        object.__setattr__(self, "by_key", {rule.key: rule for rule in self.rules})
        object.__setattr__(self, "_anywhere", anywhere)
        object.__setattr__(self, "_confined", confined)

    def selecting(self, seen: Seen) -> list[Rule]:
        """Return the rules that select an event."""
        event = seen.event
        found: list[Rule] = []
        _look(found, self._anywhere.get(event.action, ()), seen)
        if self._confined:
            place = event.metadata.get("namespace")
            if isinstance(place, str):
                _look(found, self._confined.get((event.action, place), ()), seen)
        return found


def _look(found: list[Rule], candidates: Iterable[_Ready], seen: Seen) -> None:
    """Add the rules that select an event. The one loop that runs for each event and rule."""
    cluster_id = seen.event.cluster_id
    for rule, only, tests in candidates:
        if only is not None and cluster_id != only:
            continue
        for test in tests:
            if not test(seen):
                break
        else:
            found.append(rule)
