"""A million rows leave the hub as a stream with flat memory, and a cut one is seen to be cut."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import asyncpg
import psutil
import pytest
from radar_audit_events.ids import event_id

from tests.support.hub_process import HubProcess
from tests.support.log_rows import make_row, random10

ROWS = 1_000_000
MAX_GROWTH_BYTES = 32 * 1024 * 1024  # the design's bar for memory growth at any size
_COLUMNS = 16


def _rows(created_ms: int) -> Iterator[tuple[object, ...]]:
    """Rows of the usual size, a millisecond apart; their hashes are of nothing."""
    row = make_row(0)
    for seq in range(ROWS):
        at_ms = created_ms + seq
        yield (
            "org_x", seq, event_id(at_ms, random10(seq)), row.actor_user_id, row.actor_email,
            row.action, row.target_type, row.target_id, row.cluster_id, None, row.metadata,
            at_ms, at_ms, row.pii_commitment, row.pii_salt, row.leaf_hash,
        )  # fmt: skip


def _fill_sqlite(path: Path, created_ms: int) -> None:
    connection = sqlite3.connect(path)
    marks = ", ".join("?" * _COLUMNS)
    with connection:
        connection.execute("DELETE FROM audit_event")
        connection.executemany(f"INSERT INTO audit_event VALUES ({marks})", _rows(created_ms))
    connection.close()


async def _fill_postgres(dsn: str, created_ms: int) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute("DELETE FROM audit_event")
    await connection.copy_records_to_table("audit_event", records=_rows(created_ms))
    await connection.close()


async def _export(hub: HubProcess, pat: str, form: str) -> tuple[int, int]:
    """Read an export to its end; return its lines and by how much the hub's memory grew."""
    process = psutil.Process(hub.pid)
    before = process.memory_info().rss
    peak = before
    lines = 0
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=180)) as client,
        client.get(
            f"{hub.url}/api/orgs/org_x/audit?format={form}",
            headers={"Authorization": f"Bearer {pat}"},
        ) as answer,
    ):
        assert answer.status == 200
        async for chunk in answer.content.iter_any():
            lines += chunk.count(b"\n")
            peak = max(peak, process.memory_info().rss)
    return lines, peak - before


async def _cut(hub: HubProcess, pat: str, form: str) -> None:
    """Kill the hub in mid-export: the client must be told, never see a clean end."""
    read = 0

    async def read_on(answer: aiohttp.ClientResponse) -> None:
        nonlocal read
        async for chunk in answer.content.iter_any():
            read += len(chunk)
            if read > 1_000_000:
                await hub.kill()

    async with (
        aiohttp.ClientSession() as client,
        client.get(
            f"{hub.url}/api/orgs/org_x/audit?format={form}",
            headers={"Authorization": f"Bearer {pat}"},
        ) as answer,
    ):
        with pytest.raises(aiohttp.ClientPayloadError):
            await read_on(answer)
    assert read > 1_000_000


@pytest.mark.timeout(500)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_a_million_rows_stream_with_flat_memory(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = (
        f"sqlite:///{tmp_path}/hub.db"
        if kind == "sqlite"
        else str(request.getfixturevalue("postgres_dsn"))
    )
    hub = HubProcess(data_dir=tmp_path / "hub", database_url=url, log_level="info")
    code, out, err = await hub.command("init", "--org-id", "org_x", "-o", "json")
    assert code == 0, err
    pat = json.loads(out)["pat"]["token"]
    created_ms = int(time.time() * 1000) - ROWS - 60_000
    if kind == "sqlite":
        _fill_sqlite(tmp_path / "hub.db", created_ms)
    else:
        await _fill_postgres(url, created_ms)
    async with hub:
        await _export(hub, pat, "json")  # what any request loads is not an export's growth
        for form, head in (("ndjson", 0), ("csv", 1)):
            lines, growth = await _export(hub, pat, form)
            print(f"{kind} {form}: {lines} lines, memory grew by {growth / 2**20:.1f} MiB")  # noqa: T201 - figures for the reader
            assert lines == ROWS + head
            assert growth <= MAX_GROWTH_BYTES
        for form in ("ndjson", "csv"):
            await _cut(hub, pat, form)
            await hub.start()
