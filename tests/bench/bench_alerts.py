"""Judging events by 50 alert rules against reading them alone, and how long one event waits.

Owns the benchmark `alerts`: on a PostgreSQL of its own, below HTTP, with the job's own steps.
Called by `tests.bench`.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from radar_audit_events.policy_wire import (
    AlertRule,
    Destination,
    EmailTarget,
    NotificationSettings,
    OwnerDocument,
)
from radar_audit_hub.changes import changing_by_itself
from radar_audit_hub.context import Hub
from radar_audit_hub.notify.following.job import Follower, run_forever
from radar_audit_hub.policy.storing import store
from radar_audit_hub.retention.policy import Floors
from radar_audit_hub.settings import HubSettings
from radar_audit_hub.store.control import Org, insert_org
from radar_audit_hub.store.database import Database
from radar_audit_hub.store.log import append_batch
from radar_audit_hub.store.migrate import migrate
from radar_audit_hub.store.notify_reading import events_between

from tests.bench.events import BATCH_EVENTS, prepared_events
from tests.bench.harness import Benchmark, Figure, Run, interleave, ratios
from tests.bench.seed import now_ms

RULES = 50
_OWNERS = 5  # a document holds no more than 16 destinations
_NONE = "org_none"  # its rules look at each event and select none
_SAME = "org_same"  # every rule selects every event, and all lead to one receiver
_ONE = "org_one"  # apart: who is cancelled leaves a claim, for which the others would wait
_EACH = "org_each"  # the same, and every rule leads to another receiver
_SINGLES = 20  # events that are measured one by one, a round


@dataclass
class _World:
    """A hub without listener, and how many events each org has."""

    hub: Hub
    follower: Follower
    lengths: dict[str, int] = field(default_factory=dict)

    async def add_org(self, org_id: str, query: str, receivers: int) -> None:
        """Insert an org with 50 rules that lead to so many receivers."""
        made = Org(
            id=org_id,
            name=org_id,
            plan="enterprise",
            record_log_access=False,
            created_at_ms=now_ms(),
        )
        async with self.hub.db.write() as conn:
            await insert_org(conn, made)
        async with changing_by_itself(self.hub) as change:
            org = await change.lock(org_id)
            for owner in range(_OWNERS):
                await store(
                    self.hub,
                    change,
                    org,
                    owner_id=f"k8s:cl_1:ns:owner-{owner}",
                    cluster_id=None,
                    before=None,
                    document=_document(owner, query, receivers),
                )
        await self.follower.catch_up()
        self.lengths[org_id] = _OWNERS  # each document that is stored is an event

    async def append(self, org_id: str, count: int) -> int:
        """Append events and return the seq of the first."""
        first = self.lengths[org_id]
        events = prepared_events(count, now_ms(), org_id=org_id, first=first)
        for at in range(0, count, BATCH_EVENTS):
            await append_batch(self.hub.db, org_id, events[at : at + BATCH_EVENTS], now_ms())
        self.lengths[org_id] += count
        return first


def _document(owner: int, query: str, receivers: int) -> OwnerDocument:
    own = RULES // _OWNERS
    names = [f"to-{number}" for number in range(own)]
    return OwnerDocument(
        uid="u",
        generation=1,
        spec_hash="h",
        created_at="2026-01-01T00:00:00Z",
        scope="organization",
        notifications=NotificationSettings(
            destinations=[
                Destination(name=name, email=EmailTarget(to=[_receiver(owner, n, receivers)]))
                for n, name in enumerate(names)
            ],
            rules=[
                AlertRule(name=f"rule-{n}", destinations=[name], query=f"{query} -pod:no-{n}*")
                for n, name in enumerate(names)
            ],
        ),
    )


def _receiver(owner: int, number: int, receivers: int) -> str:
    return f"r{(owner * RULES // _OWNERS + number) % receivers}@acme.com"


def _judging(world: _World, org_id: str, count: int) -> Callable[[], Awaitable[float]]:
    """Return a measurement of seconds an event, until all messages are committed."""

    async def judge() -> float:
        await world.append(org_id, count)
        begun = time.perf_counter()
        await world.follower.catch_up()
        return (time.perf_counter() - begun) / count

    return judge


def _reading(world: _World, count: int) -> Callable[[], Awaitable[float]]:
    async def read() -> float:
        first = await world.append(_NONE, count)
        begun = time.perf_counter()
        for at in range(first, first + count, BATCH_EVENTS):
            async with world.hub.db.read() as conn:
                await events_between(conn, _NONE, Floors(0), at, at + BATCH_EVENTS)
        taken = (time.perf_counter() - begun) / count
        await world.follower.catch_up()
        return taken

    return read


async def _wait_of_one(world: _World) -> float:
    """Return the median milliseconds from an event's commit to its message's."""
    job = asyncio.create_task(run_forever(world.hub))
    waits = []
    try:
        await asyncio.sleep(0)
        for _ in range(_SINGLES):
            await world.append(_ONE, 1)
            begun = time.perf_counter()
            world.hub.signal.notify(_ONE)
            await world.hub.deliveries.wait(60)
            waits.append((time.perf_counter() - begun) * 1000)
    finally:
        job.cancel()
        await asyncio.gather(job, return_exceptions=True)
    return statistics.median(waits)


async def _run(run: Run) -> list[Figure]:
    count = run.count(10_000)
    with run.postgres().fresh_database() as dsn:
        db = await Database.open(dsn)
        try:
            await migrate(db)
            settings = HubSettings(database_url=dsn)
            hub = Hub.create(db, settings, now_ms=now_ms, random_bytes=os.urandom)
            world = _World(hub, Follower(hub))
            await world.add_org(_NONE, "pod:nowhere", 1)
            await world.add_org(_SAME, "-namespace:nowhere", 1)
            await world.add_org(_ONE, "-namespace:nowhere", 1)
            await world.add_org(_EACH, "-namespace:nowhere", RULES)
            return await _figures(run, world, count)
        finally:
            await db.close()


async def _figures(run: Run, world: _World, count: int) -> list[Figure]:
    values = await interleave(
        run.rounds,
        {
            "read": _reading(world, count),
            "none": _judging(world, _NONE, count),
            "same": _judging(world, _SAME, count),
            "each": _judging(world, _EACH, max(100, count // 20)),
            "one": lambda: _wait_of_one(world),
        },
    )
    read, none, same, each = (values[name] for name in ("read", "none", "same", "each"))
    return [
        Figure(
            "50 rules that select nothing, rate against reading alone",
            ratios(read, none),
            None,
            f"{1 / min(none):,.0f} events/s in the best round, reading {1 / min(read):,.0f}",
        ),
        Figure(
            "50 rules that select every event, one receiver, rate against reading alone",
            ratios(read, same),
            None,
            f"{1 / min(same):,.0f} events/s, as many messages; {count:,} behind: "
            f"{_median(same) * count:.1f} s until the last is told",
        ),
        Figure(
            "50 rules that select every event, 50 receivers, messages a second",
            tuple(RULES / value for value in each),
            None,
            f"{1 / min(each):,.0f} events/s",
            unit="messages/s",
        ),
        Figure("from one event's commit to its message's", tuple(values["one"]), None, unit="ms"),
    ]


def _median(values: Sequence[float]) -> float:
    return statistics.median(values)


ALERTS = Benchmark(
    "alerts",
    "Alerts",
    "The job that follows the log (read, judge by 50 rules, put messages and move the cursor in "
    "one transaction of 500 events) against reading those events alone; on PostgreSQL, durable.",
    _run,
)
