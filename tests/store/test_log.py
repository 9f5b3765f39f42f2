"""What the store promises of an org's log: gapless seq, exact idempotence, hashes kept."""

from __future__ import annotations

import asyncio
import random

import pytest
from radar_audit_events.chain import Frontier, root_of, tile_root
from radar_audit_events.query import Query
from radar_audit_hub.retention.policy import Floors
from radar_audit_hub.store import purge
from radar_audit_hub.store.database import Database
from radar_audit_hub.store.head import lock_head, tile_hashes
from radar_audit_hub.store.log import append, append_batch
from radar_audit_hub.store.query import follow, next_seq
from radar_audit_hub.store.schema import audit_day_count, audit_event, audit_tile
from sqlalchemy import func, select

from tests.support.log_rows import DAY_MS, NOW_MS, always, make_row, random10

ALL = Floors(0)


async def _seqs(database: Database, org_id: str = "org_x") -> list[int]:
    async with database.read() as connection:
        found = await connection.execute(
            select(audit_event.c.seq).where(audit_event.c.org_id == org_id).order_by("seq")
        )
        return list(found.scalars())


async def test_seqs_run_from_zero_without_a_gap_over_batches(database: Database) -> None:
    for first in (0, 300, 301):
        size = 300 if first == 0 else 1 if first == 300 else 400
        rows = [make_row(n) for n in range(first, first + size)]
        appended = await append_batch(database, "org_x", rows, NOW_MS)
        assert [a.seq for a in appended] == list(range(first, first + size))
    assert await _seqs(database) == list(range(701))
    assert await next_seq(database, "org_x") == 701


async def test_orgs_have_logs_of_their_own(database: Database) -> None:
    await append_batch(database, "org_x", [make_row(1)], NOW_MS)
    other = await append_batch(database, "org_y", [make_row(1, org_id="org_y")], NOW_MS)
    assert [(a.seq, a.duplicate) for a in other] == [(0, False)]
    assert await next_seq(database, "org_z") == 0


async def test_a_repeated_batch_stores_nothing_and_names_the_rows(database: Database) -> None:
    rows = [make_row(n, source_key=random10(n)) for n in range(20)]
    first = await append_batch(database, "org_x", rows, NOW_MS)
    again = await append_batch(database, "org_x", rows, NOW_MS + 1)
    assert [(a.id, a.seq) for a in again] == [(a.id, a.seq) for a in first]
    assert all(a.duplicate for a in again)
    assert await _seqs(database) == list(range(20))


async def test_overlapping_batches_store_only_what_is_new(database: Database) -> None:
    await append_batch(database, "org_x", [make_row(n) for n in range(10)], NOW_MS)
    mixed = await append_batch(database, "org_x", [make_row(n) for n in range(5, 15)], NOW_MS)
    assert [a.duplicate for a in mixed] == [True] * 5 + [False] * 5
    assert [a.seq for a in mixed] == list(range(5, 15))


async def test_the_first_arrival_of_a_fact_wins_whatever_its_time(database: Database) -> None:
    key = random10("session", "started")
    first = await append_batch(database, "org_x", [make_row(1, source_key=key)], NOW_MS)
    later = make_row(2, source_key=key)
    again = await append_batch(database, "org_x", [make_row(3), later], NOW_MS)
    assert again[1].duplicate
    assert again[1].id == first[0].id != later.id
    assert not again[0].duplicate


async def test_doubles_inside_one_batch_are_found(database: Database) -> None:
    key = random10("k")
    rows = [make_row(1), make_row(1), make_row(2, source_key=key), make_row(3, source_key=key)]
    results = await append_batch(database, "org_x", rows, NOW_MS)
    assert [a.duplicate for a in results] == [False, True, False, True]
    assert results[3].id == rows[2].id
    assert await _seqs(database) == [0, 1]


async def test_concurrent_writers_of_one_org_leave_no_gap_and_no_double(
    database: Database,
) -> None:
    order = random.Random(7)
    batches = [[make_row(n) for n in range(b * 10, b * 10 + 15)] for b in range(12)]
    order.shuffle(batches)
    results = await asyncio.gather(
        *(append_batch(database, "org_x", batch, NOW_MS) for batch in batches)
    )
    fresh = [a.seq for batch in results for a in batch if not a.duplicate]
    assert sorted(fresh) == list(range(125)) == await _seqs(database)


async def test_a_failed_transaction_leaves_neither_row_nor_seq(database: Database) -> None:
    await append_batch(database, "org_x", [make_row(0)], NOW_MS)

    async def fail_after_append() -> None:
        async with database.write() as connection:
            await append(connection, "org_x", [make_row(1)], NOW_MS)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail_after_append()
    assert await next_seq(database, "org_x") == 1
    appended = await append_batch(database, "org_x", [make_row(2)], NOW_MS)
    assert appended[0].seq == 1


async def test_frontier_and_tiles_hold_the_root_of_all_leaves(database: Database) -> None:
    rows = [make_row(n) for n in range(600)]
    done = 0
    for size in (1, 254, 1, 1, 300, 43):
        await append_batch(database, "org_x", rows[done : done + size], NOW_MS)
        done += size
    leaves = [row.leaf_hash for row in rows]
    async with database.write() as connection:
        head = await lock_head(connection, "org_x")
        assert head.frontier.root() == root_of(leaves)
        assert head.frontier.size == 600
        tiles = await connection.execute(select(audit_tile).order_by(audit_tile.c.tile))
        stored = [(t.level, t.tile, bytes(t.hashes)) for t in tiles]
        assert stored == [(0, t, b"".join(leaves[t * 256 : t * 256 + 256])) for t in (0, 1)]
        assert await tile_hashes(connection, "org_x", 2, 600) == leaves[512:]
    assert tile_root(leaves[:256]) == root_of(leaves[:256])


async def test_purge_keeps_hashes_counts_and_a_receipt(database: Database) -> None:
    old = NOW_MS - 40 * DAY_MS
    rows = [make_row(n, created_at_ms=old + n) for n in range(300)]
    rows += [make_row(n) for n in range(300, 310)]
    await append_batch(database, "org_x", rows, NOW_MS)
    leaves = [row.leaf_hash for row in rows]
    floors = Floors(NOW_MS - 30 * DAY_MS)
    assert await purge.expired_count(database, "org_x", floors) == 300
    done: list[int] = []
    while step := await purge.purge_step(
        database,
        "org_x",
        always(floors),
        batch=130,
        now_ms=NOW_MS,
        salt=bytes([len(done)]) * 32,
    ):
        done.append(step)
    assert done == [130, 130, 40]
    assert await _seqs(database) == [*range(300, 310), 310, 311, 312]
    everything = await follow(database, "org_x", Query(), ALL, after_seq=309, limit=100)
    receipts = [row for row in everything.rows if row.action == "audit.retention_pruned"]
    assert [bytes(r.metadata).decode().count('"ranges":["') for r in receipts] == [1, 1, 1]
    assert b'"ranges":["260-299"]' in bytes(receipts[2].metadata)
    assert root_of(leaves).hex().encode() in bytes(receipts[0].metadata)
    async with database.read() as connection:
        assert await tile_hashes(connection, "org_x", 1, 310) == leaves[256:310]
        counts = await connection.execute(
            select(func.sum(audit_day_count.c.n)).where(audit_day_count.c.org_id == "org_x")
        )
        assert int(counts.scalar_one()) == 13


async def test_a_full_tile_can_be_closed_after_its_first_rows_were_purged(
    database: Database,
) -> None:
    old = [make_row(n, created_at_ms=NOW_MS - 40 * DAY_MS + n) for n in range(100)]
    await append_batch(database, "org_x", old, NOW_MS)
    await purge.purge_step(
        database,
        "org_x",
        always(Floors(NOW_MS - DAY_MS)),
        batch=100,
        now_ms=NOW_MS,
        salt=b"s" * 32,
    )
    more = [make_row(n) for n in range(100, 300)]
    await append_batch(database, "org_x", more, NOW_MS)
    async with database.read() as connection:
        tile = await tile_hashes(connection, "org_x", 0, 256)
    assert tile[:100] == [row.leaf_hash for row in old]
    assert tile[101:] == [row.leaf_hash for row in more[:155]]
    async with database.write() as connection:
        head = await lock_head(connection, "org_x")
    rebuilt = Frontier()
    rebuilt.extend([*tile, *(row.leaf_hash for row in more[155:])])
    assert head.frontier.root() == rebuilt.root()
