"""Kills replicas while they deliver, and compares what arrived with what is on record.

Owns `kill_deliveries`. Called by the torture test and by its short version in `make test`.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path

from radar_audit_hub.retention.policy import Floors
from radar_audit_hub.store import notify_attempts, notify_messages
from radar_audit_hub.store.database import Database
from sqlalchemy import text

from tests.support.hub_builder import ORG
from tests.support.notify_worker import fast_ms
from tests.support.notify_world import NotifyWorld, webhook
from tests.support.receivers import Receiver

WORKER = Path(__file__).with_name("notify_worker.py")
_DESTINATIONS = 6
_BETWEEN = 4  # requests between two kills, at least


async def kill_deliveries(
    world: NotifyWorld, url: str, inbox: Receiver, *, messages: int, kills: int, seed: int
) -> None:
    """Put messages, let two replicas deliver them, kill one `kills` times, and check.

    Each arrives under its one id; each attempt has one row, made before its request went out.
    """
    order = random.Random(seed)
    ids = await _put(world, inbox, messages)
    ca_file = str(world.hub.settings.notify.ca_file)
    server = await asyncio.create_subprocess_exec(
        sys.executable, str(WORKER), url, ca_file,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    workers = [await _fork(server) for _ in range(2)]
    try:
        for _ in range(kills):
            wanted = len(inbox.got) + _BETWEEN
            await inbox.wait_for(lambda wanted=wanted: len(inbox.got) >= wanted)  # type: ignore[misc]
            await asyncio.sleep(order.uniform(0, 0.01))
            os.kill(workers.pop(0), signal.SIGKILL)
            workers.append(await _fork(server))
        await _all_settled(world.hub.db)
    finally:
        for pid in workers:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert server.stdin is not None
        server.stdin.close()
        await server.wait()
    await _compare(world.hub.db, ids, Counter(inbox.ids), kills)


async def _put(world: NotifyWorld, inbox: Receiver, messages: int) -> list[str]:
    names = [f"d{number}" for number in range(_DESTINATIONS)]
    await world.set_destinations([webhook(name, f"{inbox.url}/{name}") for name in names])
    world.under_test.clock.now_ms = fast_ms()
    share = messages // len(names)
    return [made for name in names for made in await world.put(name, share)]


async def _fork(server: asyncio.subprocess.Process) -> int:
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(b"\n")
    return int(await server.stdout.readline())


async def _all_settled(db: Database) -> None:
    async with asyncio.timeout(120):
        while True:
            async with db.read() as conn:
                if await notify_messages.count_pending(conn) == 0:
                    return
            await asyncio.sleep(0.05)


async def _compare(db: Database, ids: list[str], arrived: Counter[str], kills: int) -> None:
    assert set(arrived) == set(ids)
    unknown = made = 0
    async with db.read() as conn:
        for message_id in ids:
            stored = await notify_messages.get_message(conn, ORG, message_id, Floors(0))
            rows = (await notify_attempts.attempts_of(conn, ORG, [message_id]))[message_id]
            assert stored is not None
            assert (stored.state, stored.attempts) == ("delivered", len(rows))
            assert [row.number for row in rows] == list(range(1, len(rows) + 1))
            outcomes = [row.outcome for row in rows]
            # Twice only where a replica was so slow that its lane ran out meanwhile.
            assert "delivered" in outcomes
            lost = outcomes.count(None)
            unknown, made = unknown + lost, made + len(rows)
            # Who was killed may have been so before or after its request went out.
            assert len(rows) - lost <= arrived[message_id] <= len(rows)
        count = (await conn.execute(text("SELECT count(*) FROM notify_attempt"))).scalar_one()
    assert count == made
    # A replica works a message at a time in each of its lanes.
    assert unknown <= kills * _DESTINATIONS
