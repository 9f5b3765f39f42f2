"""The spool: what was captured stays on disk until the hub has acknowledged it.

Owns the spool's thread and the promises below. Called by `intake` (append),
`deliver` (peek, settle) and `heartbeat` (state, stats). Never blocks the event
loop, keeps nothing in memory that is not on disk, and never looks inside a payload.

Promises:
- `append` returns when events and state changes are on disk, in one transaction;
  appends that wait for one another's fsync share the next one (group commit).
- When it raises SpoolUnavailableError nothing of the call was kept. Appends that
  were computed on top of a failed one fail as well (see DurableState.fence).
- Events come back in the order of their append, as often as needed, until `settle`.
- Any kill, at any byte, leaves a prefix of the transactions.
- The bound in bytes holds: the oldest events give way and a gap record says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from . import spool_rows as rows
from .errors import SpoolUnavailableError
from .spool_database import SpoolDatabase
from .spool_records import (
    DeadLetter,
    DurableState,
    NewEvent,
    NewGap,
    Settlement,
    SpoolStats,
    StoredEvent,
    StoredGap,
)

REASON_CORRUPT: Final = "spool_corrupt"
_MAX_GROUP = 256

T = TypeVar("T")
Work = Callable[[SpoolDatabase], Any]
OnLost = Callable[[str, int], None]


def wall_clock_ms() -> int:
    """Return the time as Unix milliseconds."""
    return time.time_ns() // 1_000_000


@dataclass(slots=True)
class _Order:
    """One piece of work for the thread, and the future of its caller."""

    work: Work
    answer: asyncio.Future[Any]
    cost_bytes: int = 0
    fence: int | None = None
    adds: bool = False
    result: Any = field(default=None, repr=False)
    error: BaseException | None = None


class Spool:
    """A durable, bounded, ordered queue with state beside it; one per process."""

    def __init__(
        self,
        directory: Path,
        max_bytes: int,
        *,
        on_lost: OnLost | None = None,
        now_ms: Callable[[], int] = wall_clock_ms,
    ) -> None:
        """Prepare a spool in `directory` of at most `max_bytes` on disk.

        `on_lost(reason, count)` is called in the event loop for events that had to
        go; count 0 means that nobody knows how many.
        """
        self.stats = SpoolStats()
        self.is_writable = False
        self._database = SpoolDatabase(directory, max_bytes)
        self._on_lost = on_lost
        self._now_ms = now_ms
        self._orders: queue.SimpleQueue[_Order | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._fence = 0
        self._arrival = asyncio.Event()

    async def open(self) -> None:
        """Own the directory and open the file; a corrupt one is set aside and a gap recorded.

        Raises SpoolLockedError and SpoolError (an admin must act) and
        SpoolUnavailableError (call again later).
        """
        if self._thread is None:
            self._loop = asyncio.get_running_loop()
            self._thread = threading.Thread(target=self._run, name="spool", daemon=True)
            self._thread.start()
        await self._order(lambda _: None)
        with contextlib.suppress(SpoolUnavailableError):
            await self.probe()  # on a full disk what is stored can still be delivered

    async def close(self) -> None:
        """Finish what was ordered, close the file, free the directory."""
        if self._thread is not None:
            self._orders.put(None)
            await asyncio.to_thread(self._thread.join)
            self._thread = None
        self.is_writable = False

    async def append(
        self,
        events: Sequence[NewEvent],
        changes: Mapping[str, bytes | None],
        *,
        gaps: Sequence[NewGap] = (),
        fence: int | None = None,
    ) -> None:
        """Store events, state changes and losses in one transaction; on disk on return.

        `fence` comes from the DurableState on which the changes were computed.
        Raises SpoolUnavailableError; then nothing was kept.
        """
        cost_bytes = sum(len(event.payload) for event in events)
        lost = await self._order(
            partial(rows.append, events=events, changes=changes, gaps=gaps),
            cost_bytes=cost_bytes,
            fence=fence,
            adds=True,
        )
        if lost:
            self._report_loss(rows.REASON_FULL, lost)
        if events:
            self.announce()

    async def load_state(self, prefix: str = "") -> DurableState:
        """Return the state keys that begin with `prefix`. Raises SpoolUnavailableError."""

        def work(database: SpoolDatabase) -> DurableState:
            return DurableState(self._fence, rows.load_state(database.conn, prefix))

        return await self._order(work)

    async def put_state(self, changes: Mapping[str, bytes | None]) -> None:
        """Set state keys, durably; null removes one. Raises SpoolUnavailableError."""
        await self._order(lambda database: rows.put_state(database.conn, changes))

    async def peek(
        self, limit: int, max_bytes: int, *, unclaimed_only: bool = False
    ) -> list[StoredEvent]:
        """Return the oldest events in order, those that claim no org only if asked so.

        At least one if there is any, else at most `limit` and `max_bytes`.
        Raises SpoolUnavailableError.
        """
        return await self._order(
            lambda database: rows.peek(
                database.conn, limit, max_bytes, unclaimed_only=unclaimed_only
            )
        )

    async def peek_held(self, limit: int, max_bytes: int) -> list[StoredEvent]:
        """Return the oldest of the held events. Raises SpoolUnavailableError."""
        return await self._order(lambda database: rows.peek_held(database.conn, limit, max_bytes))

    async def settle(self, settlement: Settlement) -> None:
        """Remove, hold or put aside what the hub has answered. Raises SpoolUnavailableError."""
        await self._order(lambda database: rows.settle(database, settlement, self._now_ms()))

    async def add_gap(self, gap: NewGap) -> None:
        """Record a loss. Raises SpoolUnavailableError."""
        await self._order(lambda database: rows.add_gap(database.conn, gap))

    async def gaps(self) -> list[StoredGap]:
        """Return the gaps that the hub has not been told yet. Raises SpoolUnavailableError."""
        return await self._order(lambda database: rows.gaps(database.conn))

    async def seal_gaps(self) -> list[StoredGap]:
        """Return gaps to be sent; later losses go into others. Raises SpoolUnavailableError."""
        return await self._order(lambda database: rows.seal_gaps(database.conn))

    async def dead_letters(self, limit: int = rows.MAX_DEAD_LETTERS) -> list[DeadLetter]:
        """Return the newest refused events, oldest first. Raises SpoolUnavailableError."""
        return await self._order(lambda database: rows.dead_letters(database.conn, limit))

    async def probe(self) -> None:
        """Try whether the spool can be written. Raises SpoolUnavailableError."""

        def work(database: SpoolDatabase) -> None:
            database.demand_room()
            database.demand_blocks()
            database.conn.execute("UPDATE tally SET events = events")

        await self._order(work, adds=True)

    def announce(self) -> None:
        """Wake whoever waits in `arrival`: what is stored may have become deliverable."""
        self._arrival.set()

    async def arrival(self, timeout_seconds: float) -> bool:
        """Wait until something was appended since the last call, or for the timeout."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._arrival.wait()
        arrived = self._arrival.is_set()
        self._arrival.clear()
        return arrived

    def _report_loss(self, reason: str, count: int) -> None:
        if self._on_lost is not None:
            self._on_lost(reason, count)

    async def _order(
        self,
        work: Callable[[SpoolDatabase], T],
        *,
        cost_bytes: int = 0,
        fence: int | None = None,
        adds: bool = False,
    ) -> T:
        if self._thread is None or self._loop is None:
            raise SpoolUnavailableError("the spool is not open")
        answer: asyncio.Future[T] = self._loop.create_future()
        self._orders.put(_Order(work, answer, cost_bytes, fence, adds))
        return await answer

    # -- the spool's thread from here on ------------------------------------------------

    def _run(self) -> None:
        stopping = False
        while not stopping:
            order = self._orders.get()
            group: list[_Order] = []
            cost_bytes = 0
            while order is not None:
                group.append(order)
                cost_bytes += order.cost_bytes
                if len(group) >= _MAX_GROUP or cost_bytes >= self._database.group_bytes:
                    break
                try:
                    order = self._orders.get_nowait()
                except queue.Empty:
                    break
            stopping = order is None
            if group:
                self._execute(group)
                self._answer(group)
        self._database.close()

    def _execute(self, group: list[_Order]) -> None:
        """Run a group in one transaction and answer its callers when it is on disk."""
        try:
            self._open()
            with self._database.transaction():
                for order in group:
                    self._run_order(order)
        except Exception as exc:
            if len(group) > 1:
                # One order's fault must not fail the others (on a full disk appends are
                # refused while deletions must pass): each gets its own transaction.
                for order in group:
                    self._execute([order])
                return
            self._fail(group[0], exc)
        # Its callers wait for an answer, whatever becomes of this.
        with contextlib.suppress(Exception):
            self._database.shrink_if_wanted()

    def _run_order(self, order: _Order) -> None:
        order.result, order.error = None, None
        if order.fence is not None and order.fence != self._fence:
            order.error = SpoolUnavailableError("an earlier change was not stored")
            return
        order.result = order.work(self._database)

    def _fail(self, order: _Order, exc: Exception) -> None:
        if order.fence is not None:
            self._fence += 1
        order.error = exc

    def _open(self) -> None:
        damaged_since_ms = self._database.open()
        if damaged_since_ms is not None:
            self._fence += 1
            with self._database.transaction() as conn:
                rows.add_gap(conn, NewGap(REASON_CORRUPT, damaged_since_ms, self._now_ms(), 0))
            self._tell(self._report_loss, REASON_CORRUPT, 0)

    def _answer(self, group: list[_Order]) -> None:
        stats = self.stats
        if self._database.is_open:
            with contextlib.suppress(Exception):
                stats = self._database.stats()
        self._tell(self._publish, group, stats)

    def _tell(self, call: Callable[..., None], *arguments: Any) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(call, *arguments)

    def _publish(self, group: list[_Order], stats: SpoolStats) -> None:
        """Runs in the event loop: publish the depth, then wake the callers."""
        self.stats = stats
        proofs = [order.error is None for order in group if order.adds]
        if proofs:
            self.is_writable = proofs[-1]
        for order in group:
            if order.answer.done():
                continue
            if order.error is not None:
                order.answer.set_exception(order.error)
            else:
                order.answer.set_result(order.result)
