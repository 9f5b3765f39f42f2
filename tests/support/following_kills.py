"""Kills replicas while they judge events by alert rules, and counts what was told.

Owns `kill_followers`. Called by the torture test and by its short version in `make test`.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections import Counter
from typing import Any

from radar_audit_events.event import Event
from radar_audit_hub.notify.content import decode

from tests.support.alerting import SHELLS, Alerting
from tests.support.following_worker import fast_ms
from tests.support.hub_builder import running_hub
from tests.support.log_rows import make_event

_SLICE_EVENTS = 7  # appended between two looks
_LOOKS = 2400  # of 50 ms at most, until all must have been told

RULES: tuple[dict[str, Any], ...] = (
    {**SHELLS, "destinations": ["plain"]},
    {**SHELLS, "name": "digest", "destinations": ["digest"], "digest_seconds": 60},
    {
        **SHELLS,
        "name": "few",
        "destinations": ["few"],
        "throttle": {"max": 5, "per_seconds": 60},
    },
    {
        **SHELLS,
        "name": "pairs",
        "destinations": ["pairs"],
        "threshold": {"count": 2, "within_seconds": 3600},
    },
)
_TO = ("plain", "digest", "few", "pairs")
DESTINATIONS = tuple({"name": name, "email": {"to": [f"{name}@acme.com"]}} for name in _TO)


async def kill_followers(url: str, *, events: int, kills: int, seed: int) -> None:
    """Append events under four rules while replicas are killed, and check what was told.

    Each event was told once by the plain rule, and is in the digests, among the first or the
    sums of the throttle, and in the pairs, once.
    """
    order = random.Random(seed)
    async with running_hub(url, migrated=True) as hub:
        hub.clock.now_ms = fast_ms()
        alerting = Alerting(hub)
        await alerting.put(*RULES, destinations=DESTINATIONS)
        workers = [await _start(url) for _ in range(2)]
        pace = max(1, events // _SLICE_EVENTS // (kills + 1))
        ids: list[str] = []
        try:
            while len(ids) < events:
                hub.clock.now_ms = fast_ms()
                ids += await hub.append(*_events(len(ids), hub.clock.now_ms))
                await asyncio.sleep(order.uniform(0.01, 0.05))
                if len(ids) // _SLICE_EVENTS % pace == 0 and kills:
                    kills -= 1
                    await _until_told(alerting, order)
                    victim = workers.pop(0)
                    victim.kill()
                    await victim.wait()
                    workers.append(await _start(url))
            await _until_all_is_told(alerting, len(ids))
        finally:
            for worker in workers:
                worker.kill()
                await worker.wait()
        check(await alerting.stored(), ids)


async def _start(url: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.following_worker", url
    )


def _events(first: int, now_ms: int) -> list[Event]:
    return [make_event(first + n, created_at_ms=now_ms) for n in range(_SLICE_EVENTS)]


async def _until_told(alerting: Alerting, order: random.Random) -> None:
    """Wait until somebody has judged something, so that the kill comes while work is done."""
    before = await alerting.cursor()
    for _ in range(_LOOKS):
        if (await alerting.cursor()).version > before.version:
            return
        await asyncio.sleep(order.uniform(0.0, 0.05))
    raise AssertionError("the replicas do no work")


async def _until_all_is_told(alerting: Alerting, count: int) -> None:
    for _ in range(_LOOKS):
        cursor = await alerting.cursor()
        told = sum(1 for row in await alerting.stored() if row.rule == "shells")
        if told == count and cursor is not None and await alerting.waiting() == 0:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("some events are never told")


def check(rows: list[Any], ids: list[str]) -> None:
    """Assert that messages tell each event once by each of the rules; pairs but for an odd one."""
    contents = [decode(row.payload) for row in rows]
    plain = Counter(c.events[0]["id"] for c in contents if c.rule == "shells")
    assert plain == Counter(ids)
    totals = Counter[str]()
    for content in contents:
        totals[content.rule] += content.total
    assert totals["digest"] == len(ids)
    assert totals["few"] == len(ids)
    assert totals["pairs"] == len(ids) - len(ids) % 2
