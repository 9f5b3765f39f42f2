"""Kills replicas while they do outgoing work, and counts what came of it.

Owns `kill_workers`. Called by the torture test and by its short version in `make test`.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from pathlib import Path

from radar_audit_hub.outbox.job import AT_ONCE
from radar_audit_hub.store import outbox
from radar_audit_hub.store.database import Database
from radar_audit_hub.store.schema_outbox import outbox as outbox_table
from sqlalchemy import update

from tests.support.outbox_worker import NUMBERS

WORKER = Path(__file__).with_name("outbox_worker.py")
_WAIT_SECONDS = 100  # for what other processes do on a busy machine
_BETWEEN = 8  # lines that are written between two kills, at least


async def kill_workers(url: str, done: Path, *, rows: int, kills: int, seed: int) -> None:
    """Put `rows` pieces of work, let two replicas do them, kill one `kills` times, and check.

    Every piece must have been done, and only what a kill interrupted more than once. The claims
    of who was killed are ended by hand: those of a replica that only stood still stay its own.
    """
    lines = _Lines(done)
    db = await Database.open(url)
    await _put(db, rows)
    order = random.Random(seed)
    workers = [await _start(url, done, number) for number in range(2)]
    try:
        for number in range(kills):
            await _more_lines(lines, order)
            victim = workers.pop(0)
            victim.kill()
            await victim.wait()
            await _end_claims(db, number + 1)
            workers.append(await _start(url, done, number + 2))
        await _all_settled(db, kills)
    finally:
        for worker in workers:
            worker.kill()
            await worker.wait()
        await db.close()
    found = lines.read()
    assert {int(line[6:]) for line in found if line.startswith("ended-")} == set(range(rows))
    assert len(found) - 2 * rows <= kills * AT_ONCE * 2


class _Lines:
    """The file that the replicas write to."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.touch()

    def read(self) -> list[str]:
        return self._path.read_text().split()


async def _put(db: Database, rows: int) -> None:
    now_ms = time.time_ns() // 1_000_000
    async with db.write() as conn:
        for number in range(rows):
            payload = {"number": number}
            await outbox.put(conn, kind="k", dedup_key=str(number), payload=payload, now_ms=now_ms)


async def _start(url: str, done: Path, number: int) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, str(WORKER), url, str(done), str(number)
    )


async def _end_claims(db: Database, dead: int) -> None:
    """End the claims of the replicas with a number below `dead`."""
    claims = outbox_table.c
    whose = claims.claimed_until % NUMBERS
    async with db.write() as conn:
        await conn.execute(
            update(outbox_table)
            .where(claims.done_at.is_(None), claims.claimed_until > 0, whose < dead)
            .values(claimed_until=0)
        )


async def _more_lines(lines: _Lines, order: random.Random) -> None:
    wanted = len(lines.read()) + _BETWEEN
    async with asyncio.timeout(_WAIT_SECONDS):  # or the replicas do no work
        while len(lines.read()) < wanted:  # noqa: ASYNC110 - what other processes do
            await asyncio.sleep(order.uniform(0.005, 0.02))


async def _all_settled(db: Database, dead: int) -> None:
    async with asyncio.timeout(_WAIT_SECONDS):  # or some work is never done
        while True:
            async with db.read() as conn:
                if (await outbox.waiting(conn)).pending == 0:
                    return
            await asyncio.sleep(0.05)
            await _end_claims(db, dead)  # what a server committed after the death of who asked
