"""Brings one batch to its end: sent, answered, settled; a refused one taken apart.

Owns the search for the event to blame when the hub refuses a batch as a whole.
Called by `deliver`. Never buries an event on one refusal: a hub that is being
replaced, or something before it, may refuse anything for a while. An event is to
blame only if the hub refuses it alone while it takes another one, before and
after, several times in a row.
"""

from __future__ import annotations

import logging
import random
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from .batches import Outcome, encode_request, read_answer
from .errors import HubRefusedBatchError, HubUnreachableError
from .hub_client import HubClient
from .metrics import Metrics
from .spool import Spool
from .spool_records import Refusal, Settlement, StoredEvent, StoredGap

PATH = "/api/ingest/events"
MAX_SUSPECTS_WITHOUT_CONTROL = 20
CONFIRMATIONS = 3

_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Report:
    """What a batch came to: events ahead of the hub's clock, and whether gaps were refused."""

    skewed: int = 0
    are_gaps_refused: bool = False


@dataclass(slots=True)
class _Cycle:
    """A batch and its parts: an event that the hub took, and those it refused alone."""

    report: Report = field(default_factory=Report)
    control: StoredEvent | None = None
    suspects: list[tuple[StoredEvent, HubRefusedBatchError]] = field(default_factory=list)


class Shipper:
    """Sends batches of one collector and settles them in its spool."""

    def __init__(
        self, spool: Spool, client: HubClient, metrics: Metrics, collector_id: str
    ) -> None:
        """Nothing is sent before `ship`."""
        self._spool = spool
        self._client = client
        self._metrics = metrics
        self._collector_id = collector_id

    async def ship(self, events: Sequence[StoredEvent], gaps: Sequence[StoredGap]) -> Report:
        """Send a batch; when this returns each of its events is settled.

        Raises HubUnreachableError, HubRefusedTokenError and SpoolUnavailableError: what
        was settled before stays so, the rest is to be sent again.
        """
        cycle = _Cycle()
        await self._send(events, gaps, cycle)
        for event, refusal in cycle.suspects:
            if cycle.control is None:
                raise HubUnreachableError("batch_refused")
            if await self._is_to_blame(event, cycle.control):
                await self._bury(event, refusal)
        return cycle.report

    async def _send(
        self, events: Sequence[StoredEvent], gaps: Sequence[StoredGap], cycle: _Cycle
    ) -> None:
        """Send one request and settle by its answer; a refused one is divided."""
        started = time.perf_counter()
        try:
            outcome = await self._post(events, gaps)
        except HubRefusedBatchError as refusal:
            self._metrics.deliveries.labels("batch_refused").inc()
            await self._divide(events, gaps, refusal, cycle)
            return
        self._metrics.delivery_seconds.observe(time.perf_counter() - started)
        await self._settle(outcome)
        cycle.report.skewed += outcome.results["skewed"]
        taken = set(outcome.settlement.done)
        if cycle.control is None:
            cycle.control = next((event for event in events if event.seq in taken), None)

    async def _divide(
        self,
        events: Sequence[StoredEvent],
        gaps: Sequence[StoredGap],
        refusal: HubRefusedBatchError,
        cycle: _Cycle,
    ) -> None:
        if events and gaps:
            await self._send(events, [], cycle)
            await self._send([], gaps, cycle)
        elif gaps:
            _logger.error("the hub refused gap records", extra={"code": refusal.code})
            cycle.report.are_gaps_refused = True
        elif len(events) == 1:
            cycle.suspects.append((events[0], refusal))
            if cycle.control is None and len(cycle.suspects) >= MAX_SUSPECTS_WITHOUT_CONTROL:
                raise HubUnreachableError("batch_refused")
        else:
            middle = len(events) // 2
            halves = [events[:middle], events[middle:]]
            # By chance, so that a run of bad events cannot hide the good ones for ever.
            random.shuffle(halves)
            for half in halves:
                await self._send(half, [], cycle)

    async def _is_to_blame(self, event: StoredEvent, control: StoredEvent) -> bool:
        """Tell whether the hub refuses this event alone while it takes another one.

        Raises HubUnreachableError if it does not take the other one any more.
        """
        for _ in range(CONFIRMATIONS):
            try:
                proof = await self._post([control], [])
            except HubRefusedBatchError:
                raise HubUnreachableError("batch_refused") from None
            if not proof.settlement.done:
                raise HubUnreachableError("batch_refused")
            try:
                outcome = await self._post([event], [])
            except HubRefusedBatchError:
                continue
            await self._settle(outcome)
            return False
        return True

    async def _bury(self, event: StoredEvent, refusal: HubRefusedBatchError) -> None:
        letter = Refusal(event.seq, refusal.code, refusal.message)
        await self._spool.settle(Settlement(dead=[letter]))
        self._metrics.settled.labels("rejected").inc()
        self._metrics.lose("rejected", 1)
        _logger.error("the hub refuses an event for good", extra={"code": refusal.code})

    async def _post(self, events: Sequence[StoredEvent], gaps: Sequence[StoredGap]) -> Outcome:
        body = encode_request(self._collector_id, secrets.token_hex(16), events, gaps)
        outcome = read_answer(await self._client.post(PATH, body), events, gaps)
        self._metrics.deliveries.labels("ok").inc()
        return outcome

    async def _settle(self, outcome: Outcome) -> None:
        await self._spool.settle(outcome.settlement)
        for result, count in outcome.results.items():
            self._metrics.settled.labels(result).inc(count)
        rejected = outcome.results["rejected"]
        if rejected:
            self._metrics.lose("rejected", rejected)
            codes = {refusal.code for refusal in outcome.settlement.dead}
            _logger.error(
                "the hub rejects events for good", extra={"count": rejected, "codes": sorted(codes)}
            )
