"""The spool keeps what it promised: order, atomicity, bound, and a way back from every fault."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from radar_audit_collector.errors import (
    SpoolError,
    SpoolLockedError,
    SpoolUnavailableError,
)
from radar_audit_collector.spool import Spool
from radar_audit_collector.spool_database import DATABASE_NAME, MIN_SPOOL_BYTES, SpoolDatabase
from radar_audit_collector.spool_records import NewEvent, NewGap, Refusal, Settlement
from radar_audit_collector.spool_rows import MAX_DEAD_LETTERS

MIB = 1024 * 1024


def event(number: int, size_bytes: int = 0, claimed_org: str | None = None) -> NewEvent:
    return NewEvent(number, claimed_org, str(number).encode().ljust(size_bytes, b" "))


def numbers(events: list[object]) -> list[int]:
    return [int(e.payload) for e in events]  # type: ignore[attr-defined]


@contextlib.asynccontextmanager
async def opened(
    directory: Path, max_bytes: int = 64 * MIB, lost: list[tuple[str, int]] | None = None
) -> AsyncIterator[Spool]:
    record = [] if lost is None else lost
    spool = Spool(
        directory, max_bytes, on_lost=lambda reason, count: record.append((reason, count))
    )
    try:
        await spool.open()
        yield spool
    finally:
        await spool.close()


async def everything(spool: Spool) -> list[int]:
    return numbers(list(await spool.peek(1_000_000, 1 << 40)))


def writable(spool: Spool) -> bool:
    return spool.is_writable


async def run_sql(spool: Spool, statement: str) -> None:
    await spool._order(lambda database: database.conn.execute(statement).fetchall())


async def test_events_come_back_in_order_until_they_are_settled(tmp_path: Path) -> None:
    async with opened(tmp_path / "spool") as spool:
        await spool.append([event(1), event(2)], {})
        await spool.append([event(3)], {})
        first = await spool.peek(2, MIB)
        assert numbers(list(first)) == [1, 2]
        assert await everything(spool) == [1, 2, 3]
        await spool.settle(Settlement(done=[first[0].seq]))
        assert await everything(spool) == [2, 3]
        assert spool.stats.events == 2
        assert spool.stats.oldest_at_ms == 2


async def test_peek_is_bounded_in_bytes_but_never_starves(tmp_path: Path) -> None:
    async with opened(tmp_path / "spool") as spool:
        await spool.append([event(n, 1000) for n in range(5)], {})
        assert len(await spool.peek(10, 2500)) == 2
        assert len(await spool.peek(10, 10)) == 1


async def test_events_and_state_survive_a_restart(tmp_path: Path) -> None:
    async with opened(tmp_path / "spool") as spool:
        await spool.append([event(1)], {"a/1": b"x", "a/2": b"y", "b/1": b"z"})
        await spool.append([event(2)], {"a/1": None, "a/2": b"new"})
    async with opened(tmp_path / "spool") as spool:
        assert (await spool.load_state("a/")).values == {"a/2": b"new"}
        assert (await spool.load_state()).values == {"a/2": b"new", "b/1": b"z"}
        assert await everything(spool) == [1, 2]


async def test_waiting_appends_share_a_transaction(tmp_path: Path) -> None:
    async with opened(tmp_path / "spool") as spool:
        seen: list[str] = []
        await spool._order(lambda database: database.conn.set_trace_callback(seen.append))
        await asyncio.gather(*(spool.append([event(n)], {}) for n in range(100)))
        assert await everything(spool) == list(range(100))
        assert seen.count("COMMIT") < 20


async def test_failed_append_keeps_neither_events_nor_state(tmp_path: Path) -> None:
    async with opened(tmp_path / "spool") as spool:
        await spool.append([event(1)], {"key": b"old"})
        await run_sql(spool, "PRAGMA max_page_count=20")
        with pytest.raises(SpoolUnavailableError):
            await spool.append([event(2, MIB)], {"key": b"new"})
        assert not writable(spool)
        await run_sql(spool, "PRAGMA max_page_count=1000000")
        assert await everything(spool) == [1]
        assert (await spool.load_state("key")).values == {"key": b"old"}
        await spool.append([event(3)], {})
        assert writable(spool)
        assert await everything(spool) == [1, 3]


async def test_every_transaction_waits_for_the_disk(tmp_path: Path) -> None:
    """What a loss of power would take cannot be tried here: this is what keeps it from doing so."""

    def ask(database: SpoolDatabase) -> tuple[str, int]:
        mode = database.conn.execute("PRAGMA journal_mode").fetchone()[0]
        return mode, database.conn.execute("PRAGMA synchronous").fetchone()[0]

    async with opened(tmp_path) as spool:
        full = 2
        assert await spool._order(ask) == ("wal", full)


async def test_append_computed_on_a_failed_one_fails_as_well(tmp_path: Path) -> None:
    async with opened(tmp_path / "spool") as spool:
        fence = (await spool.load_state()).fence
        await run_sql(spool, "PRAGMA max_page_count=20")
        outcomes = await asyncio.gather(
            spool.append([event(1, MIB)], {}, fence=fence),
            spool.append([event(2)], {}, fence=fence),
            return_exceptions=True,
        )
        assert [type(outcome) for outcome in outcomes] == [SpoolUnavailableError] * 2
        fresh = (await spool.load_state()).fence
        await spool.append([event(3)], {}, fence=fresh)
        assert await everything(spool) == [3]


async def test_full_bound_evicts_the_oldest_and_says_so_exactly(tmp_path: Path) -> None:
    lost: list[tuple[str, int]] = []
    async with opened(tmp_path / "spool", MIN_SPOOL_BYTES, lost) as spool:
        for start in range(0, 6000, 50):
            await spool.append([event(n, 1000) for n in range(start, start + 50)], {})
        kept = await everything(spool)
        assert kept[-1] == 5999
        assert kept == list(range(kept[0], 6000))
        assert len(kept) > 2000
        (gap,) = await spool.gaps()
        assert (gap.reason, gap.count) == ("spool_full", 6000 - len(kept))
        assert (gap.from_ms, gap.to_ms) == (0, kept[0] - 1)
        assert sum(count for _, count in lost) == gap.count
        assert spool.stats.bytes <= MIN_SPOOL_BYTES
        used = sum(file.stat().st_size for file in (tmp_path / "spool").iterdir())
        assert used <= MIN_SPOOL_BYTES


async def test_held_events_wait_apart_and_are_evicted_in_their_turn(tmp_path: Path) -> None:
    async with opened(tmp_path / "spool", MIN_SPOOL_BYTES) as spool:
        await spool.append([event(1), event(2), event(3)], {})
        one, two, _ = await spool.peek(10, MIB)
        await spool.settle(Settlement(held=[one.seq, two.seq]))
        assert await everything(spool) == [3]
        assert numbers(list(await spool.peek_held(10, MIB))) == [1, 2]
        assert (spool.stats.events, spool.stats.held, spool.stats.oldest_at_ms) == (3, 2, 1)
        await spool.settle(Settlement(done=[one.seq]))
        assert (spool.stats.events, spool.stats.held) == (2, 1)
        for start in range(10, 5000, 100):
            await spool.append([event(n, 1000) for n in range(start, start + 100)], {})
        assert await spool.peek_held(10, MIB) == []
        assert spool.stats.held == 0


async def test_unclaimed_events_can_be_taken_past_claimed_ones(tmp_path: Path) -> None:
    async with opened(tmp_path / "spool") as spool:
        await spool.append([event(1, claimed_org="org_x"), event(2), event(3, 0, "org_y")], {})
        assert numbers(list(await spool.peek(10, MIB, unclaimed_only=True))) == [2]
        assert await everything(spool) == [1, 2, 3]


async def test_gap_that_was_sent_no_longer_grows(tmp_path: Path) -> None:
    async with opened(tmp_path / "spool") as spool:
        await spool.add_gap(NewGap("spool_full", 10, 20, 2))
        await spool.add_gap(NewGap("spool_full", 5, 15, 3))
        (sent,) = await spool.seal_gaps()
        assert (sent.from_ms, sent.to_ms, sent.count) == (5, 20, 5)
        await spool.add_gap(NewGap("spool_full", 30, 40, 7))
        assert await spool.seal_gaps() == [sent]
        await spool.settle(Settlement(gaps=[sent.gap_id]))
        (later,) = await spool.seal_gaps()
        assert (later.count, later.gap_id == sent.gap_id) == (7, False)


async def test_dead_letters_are_kept_with_their_reason_and_bounded(tmp_path: Path) -> None:
    async with opened(tmp_path / "spool") as spool:
        await spool.append([event(n) for n in range(MAX_DEAD_LETTERS + 5)], {})
        stored = await spool.peek(10_000, 64 * MIB)
        await spool.settle(
            Settlement(dead=[Refusal(e.seq, "invalid", f"no {e.at_ms}") for e in stored])
        )
        letters = await spool.dead_letters()
        assert len(letters) == MAX_DEAD_LETTERS
        assert (letters[0].code, letters[0].message, letters[0].payload) == (
            "invalid",
            "no 5",
            b"5",
        )
        assert spool.stats.events == 0
        assert spool.stats.dead_letters == MAX_DEAD_LETTERS


async def test_settling_an_event_that_was_evicted_meanwhile_changes_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path / "spool") as spool:
        await spool.append([event(1)], {})
        (only,) = await spool.peek(1, MIB)
        await spool.settle(Settlement(done=[only.seq]))
        await spool.settle(
            Settlement(done=[only.seq], held=[only.seq], dead=[Refusal(only.seq, "c", "m")])
        )
        assert (spool.stats.events, spool.stats.held, spool.stats.dead_letters) == (0, 0, 0)


async def test_second_process_on_the_same_spool_is_refused(tmp_path: Path) -> None:
    async with opened(tmp_path / "spool"):
        with pytest.raises(SpoolLockedError, match="another running collector"):
            async with opened(tmp_path / "spool"):
                pass
    async with opened(tmp_path / "spool") as spool:
        assert writable(spool)


async def test_files_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    async with opened(tmp_path / "spool") as spool:
        await spool.append([event(1)], {})
        assert stat.S_IMODE((tmp_path / "spool").stat().st_mode) == 0o700
        modes = {f.name: stat.S_IMODE(f.stat().st_mode) for f in (tmp_path / "spool").iterdir()}
        assert DATABASE_NAME + "-wal" in modes
        assert set(modes.values()) == {0o600}


def scribble_over(path: Path) -> None:
    path.write_bytes(b"\xa5" * 20_000)


def flip_a_page(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[2 * 4096 : 4 * 4096] = b"\xa5" * (2 * 4096)
    path.write_bytes(content)


def cut_in_half(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 8192 * 4096])


@pytest.mark.parametrize("damage", [scribble_over, flip_a_page, cut_in_half])
async def test_corrupt_file_is_set_aside_and_a_gap_recorded(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    async with opened(tmp_path / "spool") as spool:
        await spool.append([event(n, 500) for n in range(200)], {"key": b"value"})
    damage(tmp_path / "spool" / DATABASE_NAME)
    lost: list[tuple[str, int]] = []
    async with opened(tmp_path / "spool", lost=lost) as spool:
        assert writable(spool)
        assert lost == [("spool_corrupt", 0)]
        (gap,) = await spool.gaps()
        assert (gap.reason, gap.count) == ("spool_corrupt", 0)
        assert 0 < gap.from_ms <= gap.to_ms
        assert await everything(spool) == []
        assert len(list((tmp_path / "spool").glob(f"{DATABASE_NAME}.corrupt-*"))) == 1
        await spool.append([event(1)], {})
        assert await everything(spool) == [1]


async def test_corruption_found_while_running_starts_anew_and_breaks_the_fence(
    tmp_path: Path,
) -> None:
    lost: list[tuple[str, int]] = []
    async with opened(tmp_path / "spool", lost=lost) as spool:
        await spool.append([event(n, 2000) for n in range(200)], {})
        old = (await spool.peek(1, MIB))[0]
        fence = (await spool.load_state()).fence
        with contextlib.suppress(SpoolUnavailableError):
            await spool._order(lambda database: database.disconnect())  # so nothing is cached
        flip_a_page(tmp_path / "spool" / DATABASE_NAME)
        with pytest.raises(SpoolUnavailableError):
            await spool.append([event(1)], {}, fence=fence)
        assert lost == [("spool_corrupt", 0)]
        await spool.append([event(2)], {}, fence=(await spool.load_state()).fence)
        await spool.settle(Settlement(done=[old.seq]))  # a number of the lost file names nothing
        assert await everything(spool) == [2]


async def test_spool_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    async with opened(tmp_path / "spool") as spool:
        await spool.append([event(1)], {})
    path = tmp_path / "spool" / DATABASE_NAME
    content = bytearray(path.read_bytes())
    content[60:64] = (99).to_bytes(4, "big")  # user_version in SQLite's header
    path.write_bytes(content)
    with pytest.raises(SpoolError, match="format 99"):
        async with opened(tmp_path / "spool"):
            pass
    assert path.read_bytes() == bytes(content)


async def test_arrival_wakes_a_waiting_reader(tmp_path: Path) -> None:
    async with opened(tmp_path / "spool") as spool:
        waiting = asyncio.create_task(spool.arrival(timeout_seconds=30))
        await asyncio.sleep(0)
        await spool.append([event(1)], {})
        assert await waiting is True
        assert await spool.arrival(timeout_seconds=0.001) is False


async def test_file_shrinks_again_once_the_backlog_is_gone(tmp_path: Path) -> None:
    async with opened(tmp_path / "spool") as spool:
        await spool.append([event(n, 1000) for n in range(8000)], {})
        stored = await spool.peek(8000, 64 * MIB)
        await spool.settle(Settlement(done=[e.seq for e in stored]))
        for _ in range(20):
            await spool.probe()
    assert (tmp_path / "spool" / DATABASE_NAME).stat().st_size < 2 * MIB


@pytest.mark.parametrize("garbage", [b"", b"\xa5" * 100], ids=["torn", "torn and scribbled"])
async def test_torn_write_ahead_log_leaves_a_prefix(tmp_path: Path, garbage: bytes) -> None:
    """Truncate the log at offsets through every frame: what remains is a committed prefix."""
    source = tmp_path / "source"
    async with opened(source) as spool:
        for n in range(6):
            await spool.append([event(n, 700), event(n, 700)], {"last": str(n).encode()})
        shutil.copytree(source, tmp_path / "copy")
    log = (tmp_path / "copy" / (DATABASE_NAME + "-wal")).read_bytes()
    database = (tmp_path / "copy" / DATABASE_NAME).read_bytes()
    frame = 4096 + 24
    edges = {32 + k * frame + d for k in range(len(log) // frame + 1) for d in (-1, 0, 1, 23, 24)}
    offsets = sorted({*edges, *range(0, len(log), 1511)} & set(range(len(log) + 1)))
    seen: set[int] = set()
    for offset in offsets:
        target = tmp_path / "torn"
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        (target / DATABASE_NAME).write_bytes(database)
        (target / (DATABASE_NAME + "-wal")).write_bytes(log[:offset] + garbage)
        lost: list[tuple[str, int]] = []
        async with opened(target, lost=lost) as spool:
            found = await everything(spool)
            state = (await spool.load_state("last")).values
        assert not lost
        assert found == [n for n in range(len(found) // 2) for _ in range(2)]
        assert state == ({"last": str(found[-1]).encode()} if found else {})
        seen.add(len(found) // 2)
    assert seen == set(range(7))
