"""Whose turn it is to look at rows one by one: searches that no index answers.

Owns `Scans`. Held by `database.py`; the reads in `query.py` and `facets.py` ask for a turn. One
scan takes some tenths of a second of a connection and a processor. Without turns a single reader
could hold all reading connections, and with them every sign-in of every org. Never refuses: who
waits is bounded by the server's connections and followers.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator


class Scans:
    """At most `total` scans at once, and at most `per_org` of one org; the others wait in line.

    An org waits behind itself first, so that its crowd stands before nobody else.
    """

    def __init__(self, total: int, per_org: int) -> None:
        """Begin with nobody scanning."""
        self._places = asyncio.Semaphore(total)
        self._per_org = per_org
        self._lines: dict[str, tuple[asyncio.Semaphore, int]] = {}

    def __len__(self) -> int:
        """How many orgs scan or wait: nothing is kept of the others."""
        return len(self._lines)

    @contextlib.asynccontextmanager
    async def turn(self, org_id: str) -> AsyncIterator[None]:
        """Wait for a place and hold it for the block."""
        line, waiting = self._lines.get(org_id) or (asyncio.Semaphore(self._per_org), 0)
        self._lines[org_id] = line, waiting + 1
        try:
            async with line, self._places:
                yield
        finally:
            _, waiting = self._lines[org_id]
            if waiting > 1:
                self._lines[org_id] = line, waiting - 1
            else:
                del self._lines[org_id]
