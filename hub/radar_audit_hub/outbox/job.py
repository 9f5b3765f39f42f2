"""Does the work of the outbox: claims what is due, calls its handler, notes how that went.

Owns the loop, its bounds and its metrics. Started by `app.py` on every replica. Work is done at
least once: whoever dies in the middle leaves a claim that runs out, and another attempt follows.
A handler runs outside of any transaction. Never knows what a kind means.
"""

from __future__ import annotations

import asyncio
import logging
import random
from contextlib import suppress
from functools import partial
from typing import NoReturn

from radar_audit_hub.context import Hub
from radar_audit_hub.polling import EveryNth, poll_forever
from radar_audit_hub.store import outbox
from radar_audit_hub.store.outbox import Claimed

from .delivery import Delivery, DeliveryFailedError, Handlers
from .rules import next_due_ms

AT_ONCE = 8  # attempts that one replica makes at the same time
ATTEMPT_SECONDS = 60.0  # well below CLAIM_MS
POLL_SECONDS = 1.0
LOG_EVERY = 60  # polls between two log lines about the same trouble
MEASURE_EVERY = 15  # polls between two looks at the whole table
_MAX_ERROR_CHARS = 300
_logger = logging.getLogger(__name__)


async def run_forever(hub: Hub, handlers: Handlers, poll_seconds: float = POLL_SECONDS) -> NoReturn:
    """Work until cancelled; then attempts under way are broken off and put back."""
    job = OutboxJob(hub, handlers)
    measuring = EveryNth(MEASURE_EVERY)

    async def look() -> None:
        if measuring.is_due():
            await job.measure()
        await job.begin_due()

    try:
        await poll_forever(
            look,
            partial(job.pause, poll_seconds),
            logger=_logger,
            trouble="the outbox cannot be read",
            log_every=LOG_EVERY,
        )
    finally:
        await job.stop()


class OutboxJob:
    """The attempts that one replica makes now: never more than AT_ONCE."""

    def __init__(self, hub: Hub, handlers: Handlers) -> None:
        """Begin nothing yet."""
        self._hub, self._handlers = hub, handlers
        self._running: set[asyncio.Task[None]] = set()

    async def begin_due(self) -> int:
        """Claim as much due work as there is room for and begin it; return how much."""
        free = AT_ONCE - len(self._running)
        if free <= 0 or not self._handlers:
            return 0
        now_ms = self._hub.now_ms()
        async with self._hub.db.read() as conn:
            if not await outbox.any_due(conn, self._handlers.keys(), now_ms):
                return 0
        async with self._hub.db.write() as conn:
            claimed = await outbox.claim(conn, self._handlers.keys(), now_ms, free)
        for row in claimed:
            task = asyncio.create_task(self._attempt(row), name=f"outbox {row.kind}")
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return len(claimed)

    async def drain(self) -> None:
        """Do all that is due now, and return once it is settled."""
        while await self.begin_due() or self._running:
            if self._running:
                await asyncio.wait(self._running)

    async def pause(self, seconds: float) -> None:
        """Wait a while, or until there is room for more if there was none."""
        if len(self._running) < AT_ONCE:
            await asyncio.sleep(seconds)
        else:
            await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)

    async def stop(self) -> None:
        """Break off what is under way; it is put back, to be begun anew by anybody."""
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)

    async def measure(self) -> None:
        """Set the gauges, and forget what was settled long ago."""
        now_ms, metrics = self._hub.now_ms(), self._hub.metrics
        async with self._hub.db.read() as conn:
            found = await outbox.waiting(conn)
            any_old = await outbox.any_done_long_ago(conn, now_ms)
        metrics.outbox_pending.set(found.pending)
        oldest = now_ms if found.oldest_due_at_ms is None else found.oldest_due_at_ms
        metrics.outbox_oldest_seconds.set(max(0, now_ms - oldest) / 1000)
        if any_old:
            async with self._hub.db.write() as conn:
                await outbox.forget_done(conn, now_ms)

    async def _attempt(self, row: Claimed) -> None:
        delivery = Delivery(
            id=row.id,
            org_id=row.org_id,
            kind=row.kind,
            payload=row.payload,
            created_at_ms=row.created_at_ms,
            attempt=row.attempt,
        )
        try:
            try:
                async with asyncio.timeout(ATTEMPT_SECONDS):
                    await self._handlers[row.kind](self._hub, delivery)
            except Exception as error:  # whatever it is, the other work must go on
                await self._failed(row, error)
            else:
                await self._settle(row, "done", None)
        except asyncio.CancelledError:
            with suppress(Exception):  # then its claim runs out
                await self._put_back(row, self._hub.now_ms(), "the hub was stopped")
            raise
        except Exception:  # the claim runs out, and another attempt follows
            _logger.exception("the outcome of outbox work cannot be noted", extra={"id": row.id})

    async def _failed(self, row: Claimed, error: Exception) -> None:
        retry = not isinstance(error, DeliveryFailedError) or error.retry
        text = _words(error)
        now_ms = self._hub.now_ms()
        due = next_due_ms(row.attempt, row.give_up_at_ms, now_ms, random.random())
        facts = {"id": row.id, "kind": row.kind, "attempt": row.attempt, "reason": text}
        if retry and due is not None:
            unexpected = None if isinstance(error, DeliveryFailedError | TimeoutError) else error
            _logger.warning("outbox work failed", exc_info=unexpected, extra=facts)
            if await self._put_back(row, due, text):
                self._hub.metrics.outbox_attempts.labels(row.kind, "failed").inc()
            return
        _logger.error("outbox work is given up", extra=facts)
        await self._settle(row, "given_up", text)

    async def _settle(self, row: Claimed, outcome: outbox.Outcome, error: str | None) -> None:
        async with self._hub.db.write() as conn:
            mine = await outbox.settle(conn, row, self._hub.now_ms(), outcome=outcome, error=error)
        if mine:
            self._hub.metrics.outbox_attempts.labels(row.kind, outcome).inc()

    async def _put_back(self, row: Claimed, due_ms: int, error: str) -> bool:
        async with self._hub.db.write() as conn:
            return await outbox.put_back(conn, row, due_ms, error)


def _words(error: Exception) -> str:
    """Return what may be kept of an error: another one's own text might hold a secret."""
    if isinstance(error, DeliveryFailedError):
        return str(error)[:_MAX_ERROR_CHARS]
    if isinstance(error, TimeoutError):
        return f"it took longer than {ATTEMPT_SECONDS:.0f} seconds"
    return type(error).__name__
