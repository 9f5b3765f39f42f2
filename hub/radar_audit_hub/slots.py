"""A bound on how many expensive requests one replica serves at once.

Owns `Slots`. Held by `context.Hub` for exports, followers and tests of destinations. Never queues:
a caller above the bound is told to come back, so that waiting costs no memory.
A quarter of the places stays out of any one org's reach, so that none can take them all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Gauge

from .errors import TooManyRequestsError


class Slots:
    """`limit` places, three quarters of them for one org at most (all, where there are under 4).

    `what` names them in the refusal; `gauge`, if there is one, shows how many are taken.
    """

    def __init__(
        self, limit: int, what: str, gauge: Gauge | None = None, retry_after_seconds: int = 5
    ) -> None:
        """Start with all places free."""
        self._limit, self._what, self._gauge = limit, what, gauge
        self._retry_after_seconds = retry_after_seconds
        self._org_limit = limit - limit // 4
        self._by_org: Counter[str] = Counter()

    @property
    def taken(self) -> int:
        """How many places are taken now."""
        return self._by_org.total()

    @contextmanager
    def take(self, org_id: str) -> Iterator[None]:
        """Hold one place for the block. Raises TooManyRequestsError when none is free."""
        if self.taken >= self._limit:
            raise self._refusal(f"this server already serves {self._limit} {self._what} at once")
        if self._by_org[org_id] >= self._org_limit:
            raise self._refusal(
                f"this organization already has {self._org_limit} {self._what} running"
            )
        self._change(org_id, +1)
        try:
            yield
        finally:
            self._change(org_id, -1)

    def _refusal(self, sentence: str) -> TooManyRequestsError:
        return TooManyRequestsError(f"{sentence}; try again later", self._retry_after_seconds)

    def _change(self, org_id: str, by: int) -> None:
        self._by_org[org_id] += by
        if not self._by_org[org_id]:
            del self._by_org[org_id]
        if self._gauge is not None:
            self._gauge.set(self.taken)
