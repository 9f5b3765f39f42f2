"""Delivers messages that are due: one lane per destination, so that none delays another.

Owns the loop, its bounds and its gauges. Started by `app.py` on every replica; a lane is worked by
one replica at a time. Work is done at least once: whoever dies leaves a lane that runs out, and
another attempt follows under the same id. Receivers that are doubtful, since they may hang, have
half of the lanes at most: those that work always find room. Never decides what is told to whom.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import NoReturn

from radar_audit_hub.context import Hub
from radar_audit_hub.errors import UnavailableError
from radar_audit_hub.polling import EveryNth, poll_forever
from radar_audit_hub.store import notify_attempts, notify_expiry, notify_lanes, notify_messages
from radar_audit_hub.store.database import Connection
from radar_audit_hub.store.holds import expiry_of
from radar_audit_hub.store.notify_lanes import PROBATION_MS, Busy, Lane

from .attempting import DAY_MS, OnDisabled, Tried, begin, make
from .receivers import open_receiver
from .schedule import rest_ms
from .sharing import Place, Shares

TURN_MESSAGES = 32  # of a lane, before others that wait get their turn
POLL_SECONDS = 1.0
LOG_EVERY = 60  # polls between two log lines about the same trouble
MEASURE_EVERY = 15  # polls between two looks at the whole table
FORGET_EVERY = 600  # polls between two rounds of forgetting
_LOCKED_REST_MS = 60_000  # while the hub's key does not open a secret
_MAX_COUNTED = 10_000
_MAX_SLOW = 1_000
_logger = logging.getLogger(__name__)


async def run_forever(
    hub: Hub, on_disabled: OnDisabled | None = None, poll_seconds: float = POLL_SECONDS
) -> NoReturn:
    """Work until cancelled; `on_disabled(hub, org_id, destination_id, reason)` tells the owners.

    It is called after a destination was disabled because of how its receiver answered.
    """
    job = SendingJob(hub, on_disabled)
    measuring, forgetting = EveryNth(MEASURE_EVERY), EveryNth(FORGET_EVERY)

    async def look() -> None:
        if measuring.is_due():
            await job.measure()
        if forgetting.is_due():
            await job.forget()
        await job.begin_due()

    try:
        await poll_forever(
            look,
            partial(hub.deliveries.wait, poll_seconds),
            logger=_logger,
            trouble="messages cannot be read",
            log_every=LOG_EVERY,
            rest_seconds=poll_seconds,
        )
    finally:
        await job.stop()


class SendingJob:
    """The lanes that one replica works now: never more than `sharing.AT_ONCE`."""

    def __init__(self, hub: Hub, on_disabled: OnDisabled | None = None) -> None:
        """Begin nothing yet."""
        self._hub, self._on_disabled = hub, on_disabled
        self._running: dict[str, asyncio.Task[None]] = {}
        self._shares = Shares()
        self._failures: Counter[str] = Counter()  # in a row, by destination
        self._slow: dict[str, int] = {}  # destinations, by when they last took long (Unix ms)

    async def begin_due(self) -> int:
        """Take as many lanes with due messages as there is room for; return how many."""
        if not self._shares.room(doubtful=False):
            return 0
        now_ms = self._hub.now_ms()
        chosen: list[Place] = []
        taken: list[Lane] = []
        try:
            async with self._hub.db.read() as conn:
                if not await notify_lanes.any_due(conn, now_ms):
                    return 0
                # The doubtful first: they leave room, and are tried even if the others fill it.
                chosen += await self._choose(conn, now_ms, doubtful=True)
                chosen += await self._choose(conn, now_ms, doubtful=False)
            if chosen:
                lanes = [Lane(*place, self._hub.random_bytes(12).hex()) for place in chosen]
                async with self._hub.db.write() as conn:
                    mine = [lane for lane in lanes if await notify_lanes.take(conn, lane, now_ms)]
                taken = mine  # committed: a place for what is not would never be given back
        finally:
            held = {lane.destination_id for lane in taken}
            for _, destination_id in chosen:
                if destination_id not in held:
                    self._shares.give_back(destination_id)
        for lane in taken:
            task = asyncio.create_task(self._work(lane), name=f"deliver {lane.destination_id}")
            self._running[lane.destination_id] = task
        return len(taken)

    async def _choose(self, conn: Connection, now_ms: int, *, doubtful: bool) -> list[Place]:
        if self._shares.room(doubtful=doubtful) <= 0:
            return []
        busy = Busy(
            destinations=self._running.keys(),
            orgs=self._shares.full_orgs(doubtful=doubtful),
            slow=[name for name, at in self._slow.items() if at > now_ms - PROBATION_MS],
        )
        waiting = await notify_lanes.waiting_destinations(conn, now_ms, busy, doubtful=doubtful)
        return self._shares.choose(waiting, doubtful=doubtful)

    async def drain(self) -> None:
        """Do all that is due now, and return once no lane is worked."""
        while await self.begin_due() or self._running:
            tasks = list(self._running.values())
            if tasks:
                await asyncio.wait(tasks)

    async def stop(self) -> None:
        """Break off what is under way; it is tried again."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _work(self, lane: Lane) -> None:
        until_ms = 0
        try:
            until_ms = await self._turn(lane)
        except UnavailableError as error:
            _logger.warning("a destination cannot be opened", extra={"reason": str(error)})
            until_ms = self._hub.now_ms() + _LOCKED_REST_MS
        except Exception:  # the lane runs out, and its messages are tried again
            _logger.exception("a lane broke off", extra={"id": lane.destination_id})
            until_ms = self._hub.now_ms() + _LOCKED_REST_MS
        finally:
            with suppress(Exception):  # then it runs out
                async with self._hub.db.write() as conn:
                    await notify_lanes.release(conn, lane, until_ms or self._hub.now_ms())
            self._running.pop(lane.destination_id, None)
            self._shares.give_back(lane.destination_id)
            self._hub.deliveries.wake()  # for whoever waits for room

    async def _turn(self, lane: Lane) -> int:
        """Deliver some of a lane's messages; return until when it is to rest (Unix ms; 0: not)."""
        hub, now_ms = self._hub, self._hub.now_ms()
        async with hub.db.read() as conn:
            receiver = await open_receiver(hub, conn, lane.org_id, lane.destination_id, now_ms)
            messages = await notify_lanes.due_messages(
                conn, lane.org_id, lane.destination_id, now_ms, TURN_MESSAGES
            )
        if receiver is None or receiver.muted or receiver.row.disabled_at is not None:
            async with hub.db.write() as conn:
                await notify_messages.drop_pending(conn, lane.org_id, lane.destination_id, now_ms)
            return 0
        if not messages:
            return 0
        async with hub.db.write() as conn:
            begun = await begin(hub, conn, receiver, messages.pop(0), lane)
        until_ms = 0
        while begun is not None:
            then = messages.pop(0) if messages else None
            tried, begun = await make(
                hub, receiver, begun, lane=lane, then=then, on_disabled=self._tell_disabled
            )
            until_ms = self._rest(lane.destination_id, tried)
        return until_ms

    def _rest(self, destination_id: str, tried: Tried) -> int:
        """Return until when the receiver is to rest after an attempt (Unix ms; 0: not)."""
        self._note_pace(destination_id, tried)
        if tried.delivered or tried.disabled:
            self._failures.pop(destination_id, None)
            return 0
        if len(self._failures) > _MAX_COUNTED:
            self._failures.clear()
        self._failures[destination_id] += 1
        asked = tried.sent.verdict.retry_after_ms
        return self._hub.now_ms() + rest_ms(self._failures[destination_id], asked)

    def _note_pace(self, destination_id: str, tried: Tried) -> None:
        """Remember who takes long to answer; whoever fails is known by the row."""
        if tried.is_slow:
            self._slow.pop(destination_id, None)
            self._slow[destination_id] = self._hub.now_ms()
        if len(self._slow) > _MAX_SLOW:
            del self._slow[next(iter(self._slow))]

    async def _tell_disabled(self, hub: Hub, org_id: str, destination_id: str, reason: str) -> None:
        if self._on_disabled is None:
            return
        try:
            await self._on_disabled(hub, org_id, destination_id, reason)
        except Exception:  # what was sent is settled already
            _logger.exception("owners were not told of a disabled destination")

    async def measure(self) -> None:
        """Set the gauges."""
        async with self._hub.db.read() as conn:
            pending = await notify_messages.count_pending(conn)
            disabled = await notify_attempts.count_disabled(conn)
        self._hub.metrics.delivery_pending.set(pending)
        self._hub.metrics.destinations_disabled.set(disabled)

    async def forget(self) -> None:
        """Forget what the delivery log no longer keeps, and what nobody will ever deliver."""
        settings, now_ms = self._hub.settings.notify, self._hub.now_ms()
        async with self._hub.db.write() as conn:
            await notify_messages.drop_orphans(conn, now_ms)
            await notify_lanes.forget_lanes(conn, now_ms)
        async with self._hub.db.read() as conn:
            found = await notify_messages.destination_ids(conn)
        for org_id in sorted({org_id for org_id, _ in found}):
            await self._forget_expired(org_id, now_ms)
        for org_id, destination_id in found:
            old = partial(
                notify_messages.old_messages,
                org_id=org_id,
                destination_id=destination_id,
                before_ms=now_ms - settings.log_days * DAY_MS,
                keep_rows=settings.log_rows,
            )
            await self._delete_found(org_id, old)

    async def _forget_expired(self, org_id: str, now_ms: int) -> None:
        """Forget an org's messages that show what the retention may delete, waiting ones, too.

        Several transactions, so that none waits for a row while it holds another that an attempt
        which ends now may want.
        """
        async with self._hub.db.read() as conn:
            floors = (await expiry_of(conn, org_id, now_ms)).floors
            waiting = await notify_expiry.any_expired_waits(conn, org_id, floors)
        if waiting:
            async with self._hub.db.write() as conn:
                dropped = await notify_expiry.drop_expired(conn, org_id, floors, now_ms)
            if dropped:
                async with self._hub.db.write() as conn:
                    await notify_attempts.note_dropped(conn, org_id, dropped, now_ms)
        expired = partial(notify_expiry.expired_messages, org_id=org_id, floors=floors)
        await self._delete_found(org_id, expired)

    async def _delete_found(
        self, org_id: str, find: Callable[[Connection], Awaitable[list[str]]]
    ) -> None:
        """Delete an org's settled messages for as long as `find` finds any; mostly it finds none.

        So it looks outside of a writing transaction; what is settled stays so until it is deleted.
        """
        while True:
            async with self._hub.db.read() as conn:
                ids = await find(conn)
            if not ids:
                return
            async with self._hub.db.write() as conn:
                await notify_expiry.delete_messages(conn, org_id, ids)
