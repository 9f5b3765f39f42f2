"""Ingest over HTTP, durable, against PostgreSQL's own COPY of the very same rows.

Owns the benchmark `ingest`: one org and fifty, one hub and two, and the hub's CPU per event.
After every run the log is checked: each event once, no seq missing. Called by `tests.bench`.
"""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import asyncpg
import msgspec
from radar_audit_events.wire import IngestAnswer, IngestRequest, WireEvent
from radar_audit_hub.ingest.batch import read_envelope, read_event
from radar_audit_hub.ingest.prepare import prepare
from radar_audit_hub.ingest.rules import Captured, Source, judge
from radar_audit_hub.retention.policy import floors
from radar_audit_hub.store.database import Database
from radar_audit_hub.store.log import COLUMNS
from radar_audit_hub.store.migrate import migrate

from tests.bench.events import BATCH_EVENTS, ORG, prepared_events, salt, store_rows, wire_events
from tests.bench.harness import Benchmark, Figure, Goal, Run, interleave, ratios
from tests.bench.http_client import Connection, request_bytes
from tests.bench.hub_process import Served, add_cluster, running_hub
from tests.bench.seed import now_ms

CONNECTIONS = 4  # to one hub
ORGS = 50
_REPLAYED_SHARE = 0.3
_TABLES = "audit_event, audit_log_head, audit_tile, audit_day_count"
_answer = msgspec.json.Decoder(IngestAnswer)


@dataclass(slots=True)
class _Stage:
    """Two hubs on one database, and the requests that they are given."""

    connection: asyncpg.Connection
    hubs: tuple[Served, Served]
    one_org: list[bytes]
    many_orgs: list[bytes]
    events: int
    cpu: dict[str, list[float]] = field(default_factory=dict)
    copies: dict[str, bytes] = field(default_factory=dict)
    faults: list[float] = field(default_factory=list)

    async def ingest(self, name: str, requests: Sequence[bytes], hubs: Sequence[Served]) -> float:
        """Post all requests to these hubs and return the seconds per event."""
        await self.connection.execute(f"TRUNCATE {_TABLES}")
        before = sum(hub.cpu_seconds() for hub in hubs)
        begun = time.perf_counter()
        results = await _post_all(requests, hubs)
        took = time.perf_counter() - begun
        used = sum(hub.cpu_seconds() for hub in hubs) - before
        self.cpu.setdefault(name, []).append(used / self.events)
        if set(results) != {"accepted"}:
            raise RuntimeError(f"not all events were accepted: {set(results)}")
        await self.check()
        if name not in self.copies:
            self.copies[name] = await self.dump()
        return took / self.events

    async def replay(self, requests: Sequence[bytes]) -> None:
        """Post a share of the requests once more: all must be known, and the log the same."""
        again = requests[: max(1, round(len(requests) * _REPLAYED_SHARE))]
        results = await _post_all(again, self.hubs[::-1])
        if set(results) != {"duplicate"}:
            raise RuntimeError(f"events that were stored are not known again: {set(results)}")
        await self.check()

    async def check(self) -> None:
        """Note how many events are there twice, missing, or beside a hole in the seqs."""
        rows = await self.connection.fetch(
            "SELECT count(*), count(DISTINCT id), count(DISTINCT seq), max(seq) + 1, "
            "(SELECT next_seq FROM audit_log_head h WHERE h.org_id = e.org_id) "
            "FROM audit_event e GROUP BY org_id"
        )
        stored = sum(row[0] for row in rows)
        wrong = abs(stored - self.events) + sum(
            abs(number - row[0]) for row in rows for number in tuple(row)[1:]
        )
        self.faults.append(float(wrong))

    async def dump(self) -> bytes:
        """Return the table as COPY's own text."""
        out = io.BytesIO()
        await self.connection.copy_from_table("audit_event", output=out)
        return out.getvalue()

    async def copy(self, name: str) -> float:
        """Write the rows of a run by one COPY in one transaction; return the seconds per event."""
        await self.connection.execute(f"TRUNCATE {_TABLES}")
        text = io.BytesIO(self.copies[name])
        begun = time.perf_counter()
        await self.connection.copy_to_table("audit_event", source=text)
        return (time.perf_counter() - begun) / self.events


async def _post_all(requests: Sequence[bytes], hubs: Sequence[Served]) -> list[str]:
    """Send each request once over CONNECTIONS connections a hub; return every event's result."""
    waiting = iter(requests)
    results: list[str] = []

    async def work(hub: Served) -> None:
        connection = await Connection.open(hub.port)
        try:
            for request in waiting:
                answer = _answer.decode(await connection.exchange(request))
                results.extend(item.result for item in answer.results)
        finally:
            connection.close()

    async with asyncio.TaskGroup() as group:
        for hub in hubs:
            for _ in range(CONNECTIONS):
                group.create_task(work(hub))
    return results


def _requests(count: int, token: str, collector: str) -> list[bytes]:
    """Return the batches of a collector as whole requests."""
    events = list(wire_events(count, now_ms()))
    requests = []
    for first in range(0, count, BATCH_EVENTS):
        batch = IngestRequest(
            collector_id=collector,
            batch_id=f"batch-{first}",
            events=events[first : first + BATCH_EVENTS],
        )
        body = msgspec.json.encode(batch)
        requests.append(request_bytes("POST", "/api/ingest/events", token, body))
    return requests


async def _prepare(run: Run, stack: AsyncExitStack) -> _Stage:
    """Make a database, its orgs and clusters, the requests, and two hubs."""
    dsn = stack.enter_context(run.postgres().fresh_database())
    per_org = max(BATCH_EVENTS, run.count(50_000) // ORGS // BATCH_EVENTS * BATCH_EVENTS)
    events = per_org * ORGS
    database = await Database.open(dsn)
    try:
        await migrate(database)
        token = await add_cluster(database, ORG, "cl_bench", "prod")
        one_org = _requests(events, token, "collector-0")
        by_org = [
            _requests(
                per_org,
                await add_cluster(database, f"org_many_{number}", f"cl_many_{number}", "prod"),
                f"collector-{number}",
            )
            for number in range(ORGS)
        ]
    finally:
        await database.close()
    many_orgs = [request for batch in zip(*by_org, strict=True) for request in batch]
    hubs = (
        await stack.enter_async_context(running_hub(dsn)),
        await stack.enter_async_context(running_hub(dsn)),
    )
    connection = await asyncpg.connect(dsn)
    stack.push_async_callback(connection.close)
    return _Stage(connection, hubs, one_org, many_orgs, events)


async def _run(run: Run) -> list[Figure]:
    async with AsyncExitStack() as stack:
        stage = await _prepare(run, stack)
        rows = store_rows(prepared_events(stage.events, now_ms()), now_ms())
        first, both = stage.hubs[:1], stage.hubs

        async def two() -> float:
            took = await stage.ingest("two", stage.one_org, both)
            await stage.replay(stage.one_org)
            return took

        values = await interleave(
            run.rounds,
            {
                "one": lambda: stage.ingest("one", stage.one_org, first),
                "copy one": lambda: stage.copy("one"),
                "many": lambda: stage.ingest("many", stage.many_orgs, first),
                "copy many": lambda: stage.copy("many"),
                "two": two,
                "client": lambda: _copy_records(stage, rows),
                "rows": lambda: _make_and_copy(stage),
            },
        )
    return _figures(stage, values)


def _figures(stage: _Stage, values: dict[str, list[float]]) -> list[Figure]:
    client_us = min(values["client"]) * 1e6
    return [
        Figure(
            "one org, events a second against raw COPY",
            ratios(values["copy one"], values["one"]),
            Goal(0.5),
            f"{1 / min(values['one']):,.0f} events/s in the best round",
        ),
        Figure(
            f"{ORGS} orgs, events a second against raw COPY",
            ratios(values["copy many"], values["many"]),
            Goal(0.7),
            f"{1 / min(values['many']):,.0f} events/s in the best round",
        ),
        Figure(
            "hub's CPU per event, one org, against an asyncpg COPY client's",
            ratios(stage.cpu["one"], values["client"]),
            Goal(2.5, at_most=True),
            f"{min(stage.cpu['one']) * 1e6:.1f} µs against {client_us:.1f} µs of a client that is "
            "given its rows ready-made",
        ),
        Figure(
            "the same, against a COPY client that makes the rows (decode, rules, leaf) as well",
            ratios(stage.cpu["one"], values["rows"]),
            None,
            f"against {min(values['rows']) * 1e6:.1f} µs",
        ),
        Figure(
            f"hub's CPU per event, {ORGS} orgs, against the same",
            ratios(stage.cpu["many"], values["client"]),
            Goal(2.5, at_most=True),
            f"{min(stage.cpu['many']) * 1e6:.1f} µs",
        ),
        Figure(
            "two hubs on one org, events a second against one hub",
            ratios(values["one"], values["two"]),
            Goal(0.85),
        ),
        Figure(
            "doubles, losses and holes in the seqs over all runs, replays included",
            tuple(stage.faults),
            Goal(0, at_most=True),
            f"{_REPLAYED_SHARE:.0%} of the batches were sent again to the other hub",
        ),
    ]


async def _copy_records(stage: _Stage, rows: Sequence[tuple[object, ...]]) -> float:
    """Write the rows as a bare asyncpg client would; return its CPU seconds per event."""
    await stage.connection.execute(f"TRUNCATE {_TABLES}")
    begun = time.process_time()
    for first in range(0, len(rows), BATCH_EVENTS):
        await stage.connection.copy_records_to_table(
            "audit_event", records=rows[first : first + BATCH_EVENTS], columns=COLUMNS
        )
    return (time.process_time() - begun) / len(rows)


async def _make_and_copy(stage: _Stage) -> float:
    """Do what a hub does with its batches, but for HTTP and the log's head; return as above."""
    await stage.connection.execute(f"TRUNCATE {_TABLES}")
    bodies = [request.partition(b"\r\n\r\n")[2] for request in stage.one_org]
    moment = now_ms()
    source = Source(
        org_id=ORG,
        cluster_id="cl_bench",
        cluster_name="prod",
        now_ms=moment,
        floors=floors("enterprise", moment),
    )
    begun = time.process_time()
    for number, body in enumerate(bodies):
        events = [read_event(raw) for raw in read_envelope(body).events]
        verdicts = [judge(event, source, {}) for event in events if isinstance(event, WireEvent)]
        prepared = [
            prepare(verdict.event, salt(0), verdict.source_key)
            for verdict in verdicts
            if isinstance(verdict, Captured)
        ]
        await stage.connection.copy_records_to_table(
            "audit_event",
            records=store_rows(prepared, moment, first=number * BATCH_EVENTS),
            columns=COLUMNS,
        )
    return (time.process_time() - begun) / stage.events


INGEST = Benchmark(
    "ingest",
    "Ingest over HTTP",
    f"Batches of {BATCH_EVENTS} events over {CONNECTIONS} connections to a hub process, every "
    "answer after a durable commit, against one COPY of the same rows, as text and in one "
    "transaction, into the same table with all its indexes.",
    _run,
)
