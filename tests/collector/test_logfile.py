"""Following a log over rotation, archives, truncation, restarts and half-written lines."""

from __future__ import annotations

import asyncio
import gzip
import os
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from radar_audit_collector.capture.follow import LogfileError
from radar_audit_collector.capture.lines import LineSplitter
from radar_audit_collector.capture.logfile import LogfileSource
from radar_audit_collector.capture.record import AuditRecord

from tests.support.audit_lines import ARGV_SECRET
from tests.support.rotating_log import Reader, RotatingLog

Opener = Callable[[], Reader]


@pytest.fixture
def log(tmp_path: Path) -> RotatingLog:
    return RotatingLog(tmp_path)


@pytest.fixture
def read(log: RotatingLog) -> Iterator[Opener]:
    readers: list[Reader] = []

    def open_reader() -> Reader:
        readers.append(Reader(log.path))
        return readers[-1]

    yield open_reader
    for reader in readers:
        reader.close()


def ids(count: int, first: int = 0) -> list[str]:
    return [f"id-{n}" for n in range(first, count)]


def test_lines_come_as_they_are_written(log: RotatingLog, read: Opener) -> None:
    reader = read()
    assert reader.drain() == []  # the file is not there yet
    log.write(2)
    assert reader.drain() == ids(2)
    log.write(30)
    assert reader.drain() == ids(32)


def test_partial_line_waits_for_its_rest(log: RotatingLog, read: Opener) -> None:
    log.write(1)
    log.write(1, end=b"")
    reader = read()
    assert reader.drain() == ids(1)
    reader.restart()
    with log.path.open("ab") as file:
        file.write(b"\n")
    assert reader.drain() == ids(2)


def test_restart_goes_on_after_the_last_durable_line(log: RotatingLog, read: Opener) -> None:
    log.write(20)
    reader = read()
    reader.step()
    assert 0 < len(reader.seen) < 20
    reader.restart(lose_step=True)
    assert reader.drain() == ids(20)


@pytest.mark.parametrize("compress", [False, True])
def test_rotation_while_running_loses_nothing(
    log: RotatingLog, read: Opener, compress: bool
) -> None:
    log.write(3)
    reader = read()
    reader.drain()
    log.write(3)
    log.rotate(compress=compress)
    log.write(3)
    log.rotate(compress=compress)
    log.write(3)
    assert reader.drain() == ids(12)


@pytest.mark.parametrize(
    "compress", [(False, False, False), (True, True, True), (True, False, False)]
)
def test_several_rotations_while_down_lose_nothing(
    log: RotatingLog, read: Opener, compress: tuple[bool, ...]
) -> None:
    log.write(15)
    reader = read()
    reader.step()
    for each in compress:
        log.write(5)
        log.rotate(compress=each)
    log.write(5)
    reader.restart()
    assert reader.drain() == ids(35)
    reader.restart()
    log.write(1)
    assert reader.drain() == ids(36)


def test_restart_inside_a_compressed_file_goes_on_there(log: RotatingLog, read: Opener) -> None:
    log.write(30)
    reader = read()
    reader.step()
    log.rotate(compress=True)
    log.write(1)
    reader.restart()
    reader.step()
    assert len(reader.seen) < 20
    reader.restart()
    assert reader.drain() == ids(31)


def test_archive_that_is_being_written_is_not_read(log: RotatingLog, read: Opener) -> None:
    log.write(3)
    reader = read()
    reader.step()
    log.write(3)
    aside = log.rotate()
    aside.with_name(aside.name + ".gz").write_bytes(gzip.compress(aside.read_bytes())[:50])
    log.write(3)
    reader.restart()
    assert reader.drain() == ids(9)


@pytest.mark.parametrize("keep_bytes", [0, 20, 300])
def test_damaged_archive_is_told_once_and_passed_over(
    log: RotatingLog, read: Opener, keep_bytes: int
) -> None:
    log.write(3)
    reader = read()
    reader.drain()
    log.rotate()
    log.write(200)
    archive = log.rotate(compress=True)
    archive.write_bytes(archive.read_bytes()[:keep_bytes])
    log.write(3)
    seen = reader.drain()
    assert seen[:3] + seen[-3:] == ids(3) + ids(206, 203)
    # An empty file is an archive without content to gzip: nothing to tell.
    assert seen.count("archive_unreadable") == (0 if keep_bytes == 0 else 1)
    reader.restart()
    log.write(1)
    assert reader.drain()[-1] == "id-206"


def test_oldest_file_that_was_deleted_is_told_and_the_rest_is_read(
    log: RotatingLog, read: Opener
) -> None:
    log.write(3)
    reader = read()
    reader.drain()
    log.write(3)
    gone = log.rotate()
    log.write(3)
    log.rotate()
    log.write(3)
    gone.unlink()
    reader.restart()
    assert reader.drain() == [*ids(3), "checkpoint_lost", *ids(12, 6)]


def test_other_way_of_renaming_is_followed(log: RotatingLog, read: Opener) -> None:
    log.write(3)
    reader = read()
    reader.drain()
    log.write(2)
    log.path.rename(log.path.with_name("audit.log.1"))
    log.write(2)
    assert reader.drain() == ids(7)
    reader.restart()
    log.write(1)
    log.path.rename(log.path.with_name("audit.log.2"))
    log.write(1)
    reader.restart()
    assert reader.drain() == ids(9)


def test_new_file_with_the_inode_of_the_old_one_is_read_from_its_beginning(
    log: RotatingLog,
    read: Opener,
) -> None:
    log.write(5)
    reader = read()
    reader.drain()
    log.path.write_bytes(b"")  # the same inode, as if it had been used again
    log.write(20)
    reader.restart()
    assert reader.drain() == [*ids(5), "checkpoint_lost", *ids(25, 5)]


@pytest.mark.parametrize("lines", [1, 20])
def test_truncated_file_is_read_anew_even_if_it_grew_past_the_place(
    log: RotatingLog, read: Opener, lines: int
) -> None:
    log.write(5)
    reader = read()
    reader.drain()
    os.truncate(log.path, 0)
    log.write(lines)
    assert reader.drain() == [*ids(5), "file_truncated", *ids(5 + lines, 5)]


def test_truncation_while_down_is_told(log: RotatingLog, read: Opener) -> None:
    log.write(30)
    reader = read()
    reader.drain()
    os.truncate(log.path, 5000)
    reader.restart()
    reader.drain()
    assert reader.seen[30] == "file_truncated"
    assert reader.seen[31:34] == ids(3)


def test_overlong_line_is_skipped_and_told(log: RotatingLog, read: Opener) -> None:
    log.write(1)
    with log.path.open("ab") as file:
        file.write(b"x" * 100_000)
    reader = read()
    assert reader.drain() == ["id-0", "line_too_long"]
    with log.path.open("ab") as file:
        file.write(b"x" * 100_000 + b"\n" + b"y" * 9000 + b"\n")
    log.write(1)
    assert reader.drain() == ["id-0", "line_too_long", "line_too_long", "id-1"]
    reader.restart()
    log.write(1)
    assert reader.drain()[-1] == "id-2"


def test_last_line_of_a_rotated_file_needs_no_newline(log: RotatingLog, read: Opener) -> None:
    log.write(1, end=b"")
    reader = read()
    assert reader.drain() == []
    log.rotate()
    log.write(1)
    assert reader.drain() == ids(2)


def test_file_that_cannot_be_read_is_said_in_one_sentence(tmp_path: Path) -> None:
    folder = tmp_path / "audit.log"
    folder.mkdir()
    with pytest.raises(LogfileError, match=r"audit\.log cannot be read \(.*\): give"):
        Reader(folder).step()


def test_checkpoint_holds_no_content(log: RotatingLog, read: Opener) -> None:
    log.write(3)
    reader = read()
    reader.drain()
    assert reader.checkpoint is not None
    assert ARGV_SECRET.encode() not in reader.checkpoint
    assert b"id-" not in reader.checkpoint


ACTIONS = ("write", "write", "write", "rotate", "compress", "step", "step", "restart", "lose")


@given(st.lists(st.sampled_from(ACTIONS), max_size=40), st.sampled_from([600, 4096, 100_000]))
@settings(max_examples=150, deadline=None)
def test_any_order_of_writes_rotations_and_crashes_gives_each_line_once(
    tmp_path_factory: pytest.TempPathFactory, actions: list[str], chunk_bytes: int
) -> None:
    log = RotatingLog(tmp_path_factory.mktemp("log"))
    log.write(1)
    reader = Reader(log.path, chunk_bytes=chunk_bytes)
    reader.step()
    for action in actions:
        match action:
            case "write":
                log.write(2)
            case "rotate":
                log.rotate()
            case "compress":
                log.rotate(compress=True)
            case "step":
                reader.step()
            case "restart":
                reader.restart()
            case _:
                reader.restart(lose_step=True)
    seen = reader.drain()
    reader.close()
    assert seen == ids(log.written)


def test_writer_that_rotates_while_it_is_read_loses_nothing(log: RotatingLog, read: Opener) -> None:
    log.write(1)
    reader = read()
    reader.drain()
    chance = random.Random(7)

    def write() -> None:
        for number in range(40):
            log.write(chance.randint(0, 30))
            if number % 2:
                log.rotate(compress=chance.random() < 0.5)

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        while not writing.done():
            if chance.random() < 0.1:
                reader.restart(lose_step=chance.random() < 0.5)
            reader.step()
        writing.result()
    assert reader.drain() == ids(log.written)


@given(
    st.lists(st.binary(max_size=40).map(lambda b: b.replace(b"\n", b"")), max_size=12),
    st.integers(1, 9),
)
def test_lines_do_not_depend_on_how_the_stream_is_cut(lines: list[bytes], size: int) -> None:
    stream = b"".join(line + b"\n" for line in lines)
    splitter = LineSplitter(20)
    given_lines: list[bytes | None] = []
    for start in range(0, len(stream), size):
        given_lines += splitter.feed(stream[start : start + size])
    assert given_lines == [line if len(line) <= 20 else None for line in lines if line]
    assert splitter.whole_bytes == len(stream)
    assert splitter.finish() == []


async def take(source: LogfileSource, count: int) -> tuple[list[str], bytes]:
    """Return the audit ids of the next `count` items, and the last checkpoint."""
    seen: list[str] = []
    batches = source.batches()
    async with asyncio.timeout(20):
        while len(seen) < count:
            items, checkpoint = await anext(batches)
            seen += [i.audit_id if isinstance(i, AuditRecord) else i.reason for i in items]
    await batches.aclose()
    return seen, checkpoint


async def test_source_waits_for_the_file_and_goes_on_from_its_checkpoint(log: RotatingLog) -> None:
    waiting = asyncio.create_task(take(LogfileSource(log.path, poll_seconds=0.005), 3))
    await asyncio.sleep(0.03)
    assert not waiting.done()
    log.write(3)
    seen, checkpoint = await waiting
    assert seen == ids(3)
    log.write(2)
    log.rotate(compress=True)
    log.write(2)
    again = LogfileSource(log.path, checkpoint, poll_seconds=0.005)
    assert (await take(again, 4))[0] == ids(7, 3)


async def test_unreadable_checkpoint_is_told_and_the_log_read_from_its_beginning(
    log: RotatingLog,
) -> None:
    log.write(2)
    seen, _ = await take(LogfileSource(log.path, b"\x00junk", poll_seconds=0.005), 3)
    assert seen == ["checkpoint_lost", *ids(2)]


async def test_nothing_is_read_before_it_is_asked_for(log: RotatingLog) -> None:
    log.write(40)
    source = LogfileSource(log.path, poll_seconds=0.005, chunk_bytes=4096)
    batches = source.batches()
    await anext(batches)
    await asyncio.sleep(0.03)
    current = source._follower._current
    assert current is not None
    assert current._read_bytes == 4096
    await batches.aclose()
