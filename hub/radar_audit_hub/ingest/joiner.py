"""Joins what waits for one org's log into one transaction.

Owns `Joiner`. Called by the ingest handler; how a transaction is made is an argument. Small
batches of many collectors would each pay for a commit and a turn at the head's lock; those that
arrive while one is being written share the next. What it holds is bounded by `admission.py`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
E = TypeVar("E")
R = TypeVar("R")
MAX_JOINED = 2000  # events of one transaction: the head stays locked for some tens of ms
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[E, R]):
    events: Sequence[E]
    answer: asyncio.Future[list[R]]


class Joiner(Generic[K, E, R]):
    """Runs `write(log, events)` for one group of batches after another, logs side by side.

    `write` returns one result per event, in order. `is_away` tells whether its error concerns
    the database as a whole: then all batches of the group fail. Otherwise each is tried alone,
    so that one that cannot be written takes no other with it. At most `parallel` run at once.
    """

    def __init__(
        self,
        write: Callable[[K, Sequence[E]], Awaitable[list[R]]],
        is_away: Callable[[BaseException], bool],
        *,
        parallel: int,
    ) -> None:
        """Hold nothing yet."""
        self._write, self._is_away = write, is_away
        self._places = asyncio.Semaphore(parallel)
        self._queues: dict[K, deque[_Waiting[E, R]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def submit(self, log: K, events: Sequence[E]) -> list[R]:
        """Write the events, perhaps with others, and return their results once they are durable.

        Raises whatever `write` raised for them.
        """
        if not events:
            return []
        waiting: _Waiting[E, R] = _Waiting(events, asyncio.get_running_loop().create_future())
        queue = self._queues.get(log)
        if queue is None:
            queue = self._queues[log] = deque()
            task = asyncio.create_task(self._drain(log, queue), name="ingest")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        queue.append(waiting)
        return await waiting.answer

    async def close(self) -> None:
        """Wait until everything that was submitted is written or has failed."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _drain(self, log: K, queue: deque[_Waiting[E, R]]) -> None:
        while queue:
            async with self._places:
                await self._write_group(log, _take_group(queue))
        # No await lies between the last look at the queue and this: nobody can slip in.
        del self._queues[log]

    async def _write_group(self, log: K, group: list[_Waiting[E, R]]) -> None:
        events = [event for waiting in group for event in waiting.events]
        try:
            results = await self._write(log, events)
        except Exception as error:  # each waiting request must hear of it, whatever it is
            if len(group) == 1 or self._is_away(error):
                for waiting in group:
                    if not waiting.answer.done():
                        waiting.answer.set_exception(error)
                return
            _logger.warning(
                "a joined write failed; its batches are tried one by one",
                extra={"batches": len(group), "error": type(error).__name__},
            )
            for waiting in group:
                await self._write_group(log, [waiting])
            return
        start = 0
        for waiting in group:
            end = start + len(waiting.events)
            if not waiting.answer.done():  # the request may have been cancelled meanwhile
                waiting.answer.set_result(results[start:end])
            start = end


def _take_group(queue: deque[_Waiting[E, R]]) -> list[_Waiting[E, R]]:
    """Take batches from the front: one at least, more while they stay within MAX_JOINED."""
    group = [queue.popleft()]
    count = len(group[0].events)
    while queue and count + len(queue[0].events) <= MAX_JOINED:
        count += len(queue[0].events)
        group.append(queue.popleft())
    return group
