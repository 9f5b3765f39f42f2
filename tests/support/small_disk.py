"""Runs a spool on a tiny filesystem of its own and tells what happened, as JSON.

Started by `test_spool_faults` in a mount namespace of its own:
`unshare -m python small_disk.py DIRECTORY`. It needs no other privilege than mounting there.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

from radar_audit_collector.errors import SpoolUnavailableError
from radar_audit_collector.spool import Spool
from radar_audit_collector.spool_records import NewEvent, Settlement

DISK = "16m"
BOUND_BYTES = 64 * 1024 * 1024  # more than the disk has: the disk's end comes first


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def numbered(number: int) -> NewEvent:
    return NewEvent(number, None, str(number).encode().ljust(2000))


def fill_up(path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    with contextlib.suppress(OSError):
        while True:
            os.write(descriptor, b"x" * 4096)
    os.close(descriptor)


async def append_until_refused(spool: Spool, first: int) -> int:
    """Append numbered events until one is refused; return the first number that was not kept."""
    number = first
    while True:
        try:
            await spool.append([numbered(number)], {})
        except SpoolUnavailableError:
            return number
        number += 1


async def is_refused(spool: Spool) -> bool:
    try:
        await spool.probe()
    except SpoolUnavailableError:
        return True
    return False


async def stored(spool: Spool) -> list[int]:
    return [int(e.payload) for e in await spool.peek(10**6, 1 << 40)]


async def main(directory: Path) -> dict[str, object]:
    mount("-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(directory))
    spool = Spool(directory / "spool", BOUND_BYTES)
    await spool.open()
    report: dict[str, object] = {}
    kept = 300
    for number in range(kept):
        await spool.append([numbered(number)], {})
    filler = directory / "filler"
    fill_up(filler)  # somebody else's file takes the last block
    report["said_full_before_an_append_failed"] = await is_refused(spool)
    kept = await append_until_refused(spool, kept)
    report["kept_exactly_what_was_acknowledged"] = await stored(spool) == list(range(kept))
    report["not_writable_when_full"] = not spool.is_writable
    for chunk in range(4):
        batch = await spool.peek(kept // 4 + 1, 1 << 40)
        await spool.settle(Settlement(done=[e.seq for e in batch]))
        report[f"settled_{chunk}"] = len(batch)
    report["empty_after_settling"] = await stored(spool) == []
    filler.unlink()
    await spool.append([NewEvent(1, None, b"1")], {})
    report["accepts_again"] = await stored(spool) == [1]
    report["writable_again"] = spool.is_writable

    with contextlib.suppress(SpoolUnavailableError):
        # An open file keeps `mount` from doing what the kernel does to a failing disk.
        await spool._order(lambda database: database.disconnect())
    mount("-o", "remount,ro", str(directory))
    report["read_only_refused_at"] = await append_until_refused(spool, 2)
    report["not_writable_when_read_only"] = not spool.is_writable
    mount("-o", "remount,rw", str(directory))
    await spool.append([NewEvent(2, None, b"2")], {})
    report["after_remount"] = await stored(spool)
    await spool.close()
    return report


if __name__ == "__main__":
    json.dump(asyncio.run(main(Path(sys.argv[1]))), sys.stdout)
