"""Streaming a whole result: CSV and NDJSON at any size with flat memory.

Owns the two stream forms. Called by the audit handlers, which send what comes
and abort the connection when this raises. Never holds more than a few pages.

PostgreSQL writes CSV itself (COPY), which is faster than reading rows; the
rest goes by keyset pages, which hold no snapshot and no transaction open.
So does a search through rows: it takes its turns as every other one does, and
a chunk, maybe an empty one, comes after each.
"""

from __future__ import annotations

import asyncio
import contextlib
import csv
import io
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from radar_audit_events.csv_columns import CSV_COLUMNS
from radar_audit_events.query import Query

from radar_audit_hub.retention.policy import Floors

from .database import Database, driver
from .query import Page, StoredEvent, page, where_sql
from .sql import Arguments, plan

PAGE_ROWS = 2000
CSV_HEADER = (",".join(CSV_COLUMNS) + "\r\n").encode()
# A spreadsheet takes a cell that begins so for a formula; the apostrophe makes it text.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_QUEUED_CHUNKS = 8
_encoder = msgspec.json.Encoder()


def csv_chunks(
    database: Database, org_id: str, query: Query, floors: Floors
) -> AsyncIterator[bytes]:
    """Yield RFC 4180 CSV, newest first, the header first."""
    if database.dialect == "postgresql" and not plan(query).residual:
        return _copied_csv(database, org_id, query, floors)
    return _paged_csv(database, org_id, query, floors)


async def ndjson_chunks(
    database: Database,
    org_id: str,
    query: Query,
    floors: Floors,
    *,
    with_recorded_at: bool = False,
) -> AsyncIterator[bytes]:
    """Yield one JSON event a line, newest first."""
    pages = _pages(database, org_id, query, floors, recorded=with_recorded_at)
    async for rows in pages:
        yield _encoder.encode_lines(rows)


async def _pages(
    database: Database, org_id: str, query: Query, floors: Floors, *, recorded: bool = False
) -> AsyncIterator[list[StoredEvent]]:
    """Yield page after page; the database reads the next one while the last is written out."""

    def start(before: str | None) -> asyncio.Task[Page]:
        return asyncio.create_task(
            page(
                database,
                org_id,
                query,
                floors,
                before=before,
                limit=PAGE_ROWS,
                with_recorded_at=recorded,
            )
        )

    coming: asyncio.Task[Page] | None = start(None)
    try:
        while coming is not None:
            found = await coming
            coming = None if found.next_before is None else start(found.next_before)
            await asyncio.sleep(0)  # lets the question go out before the answer is worked on
            yield found.rows
    finally:
        if coming is not None:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)


async def _paged_csv(
    database: Database, org_id: str, query: Query, floors: Floors
) -> AsyncIterator[bytes]:
    yield CSV_HEADER
    async for rows in _pages(database, org_id, query, floors):
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerows(_csv_row(row) for row in rows)
        yield text.getvalue().encode()


def _csv_row(row: StoredEvent) -> list[str]:
    metadata = bytes(row.metadata)
    # Parsing each row's metadata for one rare key would double the cost of an export.
    via_pat = msgspec.json.decode(metadata).get("via_pat") if b'"via_pat":' in metadata else None
    cells = (
        row.id,
        row.created_at,
        row.action,
        row.target_type,
        row.target_id,
        row.actor_user_id,
        row.actor_email,
        via_pat,
        metadata.decode(),
    )
    return [_cell(value) for value in cells]


def _cell(value: str | None) -> str:
    if value is None:
        return ""
    return f"'{value}" if value.startswith(_FORMULA_STARTS) else value


def _safe_sql(column: str) -> str:
    # chr(9) and chr(13) are TAB and CR.
    return (
        f"CASE WHEN substr({column}, 1, 1) IN ('=', '+', '-', '@', chr(9), chr(13)) "
        f"THEN '''' || {column} ELSE {column} END"
    )


_TIME_SQL = (
    "to_char(timestamp '1970-01-01' + created_at * interval '1 millisecond', "
    '\'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"\')'
)
_VIA_PAT_SQL = (
    "CASE WHEN strpos(metadata, '\"via_pat\":') > 0 THEN metadata::jsonb ->> 'via_pat' END"
)


def _copy_sql(where: str) -> str:
    return (
        f"SELECT id, {_TIME_SQL}, action, target_type, {_safe_sql('target_id')}, "  # noqa: S608 - arguments only
        f"{_safe_sql('actor_user_id')}, {_safe_sql('actor_email')}, "
        f"{_safe_sql(f'({_VIA_PAT_SQL})')}, metadata "
        f"FROM audit_event WHERE {where} ORDER BY id DESC"
    )


async def _copied_csv(
    database: Database, org_id: str, query: Query, floors: Floors
) -> AsyncIterator[bytes]:
    yield CSV_HEADER
    found = plan(query)
    if found.empty:
        return
    args = Arguments(database.dialect)
    sql = _copy_sql(where_sql(org_id, found, floors, args))
    # The places bound the queue, not its own size: its end mark must never wait for a reader
    # who has left.
    chunks: asyncio.Queue[bytes | None] = asyncio.Queue()
    places = asyncio.Semaphore(_QUEUED_CHUNKS)
    task = asyncio.create_task(_copy(database, sql, args.values, chunks, places))
    try:
        while (chunk := await chunks.get()) is not None:
            places.release()
            yield chunk
        await task  # raises what ended the copy early
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(task, return_exceptions=True)


async def _copy(
    database: Database,
    sql: str,
    values: list[Any],
    chunks: asyncio.Queue[bytes | None],
    places: asyncio.Semaphore,
) -> None:
    async def take(data: bytes) -> None:
        await places.acquire()
        # COPY ends its lines with LF; no field can hold one (ids are printable, JSON escapes it).
        chunks.put_nowait(bytes(data).replace(b"\n", b"\r\n"))

    try:
        async with database.read_long() as connection:
            raw = await driver(connection)
            async with raw.transaction(readonly=True):
                # A long export is bounded by its reader's patience, not by the statement's time.
                await raw.execute("SET LOCAL statement_timeout = 0")
                await raw.copy_from_query(sql, *values, output=take, format="csv")
    finally:
        chunks.put_nowait(None)
