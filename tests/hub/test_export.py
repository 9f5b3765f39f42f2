"""Exports over HTTP: whole, named, bounded, and visibly broken when they break."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from radar_audit_events.ids import format_ms
from radar_audit_hub.audit import exports
from radar_audit_hub.store.schema import org
from radar_audit_hub.streaming import SLICE_BYTES, PatientWriter, SlowClientError
from sqlalchemy import text, update

from tests.support.hub_builder import (
    HubUnderTest,
    events_of,
    log_path,
    running_hub,
    sqlite_hub,
)
from tests.support.log_rows import NOW_MS, make_event
from tests.support.raw_http import exchange

HEADER = b"id,created_at,action,target_type,target_id,actor_user_id,actor_email,via_pat,metadata"
ROWS = 12_000  # of 1.3 kB: more than all socket buffers on the way hold


async def test_csv_has_the_fixed_columns_crlf_and_newest_first(any_hub: HubUnderTest) -> None:
    odd = make_event(
        9, created_at_ms=NOW_MS + 1, actor_email="=cmd@acme.com", metadata={"via_pat": 'a "b", c'}
    )
    ids = await any_hub.append(*events_of(3), odd)
    answer = await any_hub.get("", params={"format": "csv"})
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/csv; charset=utf-8")
    assert answer.headers["Content-Disposition"] == (
        'attachment; filename="org_x-audit-start-2026-11-18.csv"'
    )
    assert answer.headers["Radar-Audit-Estimated-Rows"] == "4"
    assert answer.body.split(b"\r\n")[0] == HEADER
    rows = list(csv.DictReader(io.StringIO(answer.body.decode(), newline="")))
    assert [row["id"] for row in rows] == ids[::-1]
    assert rows[0]["actor_email"] == "'=cmd@acme.com"
    assert rows[0]["via_pat"] == 'a "b", c'


async def test_ndjson_lines_are_the_public_events(any_hub: HubUnderTest) -> None:
    await any_hub.append(*events_of(3))
    params = {"format": "ndjson", "include": "recorded_at"}
    answer = await any_hub.get("", params=params)
    page = await any_hub.get("", params={"include": "recorded_at"})
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    assert answer.lines == page.json["events"]


async def test_export_takes_the_filter_and_may_be_empty(any_hub: HubUnderTest) -> None:
    await any_hub.append(*events_of(2), make_event(9, action="org.created"))
    some = await any_hub.get("", params={"format": "ndjson", "action": "org.*"})
    assert [e["action"] for e in some.lines] == ["org.created"]
    none = await any_hub.get("", params={"format": "ndjson", "action": "pat.*"})
    assert (none.status, none.body) == (200, b"")
    empty = await any_hub.get("", params={"format": "csv", "q": "zebra"})
    assert empty.body == HEADER + b"\r\n"
    assert "Radar-Audit-Estimated-Rows" not in empty.headers


async def test_rows_are_counted(hub: HubUnderTest) -> None:
    await hub.append(*events_of(7))
    for form in ("csv", "ndjson"):
        await hub.get("", params={"format": form})
        counted = hub.hub.metrics.export_rows.labels(form)._value.get()
        assert counted == 7


def broken_chunks(good: int) -> Any:
    async def chunks(*_: Any, **__: Any) -> AsyncIterator[bytes]:
        for number in range(good):
            yield b"x" * 1000 + b"%d\n" % number
        raise ConnectionRefusedError("the database went away")

    return chunks


@pytest.mark.parametrize("form", ["csv", "ndjson"])
async def test_error_after_the_first_rows_cuts_the_connection(
    hub: HubUnderTest, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setattr(exports, f"{form}_chunks", broken_chunks(5))
    with pytest.raises(aiohttp.ClientError):
        await hub.get("", params={"format": form})
    assert hub.hub.exports.taken == 0
    assert hub.hub.metrics.exports_aborted.labels(form)._value.get() == 1
    assert (await hub.get("/api/me")).status == 200


@pytest.mark.parametrize("form", ["csv", "ndjson"])
async def test_error_before_the_first_rows_is_a_problem(
    hub: HubUnderTest, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setattr(exports, f"{form}_chunks", broken_chunks(0))
    answer = await hub.get("", params={"format": form})
    assert (answer.status, answer.json["code"]) == (503, "unavailable")


async def fill(hub: HubUnderTest, count: int) -> None:
    """Store enough for an export that no socket buffer holds."""
    wide = {"container": "c" * 900}
    for start in range(0, count, 1000):
        numbers = range(start, min(start + 1000, count))
        await hub.append(*(make_event(n, created_at_ms=NOW_MS - n, metadata=wide) for n in numbers))


@asynccontextmanager
async def export_begun(
    hub: HubUnderTest, form: str
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Begin an export and read only its head."""
    reader, writer = await asyncio.open_connection("127.0.0.1", hub.port, limit=4096)
    head = f"GET {log_path('org_x')}?format={form} HTTP/1.1\r\nHost: x\r\n"
    writer.write(f"{head}Authorization: Bearer {hub.owner}\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def freed(hub: HubUnderTest) -> None:
    """Wait until no export runs any more."""
    for _ in range(1000):
        if not hub.hub.exports.taken:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("an export still holds its place")


async def test_database_connection_lost_in_the_middle_is_visible_to_the_client(
    postgres_url: str,
) -> None:
    async with running_hub(postgres_url, migrated=True) as hub:
        await fill(hub, ROWS)
        async with export_begun(hub, "csv") as (reader, _):
            async with hub.hub.db.read() as connection:
                await connection.execute(
                    text(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE "
                        "datname = current_database() AND query LIKE 'COPY%' AND state = 'active'"
                    )
                )
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await read_chunked(reader)
        await freed(hub)


@pytest.mark.parametrize("form", ["csv", "ndjson"])
async def test_client_that_stops_reading_is_cut_and_frees_everything(
    postgres_url: str, form: str
) -> None:
    async with running_hub(postgres_url, migrated=True, write_timeout_seconds=0.3) as hub:
        await fill(hub, ROWS)
        async with export_begun(hub, form) as (reader, _):
            await freed(hub)
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await read_chunked(reader)
        for _ in range(200):
            if await busy_connections(hub) == 1:  # this very question
                return
            await asyncio.sleep(0.05)
        raise AssertionError("a connection still works for the client who left")


async def busy_connections(hub: HubUnderTest) -> int:
    """Return how many connections to the hub's PostgreSQL database are at work."""
    async with hub.hub.db.read() as connection:
        found = await connection.execute(
            text(
                "SELECT count(*) FROM pg_stat_activity WHERE "
                "datname = current_database() AND state <> 'idle'"
            )
        )
        return int(found.scalar_one())


async def test_client_that_hangs_up_frees_everything(any_hub: HubUnderTest) -> None:
    await fill(any_hub, ROWS)
    async with export_begun(any_hub, "csv") as (_, writer):
        writer.transport.abort()
    await freed(any_hub)
    assert (await any_hub.get("", params={"limit": "1"})).status == 200


@pytest.mark.parametrize("how", ["revoked", "removed", "downgraded"])
async def test_export_is_cut_when_the_right_to_read_it_is_gone(
    any_hub: HubUnderTest, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(exports, "RECHECK_SECONDS", 0)
    await fill(any_hub, ROWS)
    async with export_begun(any_hub, "csv") as (reader, _):
        if how == "revoked":
            await any_hub.revoke(any_hub.owner)
        elif how == "removed":
            await any_hub.remove_members()
        else:
            async with any_hub.hub.db.write() as connection:
                await connection.execute(update(org).values(plan="free"))
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await read_chunked(reader)
    await freed(any_hub)


async def test_search_for_a_client_that_hung_up_is_given_up(
    hub: HubUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def finds_nothing(*_: Any, **__: Any) -> AsyncIterator[bytes]:
        while True:
            await asyncio.sleep(0)
            yield b""

    monkeypatch.setattr(exports, "ndjson_chunks", finds_nothing)
    async with export_begun(hub, "ndjson") as (_, writer):
        writer.transport.abort()
    await freed(hub)


async def test_export_that_nobody_reads_does_not_hold_up_ingest(postgres_url: str) -> None:
    bounds: dict[str, Any] = {"database_pool_size": 3, "write_timeout_seconds": 600.0}
    async with running_hub(postgres_url, migrated=True, **bounds) as hub:
        await fill(hub, ROWS)
        token = await hub.add_cluster()
        async with export_begun(hub, "csv"), asyncio.timeout(60):
            assert (await hub.get("", params={"format": "csv"})).status == 429
            event = {
                "action": "pod.exec_started",
                "session_id": "s-1",
                "created_at": format_ms(NOW_MS),
                "metadata": {"namespace": "payments", "pod": "web-1"},
            }
            batch = {"collector_id": "c", "batch_id": "b", "events": [event]}
            answer = await hub.send("POST", "/api/ingest/events", token=token, json=batch)
            assert answer.json["results"][0]["result"] == "accepted"


async def test_exports_are_bounded(template: Path, tmp_path: Path) -> None:
    async with sqlite_hub(template, tmp_path, max_exports=1) as hub:
        with hub.hub.exports.take("org_other"):
            answer = await hub.get("", params={"format": "csv"})
            assert (answer.status, answer.json["code"]) == (429, "too_many_requests")
            assert int(answer.headers["Retry-After"]) >= 1
            assert (await hub.get("")).status == 200
        assert (await hub.get("", params={"format": "csv"})).status == 200


async def test_http_1_0_gets_no_export_for_a_cut_would_not_show(hub: HubUnderTest) -> None:
    head = f"GET {log_path('org_x')}?format=csv HTTP/1.0\r\nAuthorization: Bearer {hub.owner}\r\n"
    answer = await exchange(hub.port, f"{head}\r\n".encode())
    assert answer.status == 400
    assert "HTTP/1.1" in answer.json["detail"]


async def test_large_chunk_is_written_in_slices_that_each_have_their_time() -> None:
    class Taking:
        def __init__(self) -> None:
            self.slices: list[bytes] = []

        async def write(self, chunk: bytes) -> None:
            self.slices.append(bytes(chunk))

    taking = Taking()
    writer = PatientWriter(taking, write_timeout_seconds=30)  # type: ignore[arg-type]
    data = bytes(range(256)) * (4 * SLICE_BYTES // 256) + b"end"
    await writer.write(data)
    assert b"".join(taking.slices) == data
    assert max(map(len, taking.slices)) == SLICE_BYTES


async def test_client_that_takes_a_byte_now_and_then_is_cut() -> None:
    class Trickling:
        async def write(self, chunk: bytes) -> None:
            await asyncio.sleep(0.02)

    writer = PatientWriter(Trickling(), write_timeout_seconds=0.5)  # type: ignore[arg-type]

    async def send() -> None:
        for _ in range(100):
            await writer.write(b"x")

    with pytest.raises(SlowClientError, match="too slowly"):
        await send()


async def read_chunked(reader: asyncio.StreamReader) -> int:
    """Read a chunked body to its clean end and return its length."""
    total = 0
    async with asyncio.timeout(60):
        while size := int((await reader.readuntil(b"\r\n")).strip(), 16):
            total += size
            await reader.readexactly(size + 2)
        await reader.readexactly(2)
    return total
