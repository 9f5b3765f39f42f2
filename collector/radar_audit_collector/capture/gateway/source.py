"""The gateway as a source of the collector: its parts, in the order in which they live.

Owns trust, relay, journal and their metrics. Called by the collector's `app`. The
relay is first to start and last to stop, and waits for nothing but its keys: Radar
must reach its API server whatever becomes of spool and hub.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from radar_audit_runtime.tasks import Tasks

from radar_audit_collector.capture.record import AuditRecord
from radar_audit_collector.classify import ClassifyRules
from radar_audit_collector.metrics import Metrics
from radar_audit_collector.spool import Spool

from .config import RelayConfig
from .journal import GatewayJournal
from .metrics import GatewayMetrics
from .process import RelayProcess
from .settings import GatewaySettings
from .trust import Trust

_LISTEN_SECONDS = 15.0
_SETTLE_SECONDS = 5.0  # for what is left to be closed and stored after the grace period
_POLL_SECONDS = 0.01
_RESTARTS = 1_000_000  # a task that ends is started anew; readiness tells while it is down

_logger = logging.getLogger(__name__)
_Accept = Callable[[Sequence[AuditRecord]], Awaitable[None]]


class GatewaySource:
    """The parts of one gateway."""

    def __init__(
        self,
        settings: GatewaySettings,
        config: RelayConfig,
        spool: Spool,
        accept: _Accept,
        rules: Callable[[], ClassifyRules],
        metrics: Metrics,
    ) -> None:
        """Nothing is made and nothing listens before `start`."""
        self._drain_seconds = settings.drain_seconds
        self._own_capture = config.capture
        self._own_required = config.failure_policy == "required"
        self._trust = Trust(settings)
        self._metrics = GatewayMetrics(metrics.registry, lambda: self._trust.leaf_ends)
        self._journal = GatewayJournal(spool, accept, rules, metrics)
        self._relay = RelayProcess(config, self._journal, self._show)
        self._shown_restarts = 0
        self._tasks = Tasks()

    @property
    def port(self) -> int:
        """Where Radar finds its API server; 0 while nothing listens."""
        return self._relay.port

    @property
    def is_listening(self) -> bool:
        """Tell whether Radar is served."""
        return self._relay.is_listening

    def failed(self) -> tuple[str, ...]:
        """Return the names of the tasks that ended for good."""
        return self._tasks.failed()

    def open_session_ids(self) -> list[str]:
        """Return the ids of the terminals that are open now."""
        return self._journal.open_session_ids()

    def apply(self, *, is_on: bool, required: bool | None) -> None:
        """Look at requests or relay everything blind, and refuse what cannot be recorded or not.

        `required` null: as this collector's own setting says.
        """
        self._relay.set_capture(on=is_on and self._own_capture)
        self._relay.set_required(required=self._own_required if required is None else required)

    async def start(self) -> None:
        """Make keys, start the relay, and wait until it listens, though not for ever.

        Raises GatewayError. What the relay tells waits until `start_journal`.
        """
        await self._trust.prepare()
        self._tasks.start("gateway_relay", self._run_relay, _RESTARTS)
        self._tasks.start("gateway_trust", self._trust.watch, _RESTARTS)
        try:
            async with asyncio.timeout(_LISTEN_SECONDS):
                while not self.is_listening:  # noqa: ASYNC110 - another process announces it
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            _logger.warning("the gateway does not listen yet; the other parts start without it")

    async def load(self) -> None:
        """End what the last run left open. Raises SpoolUnavailableError; call again then."""
        await self._journal.load()

    def start_journal(self) -> None:
        """Store what the relay tells from now on."""
        self._tasks.start("gateway_journal", self._journal.run, _RESTARTS)

    async def drain(self) -> None:
        """Let open terminals go on for the grace period, end them, and store their ends.

        Where those cannot be stored in time, the next start ends them.
        """
        try:
            async with asyncio.timeout(self._drain_seconds + _SETTLE_SECONDS):
                await self._relay.drain(self._drain_seconds)
        except TimeoutError:
            _logger.warning("what the gateway saw last is not stored; the next start ends it")

    async def stop(self) -> None:
        """Stop all tasks; a relay that still runs is killed."""
        await self._tasks.stop()

    async def _run_relay(self) -> None:
        await self._relay.run()
        await asyncio.Event().wait()  # drained; `stop` ends the task

    def _show(self, run_number: int, figures: Mapping[str, Any]) -> None:
        self._metrics.restarts.inc(self._relay.restarts - self._shown_restarts)
        self._shown_restarts = self._relay.restarts
        self._metrics.show(run_number, figures)
