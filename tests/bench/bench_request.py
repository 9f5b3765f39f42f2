"""The CPU of one page over HTTP, against no work at all and against the plain way of writing it.

Owns the benchmark `request`, on the seeded PostgreSQL log. Called by `tests.bench`.
"""

from __future__ import annotations

import asyncio
import json

from tests.bench.harness import Benchmark, Figure, Goal, Measure, Run, interleave, ratios
from tests.bench.http_client import Connection, request_bytes
from tests.bench.hub_process import Served, add_reader, running_hub, running_plain_server
from tests.bench.plain_server import PAGE_EVENTS

_CONNECTIONS = 4


async def _run(run: Run) -> list[Figure]:
    log = await run.log()
    token = await add_reader(log.dsn, log.org_id)
    page = request_bytes("GET", f"/api/orgs/{log.org_id}/audit?limit={PAGE_EVENTS}", token)
    plain = request_bytes("GET", f"/plain/{log.org_id}", token)
    empty = request_bytes("GET", "/empty", token)
    count = run.count(1_000)
    async with running_hub(log.dsn) as hub, running_plain_server(log.dsn) as server:
        await _check(hub, page)
        await _check(server, plain)
        values = await interleave(
            run.rounds,
            {
                "empty": _cpu_of_requests(server, empty, 4 * count),
                "page": _cpu_of_requests(hub, page, count),
                "plain": _cpu_of_requests(server, plain, count),
            },
        )
    note = f"{min(values['page']) * 1e6:.0f} µs a page, {min(values['empty']) * 1e6:.0f} µs empty"
    return [
        Figure(
            f"page of {PAGE_EVENTS} events against an empty handler (CPU)",
            ratios(values["page"], values["empty"]),
            Goal(8, at_most=True),
            note,
        ),
        Figure(
            "the same against a plain SQLAlchemy Core handler (times less CPU)",
            ratios(values["plain"], values["page"]),
            Goal(2),
            f"{min(values['plain']) * 1e6:.0f} µs the plain way",
        ),
    ]


async def _check(server: Served, request: bytes) -> None:
    connection = await Connection.open(server.port)
    found = json.loads(await connection.exchange(request))
    connection.close()
    if len(found["events"]) != PAGE_EVENTS:
        raise RuntimeError(f"a page has {len(found['events'])} events, not {PAGE_EVENTS}")


def _cpu_of_requests(server: Served, request: bytes, count: int) -> Measure:
    """Return a measurement of the server's CPU seconds per request."""

    async def work(share: int) -> None:
        connection = await Connection.open(server.port)
        for _ in range(share):
            await connection.exchange(request)
        connection.close()

    async def measure() -> float:
        before = server.cpu_seconds()
        async with asyncio.TaskGroup() as group:
            for _ in range(_CONNECTIONS):
                group.create_task(work(count // _CONNECTIONS))
        return (server.cpu_seconds() - before) / count

    return measure


REQUEST = Benchmark(
    "request",
    "A page over HTTP",
    "CPU of the server per request, over 4 connections. The hub's handler also finds and checks "
    "the token, counts, and logs the request; the plain one finds the token too.",
    _run,
)
