"""Exports: the whole result of a filter as CSV or NDJSON, streamed.

Owns the streamed answer. Called by `handlers.py` for every format but json. An
error before the first rows is answered as such; one after it cuts the connection,
so that half a file can never be taken for a whole one. Whoever loses the right to read
loses the rest of the export within seconds. What it holds is the log as it was at its start.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

from aiohttp import HttpVersion11, web
from radar_audit_events.query import Query

from radar_audit_hub.auth.access import RECHECK_SECONDS, require
from radar_audit_hub.auth.principal import LOG_READERS, READ_SCOPE, Principal
from radar_audit_hub.context import HUB, Hub
from radar_audit_hub.errors import ForbiddenError, MalformedRequestError
from radar_audit_hub.retention.policy import Floors, floors_of
from radar_audit_hub.store.export import csv_chunks, ndjson_chunks
from radar_audit_hub.store.facets import estimate_rows
from radar_audit_hub.streaming import PatientWriter, is_gone

from .access_log import note_export
from .answers import NDJSON
from .params import ListParams, file_name

ESTIMATE_HEADER = "Radar-Audit-Estimated-Rows"
_TYPES = {"csv": "text/csv; charset=utf-8; header=present", "ndjson": NDJSON}
# The header line of a CSV comes before any SQL has run: the second chunk proves that it does.
_CHUNKS_BEFORE_STATUS = 2


async def export(request: web.Request, caller: Principal, params: ListParams) -> web.StreamResponse:
    """Stream all events of a filter, newest first."""
    hub = request.app[HUB]
    if request.version < HttpVersion11:
        # Without chunks the end of the connection is the end of the file: a cut would not show.
        raise MalformedRequestError("an export needs HTTP/1.1: a proxy on the way speaks 1.0")
    now_ms = hub.now_ms()
    floor = floors_of(caller, now_ms)
    asked = params.filter.query(params.filter.from_ms(now_ms))
    with hub.exports.take(caller.org_id):
        response = web.StreamResponse()
        response.headers["Content-Type"] = _TYPES[params.format]
        name = file_name(caller.org_id, params.filter, now_ms, params.format)
        response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
        estimate = await estimate_rows(hub.db, caller.org_id, asked, floor)
        if estimate is not None:
            response.headers[ESTIMATE_HEADER] = str(estimate)
        chunks = _chunks(hub, caller.org_id, asked, floor, params)
        sent = _Sent()
        try:
            await _send(request, response, _watched(request, caller, chunks), params.format, sent)
        except BaseException:
            if response.prepared:
                hub.metrics.exports_aborted.labels(params.format).inc()
            raise
        finally:
            if response.prepared:
                await note_export(hub, caller, params.format, params.filter.text, sent.rows)
    return response


def _chunks(
    hub: Hub, org_id: str, asked: Query, floor: Floors, params: ListParams
) -> AsyncIterator[bytes]:
    if params.format == "csv":
        return csv_chunks(hub.db, org_id, asked, floor)
    return ndjson_chunks(hub.db, org_id, asked, floor, with_recorded_at=params.with_recorded_at)


async def _watched(
    request: web.Request, caller: Principal, chunks: AsyncIterator[bytes]
) -> AsyncIterator[bytes]:
    """Pass the chunks on as long as the client is there and may read them.

    Raises ConnectionResetError, HubError.
    """
    loop = asyncio.get_running_loop()
    checked = loop.time()
    async with aclosing(chunks) as source:  # type: ignore[type-var] # all are generators
        async for chunk in source:
            if is_gone(request):  # a search that finds nothing writes nothing that could fail
                raise ConnectionResetError("the client is gone")
            if loop.time() - checked >= RECHECK_SECONDS:
                found = await require(request, *LOG_READERS, scope=READ_SCOPE)
                if found.plan != caller.plan:
                    raise ForbiddenError("the plan has changed, and with it how old events may be")
                checked = loop.time()
            yield chunk


@dataclass
class _Sent:
    """How many rows have left, as far as is known."""

    rows: int = 0


async def _send(
    request: web.Request,
    response: web.StreamResponse,
    chunks: AsyncIterator[bytes],
    form: str,
    sent: _Sent,
) -> None:
    hub = request.app[HUB]
    writer = PatientWriter(response, hub.settings.write_timeout_seconds)
    rows = hub.metrics.export_rows.labels(form)
    held: list[bytes] = []
    header_lines, lines = (1, 0) if form == "csv" else (0, 0)
    async with aclosing(chunks) as source:  # type: ignore[type-var] # both are generators
        async for chunk in source:
            held.append(chunk)
            if not response.prepared:
                if len(held) < _CHUNKS_BEFORE_STATUS:
                    continue
                await response.prepare(request)
            lines += await _flush(writer, held)
            sent.rows = max(0, lines - header_lines)
    if not response.prepared:
        await response.prepare(request)
        lines += await _flush(writer, held)
    sent.rows = lines - header_lines
    rows.inc(sent.rows)


async def _flush(writer: PatientWriter, held: list[bytes]) -> int:
    """Send what is held and return its lines: no field holds a line feed, JSON escapes it."""
    data = b"".join(held)
    held.clear()
    if data:
        await writer.write(data)
    return data.count(b"\n")
