"""The raw parameters of a URL: known names, single values, whole numbers, choices.

Owns `Reader`, which collects every mistake before it refuses. Called by `params.py`.
Pure. Never decides what a parameter means.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeVar

from radar_audit_events.errors import FieldError
from radar_audit_events.query_text import is_storable

from radar_audit_hub.errors import InvalidParametersError

T = TypeVar("T")
MAX_REPEATS = 50
_MAX_SHOWN = 40
_WHOLE = re.compile(r"^-?\d{1,18}\Z", re.ASCII)


class Reader:
    """Reads `given` (names and values in order, as in the URL) against the names in `known`."""

    def __init__(self, given: Sequence[tuple[str, str]], known: Collection[str]) -> None:
        """Note unknown names and unstorable text at once; `finish` raises for them."""
        self.errors: list[FieldError] = []
        self._values: dict[str, list[str]] = {}
        for name, value in given:
            if name not in known:
                self._unknown(name, known)
            elif not is_storable(value):
                self.refuse(name, "must not hold NUL characters or lone surrogates")
            else:
                self._values.setdefault(name, []).append(value)

    def refuse(self, name: str, message: str) -> None:
        """Note what is wrong with a parameter, once for each name."""
        if all(error.field != name for error in self.errors):
            self.errors.append(FieldError(name, message))

    def many(self, name: str) -> list[str]:
        """Return all values of a repeatable parameter, without doubles, in byte order."""
        values = sorted(set(self._values.get(name, ())))
        if len(values) > MAX_REPEATS:
            self.refuse(name, f"may be given at most {MAX_REPEATS} times")
            return []
        if "" in values:
            self.refuse(name, "must not be empty; leave it out instead")
            return []
        return values

    def one(self, name: str) -> str | None:
        """Return the value of a parameter that may be given once, None if it is not there."""
        values = self._values.get(name)
        if values is None:
            return None
        if len(values) > 1:
            self.refuse(name, f"must be given once, not {len(values)} times")
            return None
        if not values[0]:
            self.refuse(name, "must not be empty; leave it out instead")
            return None
        return values[0]

    def whole(self, name: str, default: int, low: int, high: int) -> int:
        """Return a whole number within bounds, `default` if it is not there."""
        text = self.one(name)
        if text is None:
            return default
        if not _WHOLE.match(text) or not low <= int(text) <= high:
            self.refuse(name, f"must be a whole number from {low} to {high}, not {shown(text)}")
            return default
        return int(text)

    def choice(self, name: str, choices: Mapping[str, T], default: T) -> T:
        """Return what one of the words in `choices` stands for, `default` if it is not there."""
        text = self.one(name)
        if text is None:
            return default
        if text not in choices:
            self.refuse(name, f"must be one of {', '.join(choices)}, not {shown(text)}")
            return default
        return choices[text]

    def parsed(self, name: str, parse: Callable[[str], T]) -> T | None:
        """Return a parameter as `parse` reads it; the ValueError it raises is the message."""
        text = self.one(name)
        if text is None:
            return None
        try:
            return parse(text)
        except ValueError as error:
            self.refuse(name, str(error))
            return None

    def finish(self) -> None:
        """Raise InvalidParametersError if anything was wrong."""
        if self.errors:
            raise InvalidParametersError(self.errors)

    def _unknown(self, name: str, known: Collection[str]) -> None:
        if len(self.errors) >= MAX_REPEATS:
            return
        near = difflib.get_close_matches(name[:_MAX_SHOWN], known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(known))}"
        if not known:
            hint = "this path takes none"
        self.refuse(clean(name), f"is not a parameter of this path; {hint}")


def clean(text: str) -> str:
    """Return text that JSON can carry and a person can read, cut to 40 characters."""
    plain = text.encode("utf-8", "replace").decode("utf-8").replace("\x00", "?")
    return plain if len(plain) <= _MAX_SHOWN else plain[:_MAX_SHOWN] + "…"


def shown(text: str) -> str:
    """Return a caller's own value for use in a sentence, quoted and cut."""
    return repr(clean(text))
