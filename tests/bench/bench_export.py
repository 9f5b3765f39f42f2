"""Exporting a whole log over HTTP against PostgreSQL's own `\\copy`, and the memory it takes.

Owns the benchmark `export`, on the seeded PostgreSQL log: every event of the big org. Called by
`tests.bench`.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

from radar_audit_events.ids import floor_id
from radar_audit_hub.retention.policy import floors
from radar_audit_hub.store.export import _copy_sql

from tests.bench.harness import Benchmark, Figure, Goal, Measure, Run, interleave, ratios
from tests.bench.http_client import Connection, drain, request_bytes
from tests.bench.hub_process import Served, add_reader, running_hub
from tests.bench.psql import copy_out
from tests.bench.seed import Log, now_ms

_MIB = 1024 * 1024
_LOOK_SECONDS = 0.02  # between two looks at the hub's memory
_BARE = "id, created_at, action, target_type, target_id, actor_user_id, actor_email, metadata, seq"


async def _run(run: Run) -> list[Figure]:
    log = await run.log()
    token = await add_reader(log.dsn, log.org_id)
    growths: list[float] = []
    async with running_hub(log.dsn) as hub:
        await _warm_up(hub, log, token)
        base = hub.rss_bytes()

        def export(form: str) -> Measure:
            request = request_bytes("GET", f"/api/orgs/{log.org_id}/audit?format={form}", token)

            async def measure() -> float:
                begun = time.perf_counter()
                peak = await _with_peak(hub.rss_bytes, lambda: drain(hub.port, request))
                growths.append((peak - base) / _MIB)
                return time.perf_counter() - begun

            return measure

        values = await interleave(
            run.rounds,
            {
                "psql same": _psql(log, _same_file(log)),
                "csv": export("csv"),
                "psql bare": _psql(log, _bare_columns(log)),
                "ndjson": export("ndjson"),
            },
        )
    return _figures(log, values, growths)


def _figures(log: Log, values: dict[str, list[float]], growths: list[float]) -> list[Figure]:
    def rate(name: str) -> str:
        return f"{log.rows / min(values[name]):,.0f} rows/s in the best round"

    return [
        Figure(
            "CSV, rows a second against psql writing the same file",
            ratios(values["psql same"], values["csv"]),
            Goal(1.2),
            rate("csv"),
        ),
        Figure(
            "CSV, against psql writing the bare columns",
            ratios(values["psql bare"], values["csv"]),
        ),
        Figure(
            "NDJSON, rows a second against psql writing the bare columns",
            ratios(values["psql bare"], values["ndjson"]),
            Goal(0.7),
            rate("ndjson"),
        ),
        Figure(
            "growth of the hub's memory while it exports",
            tuple(growths),
            Goal(32, at_most=True),
            f"{log.rows:,} rows an export",
            "MiB",
        ),
    ]


async def _warm_up(hub: Served, log: Log, token: str) -> None:
    """Ask for a page, so that what a hub needs for its first answer is not counted as growth."""
    connection = await Connection.open(hub.port)
    await connection.exchange(request_bytes("GET", f"/api/orgs/{log.org_id}/audit", token))
    connection.close()


def _psql(log: Log, query: str) -> Measure:
    async def measure() -> float:
        begun = time.perf_counter()
        await copy_out(log.dsn, query)
        return time.perf_counter() - begun

    return measure


def _where(log: Log) -> str:
    floor = floors("enterprise", now_ms()).default_ms
    return f"org_id = '{log.org_id}' AND id >= '{floor_id(floor)}'"


def _same_file(log: Log) -> str:
    """Return the statement that gives the very lines of the hub's CSV."""
    return _copy_sql(_where(log))


def _bare_columns(log: Log) -> str:
    return f"SELECT {_BARE} FROM audit_event WHERE {_where(log)} ORDER BY id DESC"


async def _with_peak(look: Callable[[], int], work: Callable[[], object]) -> int:
    """Run blocking work in a thread and return the highest of what `look` saw meanwhile."""
    done = threading.Event()
    peaks = [look()]

    def watch() -> None:
        while not done.wait(_LOOK_SECONDS):
            peaks.append(look())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        await asyncio.to_thread(work)
    finally:
        done.set()
        watcher.join()
    return max(peaks)


EXPORT = Benchmark(
    "export",
    "Export over HTTP",
    "Every event of the seeded org, newest first, from a hub process to a client that throws it "
    "away, against `psql \\copy … TO '/dev/null'`.",
    _run,
)
