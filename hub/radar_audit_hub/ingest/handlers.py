"""`POST /api/ingest/events`: a collector's batch into the org's log, one result per event.

Owns the edge and the order of the work: who, body, decode, judge, prepare, write, answer. What
may be stored is decided in `rules.py`. Never logs an event, and never answers before the commit
is durable.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

import msgspec
from aiohttp import web
from radar_audit_events.codec import SALT_BYTES
from radar_audit_events.errors import EventInvalidError
from radar_audit_events.query_text import is_storable
from radar_audit_events.wire import MAX_BATCH_BYTES, IngestAnswer, IngestResult, WireEvent

from radar_audit_hub.auth.access import require_cluster
from radar_audit_hub.auth.principal import ClusterPrincipal
from radar_audit_hub.bodies import read_body
from radar_audit_hub.clusters.report_turns import report_turn
from radar_audit_hub.context import HUB, Hub
from radar_audit_hub.declarations import declare
from radar_audit_hub.retention.policy import floors_of
from radar_audit_hub.store.collectors import GapRow, save_gaps
from radar_audit_hub.store.control import people_of_org
from radar_audit_hub.store.faults import is_unavailable
from radar_audit_hub.store.log import Appended, append_batch

from .admission import Admission
from .batch import Envelope, expired_gap, gap_rows, read_envelope, read_event
from .joiner import Joiner
from .late_ends import assumed_ends
from .prepare import PreparedEvent, prepare
from .rules import Actor, Captured, Expired, Rejected, Source, actor_name, judge

SCOPE = "ingest"
_SLICE_SECONDS = 0.01  # a batch's CPU work gives the event loop a turn this often
_PART_EVENTS = 32  # between two looks at the clock
_MAX_MESSAGE = 300

T = TypeVar("T")
Outcome = PreparedEvent | Expired | Rejected


class Log(NamedTuple):
    """What one joined write is for: an org, and the retention that its collectors' tokens named."""

    org_id: str
    plan: str
    retention: str | None


@dataclass(frozen=True)
class Ingest:
    """The feature's parts that live as long as the server: bounds, and the joiner of batches."""

    admission: Admission
    joiner: Joiner[Log, PreparedEvent, Appended]

    @classmethod
    def create(cls, hub: Hub) -> Ingest:
        """Make them over an open hub; nothing runs until a batch comes."""

        async def write(log: Log, events: Sequence[PreparedEvent]) -> list[Appended]:
            return await append_batch(
                hub.db, log.org_id, events, hub.now_ms(), lambda: floors_of(log, hub.now_ms())
            )

        limits = hub.settings
        return cls(
            admission=Admission(
                total_bytes=limits.ingest_held_bytes, org_bytes=limits.ingest_held_bytes_per_org
            ),
            # Half of the pool: readers must find a connection while many orgs write.
            joiner=Joiner(write, is_unavailable, parallel=max(1, limits.database_pool_size // 2)),
        )


INGEST: web.AppKey[Ingest] = web.AppKey("ingest", Ingest)


async def ingest_events(request: web.Request) -> web.Response:
    """Store a batch and answer with the fate of each event, in order."""
    hub, ingest = request.app[HUB], request.app[INGEST]
    started = time.perf_counter()
    caller = await require_cluster(request, SCOPE)
    with ingest.admission.enter(caller.org_id) as ticket:
        body = await read_body(
            request,
            limit_bytes=MAX_BATCH_BYTES,
            timeout_seconds=hub.settings.body_timeout_seconds,
            hold=ticket.hold,
        )
        results = await _store(hub, ingest, caller, read_envelope(body))
    hub.metrics.ingest_seconds.observe(time.perf_counter() - started)
    for name, count in Counter(result.result for result in results).items():
        hub.metrics.ingest_events.labels(name).inc(count)
    answer = msgspec.json.encode(IngestAnswer(results=results))
    return web.Response(body=answer, content_type="application/json")


async def _store(
    hub: Hub, ingest: Ingest, caller: ClusterPrincipal, envelope: Envelope
) -> list[IngestResult]:
    now_ms = hub.now_ms()
    source = Source(
        org_id=caller.org_id,
        cluster_id=caller.cluster_id,
        cluster_name=caller.cluster_name,
        now_ms=now_ms,
        floors=floors_of(caller, now_ms),
    )
    gaps = gap_rows(envelope, source)
    outcomes = await _judge_all(hub, envelope, source, look_back=caller.assumed_at_ms is not None)
    good = [outcome for outcome in outcomes if isinstance(outcome, PreparedEvent)]
    appended = await ingest.joiner.submit(Log(caller.org_id, caller.plan, caller.retention), good)
    expired = [outcome for outcome in outcomes if isinstance(outcome, Expired)]
    expired += [
        Expired(event.created_at_ms, event.source_key or b"")
        for event, place in zip(good, appended, strict=True)
        if place.expired
    ]
    if expired:
        gaps.append(expired_gap(envelope, source, expired))
    await _save_gaps(hub, caller, gaps)
    fresh = [event for event, place in zip(good, appended, strict=True) if place.is_new]
    if fresh:
        hub.signal.notify(caller.org_id)
        oldest_ms = min(event.created_at_ms for event in fresh)
        hub.metrics.ingest_lag_seconds.observe(max(0, hub.now_ms() - oldest_ms) / 1000)
    places = iter(appended)
    return [_result(outcome, places) for outcome in outcomes]


async def _judge_all(
    hub: Hub, envelope: Envelope, source: Source, *, look_back: bool
) -> list[Outcome]:
    events: list[WireEvent | Rejected] = []
    async for raws in _slices(envelope.events):
        events += map(read_event, raws)
    people = await _people(hub, source.org_id, events)
    if look_back:
        assumed = await assumed_ends(hub.db, source.org_id, source.cluster_id, events)
        source = replace(source, assumed=assumed)
    salts = hub.random_bytes(SALT_BYTES * len(events))
    outcomes: list[Outcome] = []
    async for part in _slices(events):
        first = len(outcomes)
        outcomes += [
            event
            if isinstance(event, Rejected)
            else _prepare(event, source, people, salts[at * SALT_BYTES : (at + 1) * SALT_BYTES])
            for at, event in enumerate(part, first)
        ]
    return outcomes


async def _slices(items: Sequence[T]) -> AsyncIterator[Sequence[T]]:
    """Yield the items in parts, with a turn for others whenever a slice of time is used up."""
    since = time.perf_counter()
    for first in range(0, len(items), _PART_EVENTS):
        if time.perf_counter() - since > _SLICE_SECONDS:
            await asyncio.sleep(0)
            since = time.perf_counter()
        yield items[first : first + _PART_EVENTS]


async def _people(
    hub: Hub, org_id: str, events: Sequence[WireEvent | Rejected]
) -> Mapping[str, Actor]:
    names = {actor_name(event) for event in events if isinstance(event, WireEvent)}
    wanted = [name for name in names if name and is_storable(name)]
    if not wanted:
        return {}
    async with hub.db.read() as connection:
        return await people_of_org(connection, org_id, wanted)


def _prepare(event: WireEvent, source: Source, people: Mapping[str, Actor], salt: bytes) -> Outcome:
    verdict = judge(event, source, people)
    if not isinstance(verdict, Captured):
        return verdict
    try:
        return prepare(verdict.event, salt, verdict.source_key)
    except EventInvalidError as error:
        return Rejected("invalid_event", str(error)[:_MAX_MESSAGE])


async def _save_gaps(hub: Hub, caller: ClusterPrincipal, gaps: Sequence[GapRow]) -> None:
    if gaps:
        turn = report_turn(hub, caller.org_id, caller.cluster_id)
        async with turn, hub.db.write() as connection:
            await save_gaps(connection, gaps)


def _result(outcome: Outcome, places: Iterator[Appended]) -> IngestResult:
    if isinstance(outcome, Rejected):
        return IngestResult(result="rejected", code=outcome.code, message=outcome.message)
    if isinstance(outcome, Expired):
        return IngestResult(result="expired")
    place = next(places)
    if place.expired:
        return IngestResult(result="expired")
    return IngestResult(result="duplicate" if place.duplicate else "accepted", id=place.id)


def routes() -> list[web.RouteDef]:
    """Return the feature's routes."""
    route = web.post("/api/ingest/events", ingest_events)
    return [declare(route, events=None, reason="transport: the batch's events are the log itself")]
