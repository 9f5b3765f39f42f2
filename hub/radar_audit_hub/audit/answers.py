"""The JSON answers of the audit routes, encoded once by msgspec.

Owns their shapes. Called by the audit handlers. Pure; rows come from the store in
their public form, so that no row is touched by Python on its way out.
"""

from __future__ import annotations

import msgspec
from aiohttp import web
from radar_audit_events.ids import format_ms

from radar_audit_hub.store.collectors import GapRow
from radar_audit_hub.store.facets import Facets
from radar_audit_hub.store.query import StoredEvent

NDJSON = "application/x-ndjson"
_encoder = msgspec.json.Encoder()


class EventPage(msgspec.Struct):
    """One page; `next_cursor` None is the end; nothing before `visible_since` is shown."""

    events: list[StoredEvent]
    next_cursor: str | None
    visible_since: str


class Count(msgspec.Struct):
    """How often a value occurs."""

    value: str
    count: int


class FacetAnswer(msgspec.Struct):
    """Counts by value, most first."""

    actions: list[Count]
    actors: list[Count]
    target_types: list[Count]
    total: int
    total_capped: bool
    complete: bool


class Gap(msgspec.Struct):
    """What one collector said it lost; times are RFC 3339."""

    gap_id: str
    cluster_id: str
    collector_id: str
    from_time: str
    to_time: str
    count: int
    reason: str
    recorded_at: str


class GapAnswer(msgspec.Struct):
    """The gaps of an org, the last recorded first."""

    gaps: list[Gap]


def facet_answer(found: Facets) -> FacetAnswer:
    """Return the public form of facets."""
    return FacetAnswer(
        actions=[Count(*pair) for pair in found.actions],
        actors=[Count(*pair) for pair in found.actors],
        target_types=[Count(*pair) for pair in found.target_types],
        total=found.total,
        total_capped=found.total_capped,
        complete=found.complete,
    )


def gap_answer(rows: list[GapRow]) -> GapAnswer:
    """Return the public form of gaps."""
    return GapAnswer(
        [
            Gap(
                gap_id=row.gap_id,
                cluster_id=row.cluster_id,
                collector_id=row.collector_id,
                from_time=format_ms(row.from_at_ms),
                to_time=format_ms(row.to_at_ms),
                count=row.count,
                reason=row.reason,
                recorded_at=format_ms(row.recorded_at_ms),
            )
            for row in rows
        ]
    )


def json_answer(value: object, headers: dict[str, str] | None = None) -> web.Response:
    """Encode any answer as JSON."""
    body = _encoder.encode(value)
    return web.Response(body=body, content_type="application/json", headers=headers)


def lines_answer(rows: list[StoredEvent], headers: dict[str, str]) -> web.Response:
    """Encode events as NDJSON, one a line."""
    return web.Response(body=_encoder.encode_lines(rows), content_type=NDJSON, headers=headers)


def encode_event(row: StoredEvent) -> bytes:
    """Return one event's public JSON."""
    return _encoder.encode(row)
