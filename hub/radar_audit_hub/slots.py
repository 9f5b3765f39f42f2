"""A bound on how many expensive requests one replica serves at once.

Owns `Slots`. Held by `context.Hub` for exports and for followers. Never queues:
a caller above the bound is told to come back, so that waiting costs no memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Gauge

from .errors import TooManyRequestsError


class Slots:
    """`limit` places; `what` names them in the refusal; `gauge` shows how many are taken."""

    def __init__(self, limit: int, what: str, gauge: Gauge, retry_after_seconds: int = 5) -> None:
        """Start with all places free."""
        self._limit, self._what, self._gauge = limit, what, gauge
        self._retry_after_seconds = retry_after_seconds
        self._taken = 0

    @property
    def taken(self) -> int:
        """How many places are taken now."""
        return self._taken

    @contextmanager
    def take(self) -> Iterator[None]:
        """Hold one place for the block. Raises TooManyRequestsError when none is free."""
        if self._taken >= self._limit:
            raise TooManyRequestsError(
                f"this server already serves {self._limit} {self._what} at once; try again later",
                self._retry_after_seconds,
            )
        self._change(+1)
        try:
            yield
        finally:
            self._change(-1)

    def _change(self, by: int) -> None:
        self._taken += by
        self._gauge.set(self._taken)
