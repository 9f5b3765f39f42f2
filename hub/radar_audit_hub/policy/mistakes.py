"""Mistakes in what somebody asks of the policy, and the checks that all parts of it share: pure.

Owns `Mistakes`, the form of names and times. Called by `documents.py` and `alerts.py`. Never
stores anything; a message never repeats a secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Protocol, TypeVar

from radar_audit_events.actions import ACTIONS
from radar_audit_events.errors import FieldError, QueryError, TimeError
from radar_audit_events.ids import parse_ms
from radar_audit_events.matching import expand_action
from radar_audit_events.query import Value, parse

MAX_QUERY_CHARS = 512
NAME = re.compile(r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z")
_ACTION = re.compile(r"^(\*|[a-z_]+\.(\*|[a-z_.]+))\Z")
N = TypeVar("N", bound="_Named")


class Mistakes:
    """Mistakes found so far, by the code of the refusal they lead to."""

    def __init__(self) -> None:
        """Begin without any."""
        self.invalid: list[FieldError] = []
        self.queries: list[FieldError] = []
        self.actions: list[FieldError] = []

    def query(self, field: str, text: str | None, room: str = "") -> None:
        """Note a query that cannot be read, with the place and what was expected there.

        `room` is as much as will be added behind it.
        """
        if text is None:
            return
        if len(text) > MAX_QUERY_CHARS:
            self.invalid.append(FieldError(field, f"must be at most {MAX_QUERY_CHARS} characters"))
            return
        try:
            parse(text + room)
        except QueryError as error:
            place = f"at position {error.position}: expected {error.expected}"
            self.queries.append(FieldError(field, place))

    def action(self, field: str, pattern: str) -> None:
        """Note a pattern of actions that fits none, with the nearest that is known."""
        if not _ACTION.match(pattern):
            self.invalid.append(
                FieldError(
                    field,
                    "must be an action such as pod.exec_started, or a prefix such as pod.*, or *",
                )
            )
        elif not actions_of(pattern):
            near = get_close_matches(pattern, ACTIONS, 1)
            hint = f"; the nearest known one is {near[0]}" if near else ""
            self.actions.append(FieldError(field, f"fits no known action{hint}"))

    def refuse(self, field: str, message: str) -> None:
        """Note any other mistake."""
        self.invalid.append(FieldError(field, message))

    def bounds(self, field: str, value: int | None, lowest: int, highest: int) -> None:
        """Note a number outside its bounds; None has none."""
        if value is not None and not lowest <= value <= highest:
            self.refuse(field, f"must be {lowest} to {highest}")

    def time(self, field: str, text: str | None) -> None:
        """Note a text that is no time of RFC 3339; None is none."""
        if text is None:
            return
        try:
            parse_ms(text)
        except TimeError as error:
            self.refuse(field, str(error))


def actions_of(pattern: str) -> frozenset[str]:
    """Return the actions that a name, a prefix such as `pod.*`, or `*` stands for."""
    if pattern == "*":
        return frozenset(ACTIONS)
    if pattern.endswith("*"):
        return expand_action(Value(pattern[:-1], prefix=True))
    return frozenset({pattern}) & frozenset(ACTIONS)


class _Named(Protocol):
    @property
    def name(self) -> str: ...


def named(found: Mistakes, at: str, items: Sequence[N], limit: int) -> Iterator[tuple[str, N]]:
    """Yield the items of a list with their places, at most as many as it may have."""
    if len(items) > limit:
        found.refuse(at, f"must be at most {limit}")
    seen: set[str] = set()
    for index, item in enumerate(items[:limit]):
        place = f"{at}[{index}]"
        if not NAME.match(item.name):
            found.refuse(f"{place}.name", "must be 1 to 63 lower-case letters, digits or hyphens")
        elif item.name in seen:
            found.refuse(f"{place}.name", "must be unique in its list")
        seen.add(item.name)
        yield place, item
