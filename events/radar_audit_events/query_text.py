"""How the words of the query language are written: quoting, times, and reading them back.

Owns the characters: what needs quotes, what `*` and `"` do, how a time range looks.
Called only by `query`, which owns what the words mean. Never knows which keys exist.
"""

from __future__ import annotations

import re

from .errors import QueryError, TimeError
from .ids import MAX_MS, format_ms, parse_ms

_DAY_MS = 86_400_000
_BARE = re.compile(r'[^\s,":*]*')
_WORD = re.compile(r"\S*")
_SPACE = re.compile(r"\s*")
_QUOTED = re.compile(r'[^"\\]*')
_COMPARISON = re.compile(r"[<>]=?|")
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_ESCAPED = re.compile(r'["\\]')
# A database text column cannot hold these, so no event can contain them.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")

_A_TIME = "a day such as 2026-11-24 or a time such as 2026-11-24T10:00:00Z"
_NO_INNER_STAR = (
    "'*' only as the last character of a value (put text with a '*' in it in double quotes)"
)


def is_storable(text: str) -> bool:
    """Tell whether a text column can hold `text`: no NUL, no lone surrogates."""
    return _UNSTORABLE.search(text) is None


def require_storable(text: str) -> None:
    """Refuse NUL and lone surrogates, which no stored text holds. Raises QueryError."""
    found = _UNSTORABLE.search(text)
    if found:
        raise QueryError(found.start(), "text without NUL characters and lone surrogates")


def write_word(text: str, *, prefix: bool, free: bool) -> str:
    """Return `text` as the parser reads it back, in quotes only where it needs them.

    `free` says that it stands alone, where a leading '-' would negate.
    """
    bare = _BARE.fullmatch(text) and (text or prefix) and not (free and text.startswith("-"))
    word = text if bare else '"' + _ESCAPED.sub(r"\\\g<0>", text) + '"'
    return word + "*" if prefix else word


def write_range(from_ms: int | None, to_ms: int | None) -> str:
    """Return the canonical value of `created:` for [from_ms, to_ms), one of which may be None."""
    if to_ms is None:
        return f">={format_ms(from_ms or 0)}"
    if from_ms is None:
        return f"<{format_ms(to_ms)}"
    return f"{format_ms(from_ms)}..{format_ms(to_ms - 1)}"


def read_range(text: str, position: int) -> tuple[int | None, int | None]:
    """Read the value of `created:` as half-open Unix milliseconds; None is no bound.

    `position` is where `text` stands in the query. Raises QueryError.
    """
    comma = text.find(",")
    if comma >= 0:
        raise QueryError(position + comma, "one time or range (',' joins no times)")
    first, dots, last = text.partition("..")
    if dots:
        from_ms, _ = _read_time(first, position)
        last_position = position + len(first) + len(dots)
        _, to_ms = _read_time(last, last_position)
        if from_ms >= to_ms:
            raise QueryError(last_position, "a time that is not before the one left of '..'")
        return from_ms, _require_writable(to_ms, last_position)
    match = _COMPARISON.match(text)
    sign = match.group() if match else ""
    time_position = position + len(sign)
    start_ms, after_ms = _read_time(text[len(sign) :], time_position)
    if sign == ">=":
        return start_ms, None
    if sign == "<":
        return None, start_ms
    _require_writable(after_ms, time_position)
    return {"": (start_ms, after_ms), ">": (after_ms, None), "<=": (None, after_ms)}[sign]


def _read_time(text: str, position: int) -> tuple[int, int]:
    """Return the first millisecond of a day or instant and the first one after it."""
    length_ms = 1
    instant = text
    if _DATE.fullmatch(text):
        instant, length_ms = f"{text}T00:00:00Z", _DAY_MS
    try:
        start_ms = parse_ms(instant) if text.isascii() else -1
    except TimeError:
        start_ms = -1
    if start_ms < 0:
        raise QueryError(position, _A_TIME)
    return start_ms, start_ms + length_ms


def _require_writable(bound_ms: int, position: int) -> int:
    """Return a bound that RFC 3339 can write, so that the query has a canonical form."""
    if bound_ms > MAX_MS:
        raise QueryError(position, "a time before 9999-12-31")
    return bound_ms


class Scanner:
    """A place in a query's text, and the reading of the next piece from there.

    Each `read_` method moves `position` behind what it read and raises QueryError at the
    character that is wrong.
    """

    __slots__ = ("position", "text")

    def __init__(self, text: str) -> None:
        """Start at the beginning of `text`."""
        self.text = text
        self.position = 0

    @property
    def next(self) -> str:
        """The next character; the empty string at the end."""
        return self.text[self.position : self.position + 1]

    @property
    def at_word_end(self) -> bool:
        """Whether white space or the end of the text follows."""
        return not self.next or self.next.isspace()

    def skip_space(self) -> None:
        """Move to the next word, or to the end."""
        self._take(_SPACE)

    def read_bare(self) -> str:
        """Read the characters, maybe none, that have no meaning to the language."""
        return self._take(_BARE)

    def read_word(self) -> str:
        """Read everything, maybe nothing, up to white space."""
        return self._take(_WORD)

    def skip(self, char: str) -> bool:
        """Move behind `char` if it comes next, and tell whether it did."""
        found = self.next == char
        self.position += found
        return found

    def read_quoted(self) -> str:
        r"""Read a text in double quotes, with its `\"` and `\\` undone."""
        opened = self.position
        self.position += 1
        parts: list[str] = []
        while True:
            parts.append(self._take(_QUOTED))
            if self.skip('"'):
                return "".join(parts)
            if not self.next:
                raise QueryError(self.position, f"a '\"' to close the one at position {opened}")
            escaped = self.text[self.position + 1 : self.position + 2]
            if escaped not in ('"', "\\"):
                raise QueryError(self.position, r"\\ for a backslash or \" for a quote, in quotes")
            parts.append(escaped)
            self.position += 2

    def read_value(self) -> tuple[str, bool]:
        """Read one value, quoted or bare, and whether `*` makes it a prefix."""
        if self.at_word_end or self.next == ",":
            raise QueryError(self.position, 'a value (an empty text is written "")')
        text = self.read_quoted() if self.next == '"' else self.read_bare()
        return text, self.skip("*")

    def require_value_end(self) -> None:
        """Refuse what cannot follow a value."""
        if self.at_word_end or self.next == ",":
            return
        if self.next == "*":
            raise QueryError(self.position, _NO_INNER_STAR)
        if self.text[self.position - 1] == "*":
            raise QueryError(self.position - 1, _NO_INNER_STAR)
        if self.next == '"':
            raise QueryError(self.position, "double quotes around the whole value")
        if self.next == ":":
            raise QueryError(self.position, "double quotes around a value that has a ':' in it")
        raise QueryError(self.position, "a space or ',' after the closing quote")

    def _take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.position)
        taken = match.group() if match else ""
        self.position += len(taken)
        return taken
