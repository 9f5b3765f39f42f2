"""Interleaved measurements: what a figure is, and how a pair of contestants is measured.

Owns the only way in which a benchmark may compare: A B A B in one run, one ratio a round, the
median beside its spread. Called by the benchmarks of this folder. Never asserts on a time: a
missed bar is a line of the report.
"""

from __future__ import annotations

import gc
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from tests.bench.seed import Log, seeded_log
from tests.support.postgres import Server, running_postgres

Measure = Callable[[], Awaitable[float]]
DEFAULT_ROUNDS = 5
DEFAULT_ROWS = 1_000_000
# As on a server that is set up for a million rows: their indexes fit, checkpoints are rare.
SERVER_SETTINGS = {"shared_buffers": "1GB", "max_wal_size": "4GB"}


@dataclass(frozen=True, slots=True)
class Goal:
    """A bar: the median has to be at least, or at most, `bound`."""

    bound: float
    at_most: bool = False

    def holds(self, value: float) -> bool:
        return value <= self.bound if self.at_most else value >= self.bound

    def __str__(self) -> str:
        return f"{'≤' if self.at_most else '≥'} {self.bound:g}"


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the report; `values` has one value a round (ratios, unless `unit` is given)."""

    label: str
    values: tuple[float, ...]
    goal: Goal | None = None
    note: str = ""
    unit: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def holds(self) -> bool | None:
        """Whether the median reaches the goal; None where there is none."""
        return None if self.goal is None else self.goal.holds(self.median)


@dataclass(slots=True)
class Run:
    """What every benchmark is given: sizes, a way to speak, and what is dear to set up.

    `rows` is the size of the seeded log. The server and the seeded log are made when they are
    first asked for, and end with `stack`.
    """

    rounds: int
    rows: int
    stack: AsyncExitStack
    _server: Server | None = field(default=None, init=False)
    _log: Log | None = field(default=None, init=False)

    def say(self, text: str) -> None:
        """Write a line of progress to standard error."""
        sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")
        sys.stderr.flush()

    def postgres(self) -> Server:
        """Return a server of this run alone that writes through to the disk."""
        if self._server is None:
            self.say("starting PostgreSQL (fsync on)")
            self._server = self.stack.enter_context(
                running_postgres(fsync=True, settings=SERVER_SETTINGS)
            )
        return self._server

    async def log(self) -> Log:
        """Return a PostgreSQL database whose one big org has `rows` events in a year."""
        if self._log is None:
            self.say(f"seeding a log of {self.rows:,} events")
            self._log = await self.stack.enter_async_context(seeded_log(self.postgres(), self.rows))
        return self._log

    def count(self, at_default: int) -> int:
        """Return how many events of its own a benchmark brings: fewer where `rows` is smaller."""
        return max(1000, round(at_default * min(1.0, self.rows / DEFAULT_ROWS)))


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A named benchmark; `about` says in a sentence or two what is set against what."""

    name: str
    title: str
    about: str
    run: Callable[[Run], Awaitable[list[Figure]]]


async def interleave(rounds: int, measures: Mapping[str, Measure]) -> dict[str, list[float]]:
    """Measure every contestant once a round, in turn; return each one's values by round."""
    values: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(rounds):
        for name, measure in measures.items():
            gc.collect()
            values[name].append(await measure())
    return values


def ratios(above: list[float], below: list[float]) -> tuple[float, ...]:
    """Divide round by round."""
    return tuple(a / b for a, b in zip(above, below, strict=True))


def cpu_of(work: Callable[[], object]) -> Measure:
    """Measure the CPU seconds of this process for `work`: on a busy machine steadier than time."""

    async def measure() -> float:
        begun = time.process_time()
        work()
        return time.process_time() - begun

    return measure
