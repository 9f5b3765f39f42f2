"""What the relay process counts: one number a name, never about whom.

Owns the closed set of names. Called by all of the relay; the journal link carries
the numbers to the collector, which shows them as metrics. Pure.
"""

from __future__ import annotations

from typing import Literal, get_args

from .rules import Note

Count = (
    Note
    | Literal[
        "accepted",
        "refused_full",
        "refused_half_open",
        "handshake_failed",
        "opening_timed_out",
        "upstream_failed",
        "alpn_mismatch",
        "connections_h2",
        "connections_h1",
        "connections_unwatched",
        "upgrade_switched",
        "upgrade_refused",
        "later_request_cut",
        "exec_opened",
        "exec_not_recorded_refused",
        "start_unconfirmed",
        "link_dropped",
        "relay_failed",
        "unexpected_error",
        "bytes_up",
        "bytes_down",
    ]
)


class Counters:
    """Numbers that only grow, from 0 at the start of the process."""

    def __init__(self) -> None:
        """Know every name from the beginning, so that a metric exists before its first event."""
        self._numbers: dict[str, int] = dict.fromkeys(names(), 0)

    def add(self, name: Count, amount: int = 1) -> None:
        """Count `amount` more."""
        self._numbers[name] += amount

    def snapshot(self) -> dict[str, int]:
        """Return a copy of all numbers."""
        return dict(self._numbers)


def names() -> tuple[str, ...]:
    """Return every name there is, in order."""
    return tuple(name for part in get_args(Count) for name in get_args(part))
