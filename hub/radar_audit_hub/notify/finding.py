"""Whether an event in hand is one that a query finds, made ready once for many events: pure.

Owns the form of a query that is asked thousands of times. What each key means is defined in
`radar_audit_events.matching`, whose equal this module is held to be by a property test, as is the
SQL of the store. Called by the alert rules. Never parses text and never reads a clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from radar_audit_events.actions import ACTIONS
from radar_audit_events.event import Event
from radar_audit_events.matching import METADATA_KEYS, expand_action, fold, searched_texts
from radar_audit_events.query import Created, Query, Term, Value

Text = str | None
Fits = Callable[[Text], bool]


@dataclass(slots=True)
class Seen:
    """An event of the log that is being judged; `recorded_at_ms` (Unix ms) is its commit's time."""

    event: Event
    seq: int
    recorded_at_ms: int
    _folded: tuple[str, ...] | None = field(default=None, repr=False)

    @property
    def folded(self) -> tuple[str, ...]:
        """What free text is searched in, in lower case: made once for all rules."""
        if self._folded is None:
            self._folded = tuple(fold(text) for text in searched_texts(self.event))
        return self._folded


Test = Callable[[Seen], bool]


@dataclass(frozen=True, slots=True)
class Finder:
    """A query: an event of one of `actions` is found if it passes every test.

    `namespaces`: it finds events of these alone, None if it does not name any; a test says so,
    too.
    """

    actions: frozenset[str]
    tests: tuple[Test, ...]
    namespaces: frozenset[str] | None = None

    def finds(self, seen: Seen) -> bool:
        """Tell whether the query finds an event; for any action."""
        return seen.event.action in self.actions and self.passes(seen)

    def passes(self, seen: Seen) -> bool:
        """Tell whether the query finds an event that is known to have one of the actions."""
        return all(test(seen) for test in self.tests)


def finder(query: Query) -> Finder:
    """Return a query made ready: its actions, which are looked up, and a test for each term."""
    actions = frozenset(ACTIONS)
    namespaces: frozenset[str] | None = None
    tests: list[tuple[bool, Test]] = []
    for term in query.terms:
        if isinstance(term, Term) and term.key in ("action", "type"):
            actions &= _actions_of(term)
            continue
        if isinstance(term, Term) and (named := _named_namespaces(term)) is not None:
            namespaces = named if namespaces is None else namespaces & named
        test = _created(term) if isinstance(term, Created) else _term(term)
        is_slow = isinstance(term, Term) and term.key is None
        tests.append((is_slow, _negated(test) if term.negated else test))
    tests.sort(key=lambda item: item[0])  # free text last: it looks through everything
    return Finder(actions, tuple(test for _, test in tests), namespaces)


def _named_namespaces(term: Term) -> frozenset[str] | None:
    """Return the only namespaces that a term lets pass, None if it does not name them."""
    if term.key != "namespace" or term.negated or any(value.prefix for value in term.values):
        return None
    return frozenset(value.text for value in term.values)


def _actions_of(term: Term) -> frozenset[str]:
    if term.key == "action":
        names = frozenset().union(*(expand_action(value) for value in term.values))
    else:
        fits = _fits(term.values)
        names = frozenset(row.name for row in ACTIONS.values() if fits(row.target_type))
    return frozenset(ACTIONS) - names if term.negated else names


def _negated(test: Test) -> Test:
    return lambda seen: not test(seen)


def _created(term: Created) -> Test:
    low = 0 if term.from_ms is None else term.from_ms
    high = 2**63 if term.to_ms is None else term.to_ms
    return lambda seen: low <= seen.event.created_at_ms < high


def _term(term: Term) -> Test:
    if term.key is None:
        wanted = fold(term.values[0].text)
        return lambda seen: any(wanted in text for text in seen.folded)
    if term.key in METADATA_KEYS:
        return _member(METADATA_KEYS[term.key], term.values)
    return _COLUMNS[term.key](term.values)


def _fits(values: Iterable[Value]) -> Fits:
    """Return the test whether a text (None: absent) is one of the values, or begins with one."""
    exact = frozenset(value.text for value in values if not value.prefix)
    begins = tuple(value.text for value in values if value.prefix)
    if not begins:
        return exact.__contains__
    if not exact:
        return lambda text: text is not None and text.startswith(begins)
    return lambda text: text is not None and (text in exact or text.startswith(begins))


def _member(name: str, values: Sequence[Value]) -> Test:
    is_presence = any(value.is_presence for value in values)
    if is_presence:
        return lambda seen: seen.event.metadata.get(name) is not None
    fits = _fits(values)

    def test(seen: Seen) -> bool:
        found = seen.event.metadata.get(name)
        return isinstance(found, str) and fits(found)

    return test


def _actor(values: Iterable[Value]) -> Test:
    fits = _fits(values)
    fits_email = _fits([Value(value.text.lower(), value.prefix) for value in values])
    return lambda seen: fits(seen.event.actor_user_id) or fits_email(seen.event.actor_email)


def _target(values: Iterable[Value]) -> Test:
    fits = _fits(values)
    return lambda seen: fits(seen.event.target_id)


def _id(values: Iterable[Value]) -> Test:
    fits = _fits(values)
    return lambda seen: fits(seen.event.id)


def _cluster(values: Iterable[Value]) -> Test:
    fits = _fits(values)

    def test(seen: Seen) -> bool:
        event = seen.event
        if fits(event.cluster_id) or _fits_text(fits, event.metadata.get("cluster_name")):
            return True
        return event.target_type == "cluster" and (
            fits(event.target_id) or _fits_text(fits, event.metadata.get("name"))
        )

    return test


def _fits_text(fits: Fits, found: object) -> bool:
    return isinstance(found, str) and fits(found)


_COLUMNS: dict[str, Callable[[Iterable[Value]], Test]] = {
    "actor": _actor,
    "target": _target,
    "id": _id,
    "cluster": _cluster,
}
