"""Searching the log: far pages, rare filters, lists of actions, and what a page touches.

Owns the benchmark `pages`, on the seeded PostgreSQL log and below HTTP: the time of one call of
the store's `page`, as the median of many. Called by `tests.bench`.
"""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping

import asyncpg
from radar_audit_events.actions import ACTIONS
from radar_audit_events.query import Query, parse
from radar_audit_hub.retention.policy import Floors, floors
from radar_audit_hub.store import query as store_query
from radar_audit_hub.store.database import Database
from radar_audit_hub.store.query import page
from radar_audit_hub.store.sql import Arguments, plan

from tests.bench.harness import Benchmark, Figure, Goal, Run, ratios
from tests.bench.seed import RARE_ACTION, RARE_ACTOR, USUAL_ACTOR, Log, now_ms

PAGE_EVENTS = 50
FAR_PAGE = 1000
_CALLS = 100  # of one search in one round
_LIST_LENGTH = 12
_HIT = re.compile(r"shared hit=(\d+)|shared read=(\d+)| read=(\d+)")


async def _run(run: Run) -> list[Figure]:
    log = await run.log()
    floor = floors("enterprise", now_ms())
    far = await _cursor_of_page(log, FAR_PAGE)
    database = await Database.open(log.dsn)
    try:
        searches = {
            "first": _search(database, log, "", None, floor),
            "far": _search(database, log, "", far, floor),
            "rare action": _search(database, log, f"action:{RARE_ACTION}", None, floor),
            "rare actor": _search(database, log, f"actor:{RARE_ACTOR}", None, floor),
            "usual actor": _search(database, log, f"actor:{USUAL_ACTOR}", None, floor),
            "list": _search(database, log, f"action:{','.join(_listed())}", None, floor),
        }
        for search in searches.values():
            await search()  # fills the caches, outside the measurement
        values = await _medians(run.rounds, searches)
    finally:
        await database.close()
    first_ms = statistics.median(values["first"]) * 1000
    buffers = await _buffers(log, floor)
    return [
        _against_first(values, "far", f"page {FAR_PAGE:,} by cursor", Goal(1.2, at_most=True)),
        _against_first(values, "rare action", "rare action, 365 days", Goal(3, at_most=True)),
        _against_first(values, "rare actor", "rare actor, 365 days", Goal(3, at_most=True)),
        _against_first(values, "usual actor", "usual actor, 365 days", Goal(3, at_most=True)),
        _against_first(values, "list", f"{_LIST_LENGTH} actions at once", Goal(5, at_most=True)),
        Figure(
            "buffers that page 1 touches",
            (float(buffers),),
            Goal(20, at_most=True),
            f"page 1 took {first_ms:.2f} ms in the store",
        ),
    ]


def _against_first(values: dict[str, list[float]], name: str, label: str, goal: Goal) -> Figure:
    return Figure(f"{label}, against page 1 (time)", ratios(values[name], values["first"]), goal)


def _search(
    database: Database, log: Log, text: str, before: str | None, floor: Floors
) -> Callable[[], Awaitable[None]]:
    """Return a call that reads one page of a query."""
    query: Query = parse(text)

    async def call() -> None:
        found = await page(database, log.org_id, query, floor, before=before, limit=PAGE_EVENTS)
        if not found.rows:
            raise RuntimeError(f"the search {text!r} found nothing")

    return call


async def _medians(
    rounds: int, searches: Mapping[str, Callable[[], Awaitable[None]]]
) -> dict[str, list[float]]:
    """Return each search's median seconds by round; within a round the calls take turns."""
    values: dict[str, list[float]] = {name: [] for name in searches}
    for _ in range(rounds):
        times: dict[str, list[float]] = {name: [] for name in searches}
        for _ in range(_CALLS):
            for name, search in searches.items():
                begun = time.perf_counter()
                await search()
                times[name].append(time.perf_counter() - begun)
        for name, taken in times.items():
            values[name].append(statistics.median(taken))
    return values


def _listed() -> list[str]:
    """Return twelve actions, common and seldom ones."""
    common = ["pod.exec_started", "auth.signin", "pat.created"]
    return [*common, *(name for name in ACTIONS if name not in common)][:_LIST_LENGTH]


async def _cursor_of_page(log: Log, number: int) -> str:
    """Return the id below which page `number` begins; a short log is read to its middle."""
    skipped = min((number - 1) * PAGE_EVENTS, log.rows // 2)
    connection = await asyncpg.connect(log.dsn)
    try:
        return str(
            await connection.fetchval(
                "SELECT id FROM audit_event WHERE org_id = $1 ORDER BY id DESC LIMIT 1 OFFSET $2",
                log.org_id,
                skipped - 1,
            )
        )
    finally:
        await connection.close()


async def _buffers(log: Log, floor: Floors) -> int:
    """Return how many 8 KiB blocks the statement of page 1 looks at, as PostgreSQL counts them."""
    args = Arguments("postgresql")
    sql = store_query._page_sql(
        log.org_id, plan(Query()), floor, PAGE_EVENTS + 1, args, recorded=False
    )
    connection = await asyncpg.connect(log.dsn)
    try:
        lines = await connection.fetch(f"EXPLAIN (ANALYZE, BUFFERS) {sql}", *args.values)
    finally:
        await connection.close()
    # The first node's line counts for all below it; the planner's own comes later.
    top = next(row[0] for row in lines if "Buffers:" in row[0])
    return sum(int(number) for found in _HIT.findall(top) for number in found if number)


PAGES = Benchmark(
    "pages",
    "Searches",
    "One page of 50 events from the seeded log, the store alone; each search against page 1.",
    _run,
)
