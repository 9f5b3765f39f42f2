"""How long something took, as the counts of a histogram: numbers that only grow.

Owns the bounds and the counting. Called by `connection` for request heads; the
journal link carries the counts to the collector, which shows them as a metric.
Pure, standard library only: it is part of the relay process.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TypedDict

# A head of 2 KiB takes a tenth of a millisecond; one of 64 KiB, byte by byte, some.
HEAD_BOUNDS_SECONDS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.1)


class Counted(TypedDict):
    """Counts of each interval (not cumulative; the last is above all bounds), and the sum."""

    counts: list[int]
    sum_seconds: float


class Timings:
    """A histogram over `bounds_seconds` (ascending, inclusive)."""

    def __init__(self, bounds_seconds: tuple[float, ...]) -> None:
        """Begin at 0."""
        self._bounds_seconds = bounds_seconds
        self._counts = [0] * (len(bounds_seconds) + 1)
        self._sum_seconds = 0.0

    def add(self, seconds: float) -> None:
        """Count one more."""
        self._counts[bisect_left(self._bounds_seconds, seconds)] += 1
        self._sum_seconds += seconds

    def snapshot(self) -> Counted:
        """Return a copy of all numbers."""
        return {"counts": list(self._counts), "sum_seconds": self._sum_seconds}
