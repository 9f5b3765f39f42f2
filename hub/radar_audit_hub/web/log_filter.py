"""The filter of the Activity page: one query, seen as controls and as text that stay in step.

Owns the mapping both ways, and the addresses that carry a filter. Called by the Activity and the
Sessions pages. Pure: the reader's zone and the form are arguments. The text is read by the one
parser of the query language; a control's text is the value part of a term in that language.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeGuard
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from radar_audit_events.errors import QueryError
from radar_audit_events.query import MAX_TERMS, Created, Query, Term, Value, parse
from radar_audit_events.query_text import write_word

from radar_audit_hub.audit.params import RANGES_MS

from .zones import field_text, field_time

ALL, CUSTOM = "all", "custom"
DEFAULT_RANGE = "7d"
RANGES = {"24h": "Last 24 hours", "7d": "Last 7 days", "30d": "Last 30 days"}
SHOWN_CONTROLS = ("action", "type", "actor", "cluster", "namespace")  # on the Activity page
CONTROLS = (*SHOWN_CONTROLS, "pod")
# What a form sends beside the query: their old values come along, so that a change can be told.
FORM_NAMES = (*CONTROLS, "q0", "range0", "from", "to")
_MAX_CONTROL_CHARS = 320
Terms = tuple[Term | Created, ...]


@dataclass(frozen=True, slots=True)
class LogFilter:
    """What a page looks for: a query, and a relative range's word (None: what the query says)."""

    query: Query
    range_name: str | None

    @property
    def text(self) -> str:
        """The query in canonical form."""
        return str(self.query)

    @property
    def created(self) -> Created | None:
        """The time range that the query names, of several what all have, None if it names none."""
        found = [term for term in self.query.terms if _is_range(term)]
        low = max((term.from_ms for term in found if term.from_ms is not None), default=None)
        high = min((term.to_ms for term in found if term.to_ms is not None), default=None)
        if low is None and high is None:
            return None
        if low is not None and high is not None and low >= high:  # they have no time in common
            return found[0]
        return Created(low, high)

    @property
    def params(self) -> dict[str, str]:
        """The parameters of an address of the page with this filter."""
        found = {"q": self.text} if self.query.terms else {}
        if self.created is None:
            found["range"] = self.range_name or ALL
        return found

    @property
    def api_params(self) -> dict[str, str]:
        """The parameters of the API's routes for exactly this filter."""
        found = {"q": self.text} if self.query.terms else {}
        return found | ({"range": self.range_name} if self.range_name else {})

    def address(self, path: str, **more: str) -> str:
        """Return the address of a page with this filter."""
        return f"{path}?{urlencode(self.params | more)}"

    def whole_query(self, now_ms: int) -> Query:
        """Return the query with the relative range in it, which ends never."""
        if self.range_name is None:
            return self.query
        start = max(now_ms - RANGES_MS[self.range_name], 0)
        return Query((*self.query.terms, Created(start, None)))

    def span(self, now_ms: int, oldest_ms: int) -> tuple[int, int]:
        """Return the range of times that is looked at, [from, to) in Unix ms.

        `oldest_ms` is the begin of what is kept. An open end is `now_ms`.
        """
        low, high = oldest_ms, now_ms + 1
        for term in self.whole_query(now_ms).terms:
            if isinstance(term, Created) and not term.negated:
                low = max(low, term.from_ms or 0)
                high = min(high, high if term.to_ms is None else term.to_ms)
        return low, max(high, low + 1)

    def with_term(self, key: str, text: str) -> LogFilter:
        """Return the filter with exactly this value for a key; an empty text takes it away.

        The filter itself where that would be more than a query can hold.
        """
        if len(text) > _MAX_CONTROL_CHARS:
            return self
        term = Term(key, (Value(text),)) if text else None
        try:
            return replace(self, query=Query(_replaced(self.query.terms, key, term)))
        except QueryError:
            return self

    def alone(self, key: str, text: str) -> LogFilter:
        """Return the filter of the same time that has this value for a key and no other term."""
        kept = tuple(term for term in self.query.terms if _is_range(term))
        return replace(self, query=Query(kept)).with_term(key, text)

    def with_times(self, from_ms: int | None, to_ms: int | None) -> LogFilter:
        """Return the filter with this range of times."""
        kept = self.without_times().query.terms
        return LogFilter(Query((*kept, Created(from_ms, to_ms))), None)

    def without_times(self) -> LogFilter:
        """Return the filter of all times."""
        return LogFilter(Query(tuple(t for t in self.query.terms if not _is_range(t))), None)

    def value_of(self, key: str) -> str:
        """Return the value part of a key's term, as the query language writes it."""
        term = next((t for t in self.query.terms if _is_of(t, key)), None)
        return "" if term is None else str(term)[len(key) + 1 :]


@dataclass(frozen=True, slots=True)
class Mistake:
    """What cannot be read: in which field, at which character, and what was expected there."""

    field: str
    position: int
    expected: str


class FilterMistakeError(Exception):
    """A form's filter cannot be read; `mistake` says where."""

    def __init__(self, mistake: Mistake) -> None:
        """Keep the mistake."""
        super().__init__(mistake.expected)
        self.mistake = mistake


def read(given: Mapping[str, str], zone: ZoneInfo) -> LogFilter:
    """Return the filter of an address or a sent form. Raises FilterMistakeError.

    The text is what counts, but for controls that the reader has changed since the page was made:
    those replace their term in it.
    """
    query = _parsed(given.get("q", ""), "q")
    range_name = given.get("range", "")
    found = LogFilter(query, range_name if range_name in RANGES_MS else None)
    if sum(not _is_range(term) for term in query.terms) == MAX_TERMS:
        # The page itself adds a range: the one that was chosen, and those of its bars.
        most = f"at most {MAX_TERMS - 1} terms beside a time range"
        raise FilterMistakeError(Mistake("q", len(given.get("q", "")), most))
    if found.created is not None:
        found = replace(found, range_name=None)
    elif range_name not in RANGES_MS and range_name not in (ALL, CUSTOM):
        found = replace(found, range_name=DEFAULT_RANGE)
    if "q0" not in given and not any(given.get(name) for name in (*CONTROLS, "from", "to")):
        return found
    return _with_controls(found, given, zone)


def _with_controls(found: LogFilter, given: Mapping[str, str], zone: ZoneInfo) -> LogFilter:
    try:
        before = LogFilter(parse(given.get("q0", "")), None)
    except QueryError:  # nobody's doing but a changed address
        before = LogFilter(Query(), None)
    terms = found.query.terms
    for key in CONTROLS:
        asked = given.get(key, "").strip()
        if key in given and asked != before.value_of(key):
            terms = _replaced(terms, key, _term(key, asked))
    found = replace(found, query=_query(terms))
    asked_range, had_range = given.get("range", ""), given.get("range0", "")
    if asked_range != had_range and asked_range in (*RANGES_MS, ALL):
        relative = asked_range if asked_range in RANGES_MS else None
        return replace(found.without_times(), range_name=relative)
    if asked_range == CUSTOM or (not asked_range and (given.get("from") or given.get("to"))):
        return _with_custom(found, given, zone, before)
    return found


def _with_custom(
    found: LogFilter, given: Mapping[str, str], zone: ZoneInfo, before: LogFilter
) -> LogFilter:
    times = [_time(given.get(name, ""), name, zone) for name in ("from", "to")]
    had = before.created
    if had is not None and [field_text(t, zone) for t in (had.from_ms, had.to_ms)] == [
        given.get("from", ""),
        given.get("to", ""),
    ]:
        return found  # not touched: the text says it to the millisecond
    if times == [None, None]:  # emptied, or never filled
        if had is None or found.created != had:
            return found
        return found.without_times()
    try:
        return found.with_times(times[0], times[1])
    except QueryError:
        raise FilterMistakeError(Mistake("to", 0, "a time that is later than from")) from None


def _time(text: str, name: str, zone: ZoneInfo) -> int | None:
    try:
        return field_time(text, zone) if text else None
    except ValueError as error:
        raise FilterMistakeError(Mistake(name, 0, str(error).removeprefix("must be "))) from None


def _term(key: str, text: str) -> Term | None:
    """Return the term of a control's text; one with spaces or a colon is taken as it stands."""
    if not text:
        return None
    if len(text) > _MAX_CONTROL_CHARS:
        raise FilterMistakeError(
            Mistake(key, _MAX_CONTROL_CHARS, f"at most {_MAX_CONTROL_CHARS} characters")
        )
    # What has the marks of the query language was meant in it, and is not searched literally.
    as_it_stands = [] if {"*", '"'} & set(text) else [write_word(text, prefix=False, free=False)]
    for written in (text, *as_it_stands):
        try:
            terms = parse(f"{key}:{written}").terms
        except QueryError as error:
            mistake = Mistake(key, max(error.position - len(key) - 1, 0), error.expected)
            continue
        if len(terms) == 1 and isinstance(terms[0], Term):
            return terms[0]
    raise FilterMistakeError(mistake)


def _query(terms: Terms) -> Query:
    try:
        return parse(str(Query(terms)))
    except QueryError as error:
        raise FilterMistakeError(Mistake("q", error.position, error.expected)) from None


def _parsed(text: str, name: str) -> Query:
    try:
        return parse(text)
    except QueryError as error:
        raise FilterMistakeError(Mistake(name, error.position, error.expected)) from None


def _replaced(terms: Terms, key: str, term: Term | None) -> Terms:
    """Return the terms with one that says what `key` is, in the place of the first that did."""
    found: list[Term | Created] = []
    waiting = term
    for one in terms:
        if not _is_of(one, key):
            found.append(one)
        elif waiting is not None:
            found.append(waiting)
            waiting = None
    return tuple(found) if waiting is None else (*found, waiting)


def _is_of(term: Term | Created, key: str) -> bool:
    return isinstance(term, Term) and term.key == key and not term.negated


def _is_range(term: Term | Created) -> TypeGuard[Created]:
    return isinstance(term, Created) and not term.negated
