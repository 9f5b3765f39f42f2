"""What one check of `doctor` found.

Owns `Finding` and its states. Made by the checks, shown by the command. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warn", "fail", "unknown"]
_MAX_NAMES = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: `state` unknown means that it could not look; `message` says what and why.

    For anything but ok the message also says what would be right.
    """

    check: str
    state: State
    message: str


def ok(check: str, message: str) -> Finding:
    """Return a finding that all is well."""
    return Finding(check, "ok", message)


def warn(check: str, message: str) -> Finding:
    """Return a finding that works, but not for long or not for all."""
    return Finding(check, "warn", message)


def fail(check: str, message: str) -> Finding:
    """Return a finding that terminals are not recorded, or do not reach the log."""
    return Finding(check, "fail", message)


def unknown(check: str, message: str) -> Finding:
    """Return that the check could not look."""
    return Finding(check, "unknown", message)


def named(names: Iterable[str]) -> str:
    """Return a few names for a sentence, and how many more there are."""
    every = sorted(names)
    more = len(every) - _MAX_NAMES
    shown = ", ".join(every[:_MAX_NAMES])
    return f"{shown} and {more} more" if more > 0 else shown
