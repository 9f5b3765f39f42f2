"""Follows the logs of all orgs that have alert rules, one short step of each after another.

Owns the rounds: whose turn it is, when to look again, and the rest after a failure. Started by
`app.py` on every replica; replicas keep out of each other's way by the claim in an org's cursor.
Never judges (`step.py` does), and costs an org without rules nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import NoReturn

from radar_audit_hub.context import Hub
from radar_audit_hub.polling import poll_forever, rung
from radar_audit_hub.store.faults import is_unavailable
from radar_audit_hub.store.notify_following import events_behind, work_waiting

from .forgetting import forget_counted
from .loading import RuleSets
from .step import Stepper

IDLE_SECONDS = 1.0  # for other replicas' commits, and for what waits until a time
BREATH_SECONDS = 0.05  # between rounds: events that come one by one are judged together
REST_SECONDS = 30.0  # for an org whose step failed
MEASURE_SECONDS = 15.0
FORGET_SECONDS = 600.0
ORGS_AT_ONCE = 100
_logger = logging.getLogger(__name__)


class Follower:
    """This replica's part in the following of all logs."""

    def __init__(self, hub: Hub) -> None:
        """Follow nothing yet."""
        self._hub = hub
        self._holder = hub.random_bytes(8).hex()
        self._stepper = Stepper(hub, self._holder, RuleSets())
        self._resting: dict[str, float] = {}
        self._measure_at = self._forget_at = 0.0

    async def round(self) -> bool:
        """Make a step in each org that has work; tell whether any has more.

        A failure of one org is logged, and the org rests; one of the database is raised.
        """
        self._wake_rested()
        async with self._hub.db.read() as conn:
            orgs = await work_waiting(
                conn, self._holder, self._hub.now_ms(), ORGS_AT_ONCE + 1 + len(self._resting)
            )
        ready = [org_id for org_id in orgs if org_id not in self._resting]
        has_more = len(ready) > ORGS_AT_ONCE
        for org_id in ready[:ORGS_AT_ONCE]:
            try:
                has_more = await self._stepper.step(org_id) or has_more
            except Exception as error:
                if is_unavailable(error):
                    raise
                _logger.exception("alerts of an org rest for a while", extra={"org_id": org_id})
                self._resting[org_id] = time.monotonic() + REST_SECONDS
        return has_more

    async def catch_up(self) -> None:
        """Judge all that is there now."""
        while await self.round():
            pass

    async def measure(self) -> None:
        """Set the gauge of what waits, now and then."""
        if time.monotonic() < self._measure_at:
            return
        self._measure_at = time.monotonic() + MEASURE_SECONDS
        async with self._hub.db.read() as conn:
            self._hub.metrics.notify_behind.set(await events_behind(conn))

    async def forget(self) -> None:
        """Forget what no rule counts any more, now and then."""
        if time.monotonic() < self._forget_at:
            return
        self._forget_at = time.monotonic() + FORGET_SECONDS
        await forget_counted(self._hub.db, self._hub.now_ms())

    def _wake_rested(self) -> None:
        now = time.monotonic()
        self._resting = {name: at for name, at in self._resting.items() if at > now}


async def run_forever(hub: Hub) -> NoReturn:
    """Follow at every commit of this replica, and every second; what fails is tried again."""
    follower = Follower(hub)
    with hub.signal.bell() as bell:

        async def look() -> None:
            has_more = True
            while has_more:
                bell.clear()  # before the round: a commit during it leads to another one
                has_more = await follower.round()
                await follower.measure()
                await follower.forget()
                await asyncio.sleep(0)

        async def pause() -> None:
            await asyncio.sleep(BREATH_SECONDS)
            await rung(bell, IDLE_SECONDS)

        await poll_forever(look, pause, logger=_logger, trouble="a round over the logs failed")
