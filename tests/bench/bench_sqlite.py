"""The store on SQLite against a bare executemany of the same rows.

Owns the benchmark `sqlite`: no HTTP, both sides durable (WAL, synchronous=FULL), batches of 500,
the same table with all its indexes. Called by `tests.bench`.
"""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from radar_audit_hub.ingest.prepare import PreparedEvent
from radar_audit_hub.store.database import Database
from radar_audit_hub.store.log import append_batch
from radar_audit_hub.store.migrate import migrate

from tests.bench.events import BATCH_EVENTS, ORG, prepared_events, store_rows
from tests.bench.harness import Benchmark, Figure, Goal, Run, interleave, ratios
from tests.bench.seed import now_ms

_INSERT = f"INSERT INTO audit_event VALUES ({', '.join('?' * 16)})"


async def _run(run: Run) -> list[Figure]:
    events = prepared_events(run.count(30_000), now_ms())
    recorded_ms = now_ms()
    rows = store_rows(events, recorded_ms)

    async def store() -> float:
        return await _append_all(events, recorded_ms)

    async def bare() -> float:
        return await _insert_all(rows)

    values = await interleave(run.rounds, {"bare": bare, "store": store})
    rate = len(events) / min(values["store"])
    return [
        Figure(
            "events a second against bare executemany",
            ratios(values["bare"], values["store"]),
            Goal(0.8),
            f"{rate:,.0f} events/s in the best round",
        )
    ]


async def _append_all(events: Sequence[PreparedEvent], recorded_ms: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        database = await _migrated(Path(folder))
        try:
            begun = time.perf_counter()
            for first in range(0, len(events), BATCH_EVENTS):
                batch = events[first : first + BATCH_EVENTS]
                await append_batch(database, ORG, batch, recorded_ms)
            return time.perf_counter() - begun
        finally:
            await database.close()


async def _insert_all(rows: Sequence[tuple[Any, ...]]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        database = await _migrated(Path(folder))
        await database.close()
        return await asyncio.to_thread(_insert, Path(folder), rows)


def _insert(folder: Path, rows: Sequence[tuple[Any, ...]]) -> float:
    connection = sqlite3.connect(folder / "hub.db", isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "cache_size=-16384"):
        connection.execute(f"PRAGMA {pragma}")
    begun = time.perf_counter()
    for first in range(0, len(rows), BATCH_EVENTS):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(_INSERT, rows[first : first + BATCH_EVENTS])
        connection.execute("COMMIT")
    took = time.perf_counter() - begun
    connection.close()
    return took


async def _migrated(folder: Path) -> Database:
    database = await Database.open(f"sqlite:///{folder / 'hub.db'}")
    await migrate(database)
    return database


SQLITE = Benchmark(
    "sqlite",
    "Store on SQLite",
    "append_batch (head lock, rows, tiles, frontier, day counts) against a bare executemany of "
    "the same rows into the same table, batches of 500, synchronous=FULL, without HTTP.",
    _run,
)
