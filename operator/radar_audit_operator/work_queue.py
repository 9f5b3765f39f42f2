"""The operator's queue: each object once, one worker per object, delays, a bound.

Owns which object is due when. Called by the intake (adds), the reconciler's workers (take, done)
and the resync. Never holds more than an object's key, so a storm of edits costs one reconcile.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
from collections.abc import Callable
from typing import NamedTuple

from .specs import Key

_FIRST_RETRY_SECONDS = 1.0


class Item(NamedTuple):
    """What to reconcile: the plural of a kind, and which one."""

    plural: str
    key: Key


class WorkQueue:
    """Keys that wait; adding a key that waits changes nothing, one at work is done again after."""

    def __init__(
        self,
        limit: int,
        retry_max_seconds: float,
        now: Callable[[], float],
        draw: Callable[[], float] = random.random,
    ) -> None:
        """Hold at most `limit` keys; retries pause up to `retry_max_seconds`, with full jitter."""
        self._limit, self._retry_max_seconds = limit, retry_max_seconds
        self._now, self._draw = now, draw
        self._ready: dict[Item, float] = {}  # in order of arrival, with the time of it
        self._at_work: dict[Item, bool] = {}  # value: to be done again
        self._later: list[tuple[float, int, Item]] = []
        self._due: dict[Item, float] = {}
        self._failures: dict[Item, int] = {}
        self._numbers = itertools.count()
        self._changed = asyncio.Event()
        self.dropped = 0

    def __len__(self) -> int:
        """Return how many wait or are at work; those that are only due later do not count."""
        return len(self._ready) + len(self._at_work)

    @property
    def oldest_seconds(self) -> float:
        """How long the first has waited."""
        return self._now() - next(iter(self._ready.values())) if self._ready else 0.0

    def add(self, item: Item) -> bool:
        """Add a key; false when the queue is full, in which case the next resync repairs it."""
        if item in self._at_work:
            self._at_work[item] = True
            return True
        if item not in self._ready:
            if len(self._ready) >= self._limit:
                self.dropped += 1
                return False
            self._ready[item] = self._now()
            self._changed.set()
        return True

    def add_later(self, item: Item, seconds: float) -> None:
        """Add a key in so many seconds; an earlier date stands."""
        due = self._now() + seconds
        if self._due.get(item, float("inf")) <= due:
            return
        self._due[item] = due
        heapq.heappush(self._later, (due, next(self._numbers), item))
        self._changed.set()

    def retry(self, item: Item, at_least_seconds: float = 0.0) -> None:
        """Add a key that failed, after a pause that grows with its failures."""
        failures = self._failures[item] = min(self._failures.get(item, 0) + 1, 30)
        ceiling = min(_FIRST_RETRY_SECONDS * 2 ** (failures - 1), self._retry_max_seconds)
        self.add_later(item, max(at_least_seconds, ceiling * (0.5 + self._draw() / 2)))

    async def take(self) -> Item:
        """Return the next key; `done` must follow."""
        while True:
            self._promote()
            if self._ready:
                item = next(iter(self._ready))
                del self._ready[item]
                self._at_work[item] = False
                return item
            self._changed.clear()
            pause = self._later[0][0] - self._now() if self._later else None
            try:
                async with asyncio.timeout(pause):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def done(self, item: Item) -> None:
        """End the work on a key; if it was added meanwhile, it waits again.

        A key that is not to be tried again has succeeded: its failures are forgotten.
        """
        if item not in self._due:
            self._failures.pop(item, None)
        if self._at_work.pop(item, False):
            self.add(item)

    def _promote(self) -> None:
        while self._later and self._later[0][0] <= self._now():
            due, _, item = heapq.heappop(self._later)
            if self._due.get(item) == due:
                del self._due[item]
                self.add(item)
