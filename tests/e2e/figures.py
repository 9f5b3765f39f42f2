"""What the e2e tests measure, to be shown at the end of the run.

Owns the figures of one run. Tests add to it, `conftest` prints it. Nothing here is held against a
bar: the machine is shared. What is promised is asserted by the test that measures it.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

MILLISECONDS = 1000


class Figures:
    """Measured times by name, each a list of seconds, and sentences."""

    def __init__(self) -> None:
        """Nothing is measured yet."""
        self._seconds: dict[str, list[float]] = {}
        self._notes: list[str] = []

    def add(self, name: str, seconds: Sequence[float]) -> None:
        """Add measured times, in seconds."""
        self._seconds.setdefault(name, []).extend(seconds)

    def note(self, sentence: str) -> None:
        """Add a sentence about the run."""
        self._notes.append(sentence)

    def lines(self) -> list[str]:
        """Return what is to be printed: a line for each name."""
        return [*self._notes, *(_line(name, seconds) for name, seconds in self._seconds.items())]


def _line(name: str, seconds: Sequence[float]) -> str:
    ordered = sorted(seconds)
    told = {
        "median": statistics.median(ordered),
        "p99": ordered[math.ceil(0.99 * len(ordered)) - 1],
        "most": ordered[-1],
    }
    text = ", ".join(f"{word} {value * MILLISECONDS:.1f} ms" for word, value in told.items())
    return f"{name}: {text} ({len(ordered)} measured)"
