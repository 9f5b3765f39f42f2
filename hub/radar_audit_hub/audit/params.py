"""From the URL of a read to a typed filter and page options.

Owns what each parameter of the audit routes means. Called by the audit handlers.
Pure: `now_ms` is an argument. Every mistake is refused with the name of the
parameter and what would be right, never guessed around.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from radar_audit_events.actions import TARGET_TYPES
from radar_audit_events.errors import QueryError, TimeError
from radar_audit_events.event import MAX_TARGET_CHARS
from radar_audit_events.ids import format_ms, parse_ms
from radar_audit_events.query import MAX_TERMS, Created, Query, Term, Value, parse

from radar_audit_hub.errors import InvalidQueryError

from .cursor import MAX_CURSOR_CHARS
from .parameters import Reader, clean, shown

Given = Sequence[tuple[str, str]]
Format = Literal["json", "csv", "ndjson"]
_HOUR_MS = 3_600_000
RANGES_MS = {"24h": 24 * _HOUR_MS, "7d": 168 * _HOUR_MS, "30d": 720 * _HOUR_MS}
DEFAULT_LIMIT, MAX_LIMIT = 100, 500
DEFAULT_FOLLOW_LIMIT, MAX_FOLLOW_LIMIT = 500, 1000
MAX_WAIT_SECONDS = 30
MAX_SEQ = 2**63 - 2
_MAX_TEXT = 320

FILTER_NAMES = ("action", "target_type", "actor", "target", "range", "from", "to", "q")
LIST_NAMES = (*FILTER_NAMES, "limit", "cursor", "format", "include")
FOLLOW_NAMES = (*FILTER_NAMES, "after_seq", "limit", "wait")
_FORMATS: dict[str, Format] = {"json": "json", "csv": "csv", "ndjson": "ndjson"}
_INCLUDES = {"recorded_at": True}


@dataclass(frozen=True, slots=True)
class Filter:
    """What a read looks for.

    `fixed` are all terms but a relative range; `range_name` is that range's word and
    `range_ms` its length. `text` is canonical: equal filters have equal texts.
    """

    fixed: Query
    range_name: str | None
    range_ms: int | None

    @property
    def text(self) -> str:
        """The filter as one text, for the cursor to be bound to."""
        return f"{self.range_name or ''}|{self.fixed}"

    def query(self, from_ms: int | None) -> Query:
        """Return the whole query; `from_ms` (Unix ms) is where a relative range begins."""
        if from_ms is None:
            return self.fixed
        return Query((*self.fixed.terms, Created(from_ms, None)))

    def from_ms(self, now_ms: int) -> int | None:
        """Return where the relative range begins at `now_ms`, None without one."""
        return None if self.range_ms is None else max(now_ms - self.range_ms, 0)


@dataclass(frozen=True, slots=True)
class ListParams:
    """`GET …/audit`; `limit` counts events, `cursor` is not yet decoded."""

    filter: Filter
    limit: int
    cursor: str | None
    format: Format
    with_recorded_at: bool


@dataclass(frozen=True, slots=True)
class FollowParams:
    """`GET …/audit/follow`; `after_seq` -1 is the beginning."""

    filter: Filter
    after_seq: int
    limit: int
    wait_seconds: int


def read_list(given: Given) -> ListParams:
    """Read a list's parameters. Raises InvalidParametersError, InvalidQueryError."""
    reader = Reader(given, LIST_NAMES)
    form = reader.choice("format", _FORMATS, "json")
    if form != "json":
        for name in ("limit", "cursor"):
            if reader.one(name) is not None:
                reader.refuse(name, f"is for format=json; {form} sends the whole result")
    limit = reader.whole("limit", DEFAULT_LIMIT, 1, MAX_LIMIT)
    cursor = reader.one("cursor")
    if cursor is not None and len(cursor) > MAX_CURSOR_CHARS:
        reader.refuse("cursor", f"has at most {MAX_CURSOR_CHARS} characters")
    recorded = reader.choice("include", _INCLUDES, default=False)
    if recorded and form == "csv":
        reader.refuse("include", "is for format=json and ndjson; the columns of csv are fixed")
    return ListParams(_read_filter(reader), limit, cursor, form, recorded)


def read_follow(given: Given) -> FollowParams:
    """Read the parameters of following. Raises InvalidParametersError, InvalidQueryError."""
    reader = Reader(given, FOLLOW_NAMES)
    after = reader.whole("after_seq", -1, -1, MAX_SEQ)
    limit = reader.whole("limit", DEFAULT_FOLLOW_LIMIT, 1, MAX_FOLLOW_LIMIT)
    wait = reader.whole("wait", MAX_WAIT_SECONDS, 0, MAX_WAIT_SECONDS)
    return FollowParams(_read_filter(reader), after, limit, wait)


def read_facets(given: Given) -> Filter:
    """Read a filter alone. Raises InvalidParametersError, InvalidQueryError."""
    return _read_filter(Reader(given, FILTER_NAMES))


def read_include(given: Given) -> bool:
    """Read the only parameter of one event: include=recorded_at. Raises InvalidParametersError."""
    reader = Reader(given, ("include",))
    recorded = reader.choice("include", _INCLUDES, default=False)
    reader.finish()
    return recorded


def read_nothing(given: Given) -> None:
    """Refuse every parameter. Raises InvalidParametersError."""
    Reader(given, ()).finish()


def _read_filter(reader: Reader) -> Filter:
    terms: list[Term | Created] = []
    _add(terms, "action", [_starred(reader, "action", v) for v in reader.many("action")])
    _add(terms, "type", [_target_type(reader, v) for v in reader.many("target_type")])
    actor, target = reader.one("actor"), reader.one("target")
    if actor is not None:
        _add(terms, "actor", [_actor(reader, actor)])
    if target is not None:
        _add(terms, "target", [_target(reader, target)])
    range_name = reader.one("range")
    range_ms = reader.choice("range", RANGES_MS, 0) or None
    _read_bounds(reader, terms, ranged=range_name is not None)
    # Parameters first: their mistakes are all known, the query has only its first one.
    text = reader.one("q")
    reader.finish()
    try:
        asked = parse(text) if text is not None else Query()
        fixed = Query((*terms, *asked.terms))
        if range_ms is not None and len(fixed.terms) == MAX_TERMS:
            raise QueryError(0, f"at most {MAX_TERMS - 1} terms beside a range, which is one, too")
    except QueryError as error:
        raise InvalidQueryError(error.position, error.expected) from None
    return Filter(fixed, range_name, range_ms)


def _add(terms: list[Term | Created], key: str, values: list[Value | None]) -> None:
    good = [value for value in values if value is not None]
    if good:
        terms.append(Term(key, tuple(good)))


def _starred(reader: Reader, name: str, text: str) -> Value | None:
    """Read a value that may end in `*`."""
    prefix = text.endswith("*")
    plain = text[:-1] if prefix else text
    if "*" in plain:
        reader.refuse(name, f"may have one * and only at its end, not {shown(text)}")
        return None
    if len(text) > _MAX_TEXT:
        reader.refuse(name, f"has at most {_MAX_TEXT} characters")
        return None
    return Value(plain, prefix)


def _target_type(reader: Reader, text: str) -> Value | None:
    if text not in TARGET_TYPES:
        near = difflib.get_close_matches(text[:_MAX_TEXT], TARGET_TYPES, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        reader.refuse("target_type", f"must be one of {', '.join(TARGET_TYPES)}{hint}")
        return None
    return Value(text)


def _actor(reader: Reader, text: str) -> Value | None:
    if len(text) > _MAX_TEXT:
        reader.refuse(
            "actor", f"must be an e-mail or a user's id of at most {_MAX_TEXT} characters"
        )
        return None
    return Value(text)


def _target(reader: Reader, text: str) -> Value | None:
    if len(text) > MAX_TARGET_CHARS:
        reader.refuse("target", f"has at most {MAX_TARGET_CHARS} characters")
        return None
    return _starred(reader, "target", text)


def _read_bounds(reader: Reader, terms: list[Term | Created], *, ranged: bool) -> None:
    start, end = reader.parsed("from", _instant), reader.parsed("to", _instant)
    for name, bound in (("from", start), ("to", end)):
        if bound is not None and ranged:
            reader.refuse(name, "cannot be given together with range; give one or the other")
    if start is not None and end is not None and start >= end:
        reader.refuse("to", "must be later than from (the range is from <= time < to)")
    if (start is not None or end is not None) and not reader.errors:
        terms.append(Created(start, end))


def _instant(text: str) -> int:
    try:
        return parse_ms(text)
    except TimeError as error:
        # A space stands where the + of a zone was not percent-encoded: the usual mistake.
        hint = " (write the + of a zone as %2B)" if " " in text else ""
        raise ValueError(f"is {shown(text)}: {error}{hint}") from None


def file_name(org_id: str, filter: Filter, now_ms: int, form: Format) -> str:
    """Return the name under which an export is saved: org, range and format, plain ASCII."""
    bounds = [t for t in filter.fixed.terms if isinstance(t, Created) and not t.negated]
    start = max((b.from_ms for b in bounds if b.from_ms is not None), default=None)
    end = min((b.to_ms for b in bounds if b.to_ms is not None), default=now_ms)
    relative = filter.from_ms(now_ms)
    if relative is not None:
        start = relative if start is None else max(start, relative)
    first = "start" if start is None else _day(start)
    return f"{clean(org_id)}-audit-{first}-{_day(end)}.{form}"


def _day(time_ms: int) -> str:
    return format_ms(time_ms)[:10]
