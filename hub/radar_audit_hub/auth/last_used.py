"""Writes when a token was last used, off the request's path.

Owns `LastUsed`. Called by `bearer.py` at most once a minute and token. A stamp is
a courtesy: it may be late or lost, and must never delay or fail the request itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

MAX_PENDING = 100
_logger = logging.getLogger(__name__)


class LastUsed:
    """Runs one write at a time; drops a key that already waits, and all above the bound."""

    def __init__(self) -> None:
        """Hold nothing yet."""
        self._pending: dict[str, Callable[[], Awaitable[None]]] = {}
        self._task: asyncio.Task[None] | None = None

    def run(self, key: str, write: Callable[[], Awaitable[None]]) -> None:
        """Write soon; `key` names the token by an id, never by its text."""
        if key in self._pending or len(self._pending) >= MAX_PENDING:
            return
        self._pending[key] = write
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._drain(), name="last used")

    async def stop(self) -> None:
        """Write what is still waiting."""
        if self._task is not None:
            await self._task

    async def _drain(self) -> None:
        while self._pending:
            key, write = next(iter(self._pending.items()))
            try:
                await write()
            except Exception:  # the request was answered; the next use stamps anew
                _logger.warning("cannot stamp a token's last use", exc_info=True)
            del self._pending[key]
