"""Deleting expired events against appending new ones, and how long a deletion locks.

Owns the benchmark `purge`: on the seeded PostgreSQL log, below HTTP, with the batch size that
the hub purges by. It eats from the old end of that log, so it runs last. Called by `tests.bench`.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import AsyncIterator

from radar_audit_hub.retention.policy import RECEIPT_ACTION, FloorException, Floors
from radar_audit_hub.settings import HubSettings
from radar_audit_hub.store.database import Database
from radar_audit_hub.store.log import append_batch
from radar_audit_hub.store.purge import purge_step
from sqlalchemy.ext.asyncio import AsyncConnection

from tests.bench.events import BATCH_EVENTS, prepared_events
from tests.bench.harness import Benchmark, Figure, Goal, Run, interleave, ratios
from tests.bench.seed import Log, now_ms
from tests.support.log_rows import always


class _TimedDatabase(Database):
    """A database that notes how long each write transaction was open, in seconds."""

    taken: list[float]

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        async with super().write() as connection:
            begun = time.perf_counter()
            yield connection
        self.taken.append(time.perf_counter() - begun)


async def _run(run: Run) -> list[Figure]:
    log = await run.log()
    count = min(run.count(20_000), log.rows // (2 * run.rounds))
    database = await _TimedDatabase.open(log.dsn)
    assert isinstance(database, _TimedDatabase)
    database.taken = []
    batches = iter(range(run.rounds))
    purges = iter(range(1, run.rounds + 1))
    longest: list[float] = []

    async def ingest() -> float:
        first = next(batches) * count
        events = prepared_events(count, now_ms(), org_id=log.org_id, first=first)
        begun = time.perf_counter()
        for at in range(0, count, BATCH_EVENTS):
            await append_batch(database, log.org_id, events[at : at + BATCH_EVENTS], now_ms())
        return (time.perf_counter() - begun) / count

    async def purge() -> float:
        database.taken.clear()
        begun = time.perf_counter()
        deleted = await _purge(database, log, next(purges) * count)
        per_row = (time.perf_counter() - begun) / deleted
        longest.append(max(database.taken) * 1000)
        return per_row

    try:
        values = await interleave(run.rounds, {"ingest": ingest, "purge": purge})
    finally:
        await database.close()
    batch = HubSettings().purge_batch_rows
    return [
        Figure(
            "rows a second against appending such rows",
            ratios(values["ingest"], values["purge"]),
            Goal(1.5),
            f"{1 / min(values['purge']):,.0f} rows/s in the best round, batches of {batch}",
        ),
        Figure("longest transaction", tuple(longest), Goal(60, at_most=True), unit="ms"),
    ]


async def _purge(database: Database, log: Log, up_to_seq: int) -> int:
    """Delete, step by step, all that is older than the seeded row `up_to_seq`; return how many."""
    floor_ms = log.start_ms + (log.end_ms - log.start_ms) * up_to_seq // log.rows
    floor = Floors(floor_ms, (FloorException(RECEIPT_ACTION, 0),))
    deleted = 0
    while step := await purge_step(
        database,
        log.org_id,
        always(floor),
        batch=HubSettings().purge_batch_rows,
        now_ms=now_ms(),
        salt=hashlib.sha256(b"%d %d" % (up_to_seq, deleted)).digest(),
    ):
        deleted += step
    return deleted


PURGE = Benchmark(
    "purge",
    "Purge",
    "purge_step (leaf hashes kept, rows deleted, counts, receipt; one transaction a batch) "
    "against append_batch of as many events, both durable, on the seeded log.",
    _run,
)
