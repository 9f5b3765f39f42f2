"""The query language of the log: its typed form, its parser, and its string again.

Owns which keys exist and what a well-formed query is. Called by the hub (API, pages, alert
rules) and the CLI; `matching` says which events a query finds and the hub's store says it
in SQL. Never looks at an event, never reads a clock.

A query such as `action:pod.* -actor:bot@acme.com namespace:pay*,prod "free text"` is a
sequence of terms that must all hold; `parse(str(query)) == query` for every query.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from .errors import QueryError
from .ids import MAX_MS
from .query_text import Scanner, read_range, require_storable, write_range, write_word

MAX_QUERY_CHARS = 2000
MAX_TERMS = 50
MAX_VALUES = 50

CREATED_KEY = "created"
VALUE_KEYS = (
    "action",
    "type",
    "actor",
    "target",
    "cluster",
    "namespace",
    "pod",
    "container",
    "session",
    "via_pat",
    "role",
    "id",
)
KEYS = (*VALUE_KEYS, CREATED_KEY)
_LIKELY = 0.6  # difflib's own measure of a close match
_MAX_COMPARED_CHARS = 40  # a longer word is no mistyped key
# What people bring from other tools, where likeness of letters would mislead.
_OTHER_NAMES = {
    "date": CREATED_KEY,
    "email": "actor",
    "ns": "namespace",
    "since": CREATED_KEY,
    "time": CREATED_KEY,
    "user": "actor",
}


@dataclass(frozen=True, slots=True)
class Value:
    """One value of a term: equal to `text`, or beginning with it if `prefix`.

    `Value("", prefix=True)`, written `*`, means: is present at all.
    """

    text: str
    prefix: bool = False

    def __post_init__(self) -> None:
        """Raise QueryError for text that no store can hold (NUL, lone surrogates)."""
        require_storable(self.text)

    @property
    def is_presence(self) -> bool:
        """Whether this is the lone `*`, which asks only that there is a value."""
        return self.prefix and not self.text


@dataclass(frozen=True, slots=True)
class Term:
    """One condition: the field that `key` names has any of `values`.

    `key` None is free text: then there is exactly one value, not empty and no prefix.
    """

    key: str | None
    values: tuple[Value, ...]
    negated: bool = False

    def __post_init__(self) -> None:
        """Raise QueryError for an unknown key or values that the key cannot have."""
        if self.key is None:
            if len(self.values) != 1 or self.values[0].prefix or not self.values[0].text:
                raise QueryError(0, "exactly one text to search for")
        elif self.key not in VALUE_KEYS:
            raise QueryError(0, _known_keys(self.key))
        if not 1 <= len(self.values) <= MAX_VALUES:
            raise QueryError(0, f"between 1 and {MAX_VALUES} values of one key")

    def __str__(self) -> str:
        """Return the term in canonical form."""
        sign = "-" if self.negated else ""
        free = self.key is None
        words = (write_word(v.text, prefix=v.prefix, free=free) for v in self.values)
        return sign + ("" if free else f"{self.key}:") + ",".join(words)


@dataclass(frozen=True, slots=True)
class Created:
    """The time range [from_ms, to_ms) of Unix milliseconds; None is no bound, not both."""

    from_ms: int | None
    to_ms: int | None
    negated: bool = False

    def __post_init__(self) -> None:
        """Raise QueryError for a range that is empty, unbounded or outside 1970-9999."""
        bounds = [bound for bound in (self.from_ms, self.to_ms) if bound is not None]
        if not bounds or not all(0 <= bound <= MAX_MS for bound in bounds):
            raise QueryError(0, "a time range with a bound, between 1970 and 9999")
        if len(bounds) == 2 and bounds[0] >= bounds[1]:
            raise QueryError(0, "a time range whose start is before its end")

    def __str__(self) -> str:
        """Return the range in canonical form, with instants."""
        sign = "-" if self.negated else ""
        return f"{sign}{CREATED_KEY}:{write_range(self.from_ms, self.to_ms)}"


@dataclass(frozen=True, slots=True)
class Query:
    """Terms that must all hold; without any, every event is found."""

    terms: tuple[Term | Created, ...] = ()

    def __post_init__(self) -> None:
        """Raise QueryError for too many terms."""
        if len(self.terms) > MAX_TERMS:
            raise QueryError(0, f"at most {MAX_TERMS} terms")

    def __str__(self) -> str:
        """Return the canonical form, which `parse` reads back to an equal query."""
        return " ".join(map(str, self.terms))


def parse(text: str) -> Query:
    """Read a query. Raises QueryError, and nothing else, at the place that is wrong.

    Text longer than 2,000 characters, also in canonical form, is refused, as are more
    than 50 terms or 50 values of a term.
    """
    if len(text) > MAX_QUERY_CHARS:
        raise QueryError(MAX_QUERY_CHARS, f"at most {MAX_QUERY_CHARS} characters")
    require_storable(text)
    scanner = Scanner(text)
    terms: list[Term | Created] = []
    scanner.skip_space()
    while scanner.next:
        if len(terms) == MAX_TERMS:
            raise QueryError(scanner.position, f"at most {MAX_TERMS} terms")
        terms.append(_read_term(scanner))
        scanner.skip_space()
    query = Query(tuple(terms))
    if len(str(query)) > MAX_QUERY_CHARS:  # times grow when they are written out
        raise QueryError(
            len(text), f"fewer terms: written out, they exceed {MAX_QUERY_CHARS} characters"
        )
    return query


def _read_term(scanner: Scanner) -> Term | Created:
    negated = scanner.skip("-")
    if negated and (scanner.at_word_end or scanner.next == "-"):
        raise QueryError(
            scanner.position,
            "a term after '-' (put a word that begins with '-' in double quotes)",
        )
    start = scanner.position
    if scanner.next == '"':
        return _read_quoted_text(scanner, negated=negated)
    word = scanner.read_bare()
    if not scanner.skip(":"):
        _require_word_end(scanner, word)
        return Term(None, (Value(word),), negated)
    if word == CREATED_KEY:
        position = scanner.position
        from_ms, to_ms = read_range(scanner.read_word(), position)
        return Created(from_ms, to_ms, negated)
    if word not in VALUE_KEYS:
        raise QueryError(start, _known_keys(word))
    return Term(word, _read_values(scanner), negated)


def _read_quoted_text(scanner: Scanner, *, negated: bool) -> Term:
    start = scanner.position
    text, _ = scanner.read_value()  # free text is a substring anyway, so a '*' says nothing
    if not text:
        raise QueryError(start, "a text to search for between the quotes")
    if not scanner.at_word_end:
        raise QueryError(scanner.position, "a space after the quoted text")
    return Term(None, (Value(text),), negated)


def _require_word_end(scanner: Scanner, word: str) -> None:
    """Accept the end of a free word, with a `*` that says nothing, and refuse all else."""
    position = scanner.position
    if not word and scanner.next == "*":
        raise QueryError(position, "a word before '*' (an empty query finds everything)")
    if scanner.next == ",":
        raise QueryError(
            position,
            "',' only between the values of a key, as in pod:a,b (put text with a ',' in quotes)",
        )
    scanner.skip("*")
    scanner.require_value_end()
    if not scanner.at_word_end:
        raise QueryError(scanner.position, "a space after the word")


def _read_values(scanner: Scanner) -> tuple[Value, ...]:
    values: list[Value] = []
    while True:
        if len(values) == MAX_VALUES:
            raise QueryError(scanner.position, f"at most {MAX_VALUES} values of one key")
        text, prefix = scanner.read_value()
        scanner.require_value_end()
        values.append(Value(text, prefix))
        if not scanner.skip(","):
            return tuple(values)


def _known_keys(word: str) -> str:
    """Return what is said about a key that does not exist: the known ones, the nearest first."""
    compared = word.lower()[:_MAX_COMPARED_CHARS]
    likeness = {key: difflib.SequenceMatcher(None, compared, key).ratio() for key in KEYS}
    if compared in _OTHER_NAMES:
        likeness[_OTHER_NAMES[compared]] = 1.0
    nearest = sorted(KEYS, key=lambda key: -likeness[key])
    text = f"a key of: {', '.join(nearest)}"
    if likeness[nearest[0]] >= _LIKELY:
        text += f"; did you mean {nearest[0]}?"
    return text + " (or double quotes around the text, to search for it)"
