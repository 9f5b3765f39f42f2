"""Turns of the orgs at what is dear: few requests of an org at a time, the others wait outside.

Owns `Turns`. Held by `context.Hub`: for changes, which `changes.py` and whoever reads all documents
of an org's policy take one by one, for what clusters report, and for pages of the log, which are
large. Changes of one org
wait for one another in any case, at its lock: with a turn they do it without a connection of the
pool, which other orgs need, and without what they have read.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from .errors import TooManyRequestsError

MAX_WAITING = 100  # requests of one org; more of them would time out before it is their turn
RETRY_AFTER_SECONDS = 5


@dataclass(slots=True)
class _Line:
    places: asyncio.Semaphore
    length: int = 0


class Turns:
    """Gives each org its turns, in the order in which they were asked for; orgs go side by side.

    An org has `at_once` of them, and `max_waiting` requests that wait. Nobody may ask for a turn
    within a turn of the same org: that might never come.
    """

    def __init__(self, at_once: int = 1, max_waiting: int = MAX_WAITING) -> None:
        """Know nobody yet."""
        self._at_once, self._max_waiting = at_once, max_waiting
        self._lines: dict[str, _Line] = {}

    def __len__(self) -> int:
        """How many orgs have a turn now."""
        return len(self._lines)

    @asynccontextmanager
    async def take(self, org_id: str) -> AsyncIterator[None]:
        """Wait for an org's turn and hold it for the block.

        Raises TooManyRequestsError where as many as may wait already.
        """
        line = self._lines.get(org_id)
        if line is None:
            line = self._lines[org_id] = _Line(asyncio.Semaphore(self._at_once))
        if line.length >= self._at_once + self._max_waiting:
            raise TooManyRequestsError(
                "too many such requests wait for one another; try again later",
                RETRY_AFTER_SECONDS,
            )
        line.length += 1
        try:
            async with line.places:
                yield
        finally:
            line.length -= 1
            if not line.length:
                del self._lines[org_id]
