"""Turns of the orgs at what is dear: one request of an org at a time, the others wait outside.

Owns `Turns`. Held by `context.Hub`; taken by `changes.py` and by whoever reads all documents of an
org's policy. Changes of one org wait for one another in any case, at its lock: with a turn they do
it without a connection of the pool, which other orgs need, and without what they have read.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from .errors import TooManyRequestsError

MAX_WAITING = 100  # requests of one org; more of them would time out before it is their turn
RETRY_AFTER_SECONDS = 5


@dataclass(slots=True)
class _Line:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    length: int = 0


class Turns:
    """Gives each org its turns, in the order in which they were asked for; orgs go side by side.

    Nobody may ask for a turn within a turn of the same org: that would never come.
    """

    def __init__(self, max_waiting: int = MAX_WAITING) -> None:
        """Know nobody yet."""
        self._max_waiting = max_waiting
        self._lines: dict[str, _Line] = {}

    def __len__(self) -> int:
        """How many orgs have a turn now."""
        return len(self._lines)

    @asynccontextmanager
    async def take(self, org_id: str) -> AsyncIterator[None]:
        """Wait for an org's turn and hold it for the block.

        Raises TooManyRequestsError where as many as may wait already.
        """
        line = self._lines.setdefault(org_id, _Line())
        if line.length > self._max_waiting:
            raise TooManyRequestsError(
                "too many requests of this organization wait for one another; try again later",
                RETRY_AFTER_SECONDS,
            )
        line.length += 1
        try:
            async with line.lock:
                yield
        finally:
            line.length -= 1
            if not line.length:
                del self._lines[org_id]
