"""The parts of a document that go by names of their own, such as its rules: pure.

Owns finding one, and a list with one added, changed or taken out. Called by the handlers of pages
that show one part. Never decides what a part may be.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from radar_audit_hub.errors import ConflictError, NotFoundError


class _Named(Protocol):
    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=_Named)


def part_named(parts: Sequence[T], name: str, what: str) -> T:
    """Return the part of a name; `what` it is, such as "rule". Raises NotFoundError."""
    found = next((one for one in parts if one.name == name), None)
    if found is None:
        raise NotFoundError(f"there is no such {what}")
    return found


def with_part(parts: Sequence[T], name: str, part: T | None, *, is_new: bool, what: str) -> list[T]:
    """Return the parts with one added, changed, or (None) taken out.

    `what` it is with its article, such as "a rule". Raises ConflictError for a new one of a name
    that is taken.
    """
    if is_new and any(one.name == name for one in parts):
        raise ConflictError(f"there is {what} of this name; choose another")
    if part is None:
        return [one for one in parts if one.name != name]
    if is_new:
        return [*parts, part]
    return [part if one.name == name else one for one in parts]
