"""The loop of every background job: look, pause, look again, until it is cancelled.

Owns `poll_forever`, the count of looks for what is due more rarely, and the wait for a bell.
Called by the `run_forever` of each job that `app.py` starts. Never ends because of a failed look:
the database may be away for a while, and what a job does can wait for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import NoReturn


async def poll_forever(
    look: Callable[[], Awaitable[object]],
    pause: Callable[[], Awaitable[object]],
    *,
    logger: logging.Logger,
    trouble: str,
    log_every: int = 1,
    failed: Callable[[], None] | None = None,
    rest_seconds: float = 0.0,
) -> NoReturn:
    """Look and pause until cancelled; a look that fails is followed by a pause like any other.

    Of failures in a row the first is logged as `trouble`, and then every `log_every`th; `failed`
    is told of each one. Before its pause comes a rest of `rest_seconds`: where bells cut pauses
    short, they would else have what fails tried again and again.
    """
    in_a_row = 0
    while True:
        try:
            await look()
            in_a_row = 0
        except Exception:  # whatever it is, the next look may succeed
            if failed is not None:
                failed()
            if in_a_row % log_every == 0:
                logger.exception(trouble)
            in_a_row += 1
            await asyncio.sleep(rest_seconds)
        await pause()


class EveryNth:
    """Says at which looks something rarer is due: at the first, and at every `n`th after it."""

    def __init__(self, n: int) -> None:
        """Nobody has asked yet."""
        self._n, self._asked = n, 0

    def is_due(self) -> bool:
        """Count this asking, and tell whether it is one of those."""
        is_due = self._asked % self._n == 0
        self._asked += 1
        return is_due


async def rung(bell: asyncio.Event, seconds: float) -> bool:
    """Wait for a bell, but no longer than that; tell whether it rang. It is left as it is."""
    try:
        async with asyncio.timeout(seconds):
            await bell.wait()
    except TimeoutError:
        return False
    return True
