"""Errors of the events library.

Owns the exception types that its pure functions raise. Callers turn them into
their own answers (the hub into problem documents, the CLI into exit codes).
Never carries a secret or terminal content in a message.
"""

from __future__ import annotations

from dataclasses import dataclass


class EventsError(Exception):
    """Root of every error raised by this library."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong field: where it is (dotted path) and what would be right."""

    field: str
    message: str


class EventInvalidError(EventsError):
    """An event or its metadata breaks its action's schema; `errors` names each field."""

    def __init__(self, errors: list[FieldError]) -> None:
        """Keep the field errors; the message joins them."""
        super().__init__("; ".join(f"{e.field}: {e.message}" for e in errors))
        self.errors = errors


class CanonicalError(EventsError):
    """A value lies outside the restricted value set of the canonical form."""


class IdError(EventsError):
    """A string is not an id of the expected kind."""


class TimeError(EventsError):
    """A string is not an RFC 3339 time, or a number lies outside years 1970-9999."""


class ProofError(EventsError):
    """A Merkle proof or frontier is malformed or does not verify."""


class QueryError(EventsError):
    """A query string is wrong at `position` (0-based character offset)."""

    def __init__(self, position: int, expected: str) -> None:
        """State the position and what was expected there."""
        super().__init__(f"at position {position}: expected {expected}")
        self.position = position
        self.expected = expected
