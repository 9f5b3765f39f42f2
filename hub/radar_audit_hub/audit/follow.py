"""Wakes whoever waits for new events of an org: one poller per org and replica.

Owns `LogSignal`. Ingest and every other writer of this replica call `notify` after
their commit; long polls and live tails call `wait_past`. The database is polled
only while somebody waits, for the appends of other replicas. Never reads an event:
a woken caller reads the log itself, so nothing can be skipped here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

from radar_audit_hub.polling import rung

NextSeq = Callable[[str], Awaitable[int]]
POLL_SECONDS = 0.5
_logger = logging.getLogger(__name__)


@dataclass
class _Watch:
    """One org somebody waits for; `next_seq` is the log's length as last seen."""

    waiters: dict[asyncio.Future[None], int] = field(default_factory=dict)
    stir: asyncio.Event = field(default_factory=asyncio.Event)
    next_seq: int = 0
    task: asyncio.Task[None] | None = None


class LogSignal:
    """`next_seq(org_id)` reads an org's log length from the database."""

    def __init__(self, next_seq: NextSeq, poll_seconds: float = POLL_SECONDS) -> None:
        """Watch nothing yet."""
        self._next_seq, self._poll_seconds = next_seq, poll_seconds
        self._watches: dict[str, _Watch] = {}
        self._bells: set[asyncio.Event] = set()
        self._stopped = False

    @property
    def stopped(self) -> bool:
        """Whether the server is on its way down: followers end their answers."""
        return self._stopped

    @property
    def watched(self) -> frozenset[str]:
        """The orgs that are polled now."""
        return frozenset(self._watches)

    def notify(self, org_id: str) -> None:
        """Say that this replica has committed events of an org. Cheap when nobody waits."""
        for bell in self._bells:
            bell.set()
        watch = self._watches.get(org_id)
        if watch is not None:
            watch.stir.set()

    @contextlib.contextmanager
    def bell(self) -> Iterator[asyncio.Event]:
        """Hand out an event that is set by every commit of this replica, whatever the org.

        Who waits for it clears it; it says nothing of other replicas' commits.
        """
        bell = asyncio.Event()
        self._bells.add(bell)
        try:
            yield bell
        finally:
            self._bells.discard(bell)

    async def wait_past(self, org_id: str, seq: int, timeout_seconds: float) -> bool:
        """Wait until the log holds an event after `seq`; False when the time is up first."""
        if self._stopped:
            return False
        watch = self._watches.get(org_id)
        if watch is None:
            watch = self._watches[org_id] = _Watch()
            watch.task = asyncio.create_task(self._poll(org_id, watch), name=f"poll {org_id}")
        if watch.next_seq > seq + 1:
            return True
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        watch.waiters[waiter] = seq
        try:
            async with asyncio.timeout(timeout_seconds):
                await waiter
            return not self._stopped
        except TimeoutError:
            return False
        finally:
            watch.waiters.pop(waiter, None)

    async def stop(self) -> None:
        """End all polling and all waiting, now and from now on."""
        self._stopped = True
        tasks = []
        for watch in self._watches.values():
            for waiter in watch.waiters:
                if not waiter.done():
                    waiter.set_result(None)
            if watch.task is not None:
                watch.task.cancel()
                tasks.append(watch.task)
        await asyncio.gather(*tasks, return_exceptions=True)
        self._watches.clear()

    async def _poll(self, org_id: str, watch: _Watch) -> None:
        failing = False
        while watch.waiters:
            watch.stir.clear()  # before the read: an append during it must lead to another one
            try:
                watch.next_seq = await self._next_seq(org_id)
                failing = False
            except Exception as error:  # the waiters outlive a database that is away for a moment
                if not failing:  # once for each outage, not twice a second
                    facts = {"error": type(error).__name__}
                    _logger.warning("cannot read the length of a log", extra=facts)
                failing = True
            for waiter, seq in watch.waiters.items():
                if watch.next_seq > seq + 1 and not waiter.done():
                    waiter.set_result(None)
            await rung(watch.stir, self._poll_seconds)
        # No await since the check: nobody can have joined this watch meanwhile.
        del self._watches[org_id]
