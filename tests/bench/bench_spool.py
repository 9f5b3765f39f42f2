"""The collector's spool against a bare append-only file with fsync.

Owns the benchmark `spool`: both sides are durable when an append returns, on the same disk. The
file is the least that could be durable (length-framed records, one fdatasync an append); the
spool adds order, state in the same transaction, the bound, and deletion. Called by `tests.bench`.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from radar_audit_collector.spool import Spool
from radar_audit_collector.spool_records import NewEvent

from tests.bench.harness import Benchmark, Figure, Run, interleave, ratios

_PAYLOAD = (
    b'{"action":"pod.exec_started","session_id":"9ab2aa80-03ee-4a19-adef-e01fdd0f4183",'
    b'"created_at":"2026-11-24T03:11:07.935Z","actor_user_id":"user_01H8XGJWBWBAQ4ZZZZZZ",'
    b'"metadata":{"namespace":"demo","pod":"web-7d4b9c6f5-x2x9p","container":"app"}}'
)
_BOUND_BYTES = 256 * 1024 * 1024
_WRITERS = 64
Append = Callable[[int], Awaitable[None]]


async def _run(run: Run) -> list[Figure]:
    figures: list[Figure] = []
    for batch, writers, total in ((1, 1, 1000), (50, 1, 20_000), (1, _WRITERS, 10_000)):
        events = run.count(total)

        async def spool(batch: int = batch, writers: int = writers, events: int = events) -> float:
            return await _with_spool(batch, writers, events)

        async def bare(batch: int = batch, events: int = events) -> float:
            return await asyncio.to_thread(_with_file, batch, events)

        values = await interleave(run.rounds, {"file": bare, "spool": spool})
        rate = events / min(values["spool"])
        label = f"{batch} event{'s' if batch > 1 else ''} an append"
        if writers > 1:
            label += f", {writers} at once (the file: one)"
        note = f"{rate:,.0f} events/s in the best round"
        figures.append(Figure(label, ratios(values["file"], values["spool"]), None, note))
    return figures


async def _with_spool(batch: int, writers: int, events: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        spool = Spool(Path(folder) / "spool", _BOUND_BYTES)
        await spool.open()
        new = [NewEvent(1_795_489_867_935, None, _PAYLOAD)] * batch

        async def write(appends: int) -> None:
            for _ in range(appends):
                await spool.append(new, {})

        begun = time.perf_counter()
        await asyncio.gather(*(write(events // batch // writers) for _ in range(writers)))
        took = time.perf_counter() - begun
        await spool.close()
        return took


def _with_file(batch: int, events: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        descriptor = os.open(Path(folder) / "journal", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        record = len(_PAYLOAD).to_bytes(4, "big") + _PAYLOAD
        begun = time.perf_counter()
        for _ in range(events // batch):
            os.write(descriptor, record * batch)
            os.fdatasync(descriptor)
        took = time.perf_counter() - begun
        os.close(descriptor)
        return took


SPOOL = Benchmark(
    "spool",
    "The collector's spool",
    "Durable appends to the spool (SQLite, WAL, synchronous=FULL, its own thread) against a bare "
    "append-only file with one fdatasync an append, on the same disk.",
    _run,
)
