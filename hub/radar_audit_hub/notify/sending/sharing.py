"""Who may have how many lanes of a replica at once: pure.

Owns the bounds. Called by `job.py`. A receiver that hangs holds its lane until the attempt is
given up, so those that may do that share a part of the lanes, of which each org has few: however
many of them there are, a destination that works finds room. Never reads the store or a clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

AT_ONCE = 64  # lanes that one replica works at the same time
PER_ORG = 16
DOUBTFUL_AT_ONCE = 32  # of them, for destinations that fail, are slow, or never had a delivery
DOUBTFUL_PER_ORG = 4

Place = tuple[str, str]  # the ids of an org and of its destination


class _Held(NamedTuple):
    org_id: str
    doubtful: bool


class Shares:
    """The lanes that are held now, by destination: within the bounds at any time."""

    def __init__(self) -> None:
        """Hold none."""
        self._held: dict[str, _Held] = {}

    def room(self, *, doubtful: bool) -> int:
        """Return how many more lanes destinations may have that are doubtful, or that are not."""
        free = AT_ONCE - len(self._held)
        if not doubtful:
            return free
        return min(free, DOUBTFUL_AT_ONCE - sum(held.doubtful for held in self._held.values()))

    def full_orgs(self, *, doubtful: bool) -> list[str]:
        """Return the orgs that may have no more of them."""
        counts = self._counts(doubtful=doubtful)
        return [name for name, count in counts.items() if count >= _per_org(doubtful=doubtful)]

    def choose(self, waiting: Iterable[Place], *, doubtful: bool) -> list[Place]:
        """Hold lanes for as many as there is room for, the first first, and return whose."""
        counts, chosen = self._counts(doubtful=doubtful), []
        for org_id, destination_id in waiting:
            if self.room(doubtful=doubtful) <= 0:
                break
            if counts[org_id] < _per_org(doubtful=doubtful) and destination_id not in self._held:
                counts[org_id] += 1
                self._held[destination_id] = _Held(org_id, doubtful)
                chosen.append((org_id, destination_id))
        return chosen

    def give_back(self, destination_id: str) -> None:
        """Let go of a lane; harmless if it is not held."""
        self._held.pop(destination_id, None)

    def _counts(self, *, doubtful: bool) -> Counter[str]:
        """Return how many lanes each org has: the doubtful ones, or all."""
        return Counter(held.org_id for held in self._held.values() if held.doubtful or not doubtful)


def _per_org(*, doubtful: bool) -> int:
    return DOUBTFUL_PER_ORG if doubtful else PER_ORG
