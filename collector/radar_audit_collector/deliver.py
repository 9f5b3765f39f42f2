"""Ships what the spool holds to the hub, in order, until each event has its answer.

Owns the delivery loop and what it does with each answer and each failure. Called
by `app`, which runs it as a task and lets it drain at the end. Never gives an
event up: it leaves the spool only when the hub has said accepted, duplicate,
expired or rejected, or when it belongs to another org.

- The hub is down, slow, answers 429, 5xx or nonsense: the same events again, for
  ever, with full jitter, and not before the hub's Retry-After.
- It refuses the token (401, 403): a pause, readiness falls, then again.
- It refuses a whole batch (400, 413, 422): `shipping` finds the event that is to blame.
- It finds an event ahead of its clock: that one waits apart and is tried again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

from .errors import HubRefusedTokenError, HubUnreachableError, SpoolUnavailableError
from .hub_client import Backoff, HubClient
from .identity import Identity
from .metrics import Metrics
from .shipping import Shipper
from .spool import Spool
from .spool_records import Settlement, StoredEvent, StoredGap

MAX_PAYLOAD_BYTES = 4 * 1024 * 1024  # half of what the hub takes, so that the frame always fits
_IDLE_SECONDS = 5.0
_FIRST_RETRY_SECONDS = 0.25
_SPOOL_RETRY_SECONDS = 1.0
_TOKEN_LOOK_SECONDS = 1.0
_GAPS_RETRY_SECONDS = 3600.0

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DeliveryLimits:
    """Sizes and pauses of the delivery; times in seconds."""

    batch_events: int = 500
    linger_seconds: float = 0.2
    retry_max_seconds: float = 30.0
    token_retry_seconds: float = 60.0
    skew_retry_seconds: float = 30.0


class Deliverer:
    """The one sender of this collector's events."""

    def __init__(
        self,
        spool: Spool,
        client: HubClient,
        identity: Identity,
        metrics: Metrics,
        collector_id: str,
        limits: DeliveryLimits,
    ) -> None:
        """Nothing is sent before `run` or `flush`."""
        self.is_token_refused = False
        self._spool = spool
        self._client = client
        self._identity = identity
        self._metrics = metrics
        self._shipper = Shipper(spool, client, metrics, collector_id)
        self._limits = limits
        self._backoff = Backoff(_FIRST_RETRY_SECONDS, limits.retry_max_seconds)
        self._trouble = ""
        self._held_again_at = 0.0
        self._gaps_again_at = 0.0

    async def run(self) -> None:
        """Deliver for ever."""
        while True:
            try:
                if not await self._deliver_once():
                    await self._wait_for_more()
            except HubRefusedTokenError as exc:
                await self._pause_for_token(exc)
            except HubUnreachableError as exc:
                await self._pause(exc)
            except SpoolUnavailableError:
                await asyncio.sleep(_SPOOL_RETRY_SECONDS)

    async def flush(self) -> None:
        """Deliver until nothing is left that could be; the caller bounds the time."""
        while self._spool.stats.events > self._spool.stats.held or self._has_gaps():
            try:
                if not await self._deliver_once() and self._identity.org_id is None:
                    return
            except HubRefusedTokenError:
                return
            except HubUnreachableError as exc:
                await self._pause(exc)
            except SpoolUnavailableError:
                await asyncio.sleep(_SPOOL_RETRY_SECONDS)

    def _has_gaps(self) -> bool:
        return self._spool.stats.gaps > 0 and time.monotonic() >= self._gaps_again_at

    async def _deliver_once(self) -> bool:
        """Ship one batch; tell whether it was full, so that the next one should not wait."""
        if self._identity.is_conflicting:
            raise HubUnreachableError("org_conflict")
        await self._deliver_held()
        limit = self._limits.batch_events
        events = await self._spool.peek(
            limit, MAX_PAYLOAD_BYTES, unclaimed_only=self._identity.org_id is None
        )
        payload_bytes = sum(len(event.payload) for event in events)
        is_full = len(events) == limit or payload_bytes > MAX_PAYLOAD_BYTES // 2
        own = await self._drop_foreign(events)
        gaps = await self._spool.seal_gaps() if self._has_gaps() else []
        if own or gaps:
            await self._ship(own, gaps)
        return is_full

    async def _deliver_held(self) -> None:
        """Try the events again that were ahead of the hub's clock, if it is time to."""
        while self._spool.stats.held and time.monotonic() >= self._held_again_at:
            held = await self._spool.peek_held(self._limits.batch_events, MAX_PAYLOAD_BYTES)
            before = self._spool.stats.held
            own = await self._drop_foreign(held)
            if own:
                await self._ship(own, [])
            if self._spool.stats.held >= before:
                self._held_again_at = time.monotonic() + self._limits.skew_retry_seconds

    async def _drop_foreign(self, events: Sequence[StoredEvent]) -> list[StoredEvent]:
        """Remove events whose groups name another org than this collector's; return the rest."""
        org_id = self._identity.org_id
        own = [e for e in events if e.claimed_org is None or e.claimed_org == org_id]
        if len(own) < len(events):
            kept = {event.seq for event in own}
            await self._spool.settle(Settlement([e.seq for e in events if e.seq not in kept]))
            self._metrics.ignored.labels("org_mismatch").inc(len(events) - len(own))
        return own

    async def _ship(self, events: list[StoredEvent], gaps: list[StoredGap]) -> None:
        report = await self._shipper.ship(events, gaps)
        if report.skewed:
            self._held_again_at = time.monotonic() + self._limits.skew_retry_seconds
        if report.are_gaps_refused:
            self._gaps_again_at = time.monotonic() + _GAPS_RETRY_SECONDS
        self._recover()

    async def _wait_for_more(self) -> None:
        timeout_seconds = _IDLE_SECONDS
        if self._spool.stats.held:
            timeout_seconds = min(
                timeout_seconds, max(0.05, self._held_again_at - time.monotonic())
            )
        arrived = await self._spool.arrival(timeout_seconds)
        if arrived and self._spool.stats.events < self._limits.batch_events:
            await asyncio.sleep(self._limits.linger_seconds)

    async def _pause(self, exc: HubUnreachableError) -> None:
        self._metrics.deliveries.labels(exc.reason).inc()
        if self._trouble != exc.reason:
            _logger.warning(
                "the hub takes no events; they stay in the spool",
                extra={"reason": exc.reason, "waiting_events": self._spool.stats.events},
            )
            self._trouble = exc.reason
        await asyncio.sleep(self._backoff.next_seconds(exc.retry_after_seconds or 0.0))

    async def _pause_for_token(self, exc: HubRefusedTokenError) -> None:
        """Wait for a while, or until a rotated token is there."""
        self._metrics.deliveries.labels("token_refused").inc()
        if not self.is_token_refused:
            _logger.error(
                "the hub refuses the cluster token; rotate it or correct the setting",
                extra={
                    "status": exc.status,
                    "hub_says": exc.message,
                    "waiting_events": self._spool.stats.events,
                },
            )
        self.is_token_refused = True
        self._metrics.token_refused.set(1)
        refused, until = self._client.token, time.monotonic() + self._limits.token_retry_seconds
        while True:
            left = until - time.monotonic()
            if left <= 0 or self._client.token != refused:
                return
            await asyncio.sleep(min(left, _TOKEN_LOOK_SECONDS))

    def _recover(self) -> None:
        self._backoff.reset()
        if self._trouble or self.is_token_refused:
            _logger.info("the hub takes events again")
        self._trouble, self.is_token_refused = "", False
        self._metrics.token_refused.set(0)
