"""A whole line (log and webhook → collector → bad network → hub) that is disturbed while it works.

Owns `survive`: it lets a made-up cluster life happen while `disturb` does harm,
and returns what the log holds afterwards; and the two harms: ending programs
with SIGKILL, and filling the disk under the spool. Called by the torture tests
and by their short version in `make test`.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.chaos_proxy import ChaosProxy
from tests.support.collector_process import CollectorProcess
from tests.support.hub_process import HubProcess
from tests.support.session_world import Fact, SessionWorld

WEBHOOK_TOKEN = "webhook-secret-token"
_FAULT_SHARE = 0.4
_SETTLE_SECONDS = 150  # an end whose start is lost upstream is held for two minutes


Disturb = Callable[[HubProcess, CollectorProcess], Awaitable[Counter[str]]]


@dataclass(frozen=True)
class Survived:
    """What came of it: the facts expected and found, the seqs, the harm done, how often."""

    expected: Counter[Fact]
    found: Counter[Fact]
    seqs: list[int]
    harm: Counter[str]
    faults: Counter[str]


async def survive(
    folder: Path,
    database_url: str,
    disturb: Disturb,
    *,
    requests: int,
    life_seconds: float,
    seed: int,
) -> Survived:
    """Let `requests` requests happen over about `life_seconds` while `disturb` runs."""
    world = SessionWorld(requests, seed)
    hub = HubProcess(data_dir=folder / "hub", database_url=database_url)
    code, out, err = await hub.command(
        *("init", "--org-id", "org_x", "--org-name", "X", "--email", "o@example.com"),
        *("--cluster-name", "demo", "-o", "json"),
    )
    assert code == 0, err
    made = json.loads(out)
    log = folder / "audit" / "audit.log"
    log.parent.mkdir()
    log.touch()
    async with hub, ChaosProxy(hub.url, seed, _FAULT_SHARE) as proxy:
        collector = CollectorProcess(
            folder / "collector",
            proxy.url,
            token=made["cluster"]["token"],
            logfile_path=log,
            webhook_enabled=True,
            webhook_listen="127.0.0.1:0",
            webhook_insecure_loopback=True,
            webhook_token=WEBHOOK_TOKEN,
            radar_service_account="radar/radar",
            request_timeout_seconds=1,
            retry_max_seconds=0.5,
        )
        await collector.start()
        try:
            _, _, harm = await asyncio.gather(
                world.write_log(log, life_seconds / len(world.lines)),
                world.post(lambda: collector.webhook_url, WEBHOOK_TOKEN),
                disturb(hub, collector),
            )
            proxy.calm()
            expected = sum(world.expected.values())
            rows = await _settled(hub, made["pat"]["token"], collector, expected)
        finally:
            await collector.kill()
    facts = Counter(fact for row in rows if (fact := _fact(row)) is not None)
    return Survived(world.expected, facts, sorted(r["seq"] for r in rows), harm, proxy.faults)


def killer(kills: int, seed: int) -> Disturb:
    """Return the harm of ending hub or collector `kills` times at random moments."""
    order = random.Random(seed)

    async def kill(hub: HubProcess, collector: CollectorProcess) -> Counter[str]:
        killed: Counter[str] = Counter()
        for _ in range(kills):
            await asyncio.sleep(order.uniform(0.05, 1.2))
            name = order.choice(("hub", "collector"))
            victim = hub if name == "hub" else collector
            killed[name] += 1
            await victim.kill()
            await victim.launch()
        # Whatever was killed while it started comes up for good now.
        await hub.kill()
        await hub.start()
        await collector.kill()
        await collector.start()
        return killed

    return kill


def disk_filler(folder: Path, times: int) -> Disturb:
    """Return the harm of filling the disk of `folder` to the last byte and freeing it again."""

    async def fill(_hub: HubProcess, collector: CollectorProcess) -> Counter[str]:
        done: Counter[str] = Counter()
        filler = folder / "filler"
        for _ in range(times):
            await asyncio.sleep(2)
            # A clean end empties SQLite's journal: what comes next needs room that is not there.
            await collector.terminate()
            await collector.start()
            await asyncio.to_thread(_fill, filler)
            done["filled"] += 1
            for _ in range(50):
                await asyncio.sleep(0.1)
                if "spool" in await collector.ready():
                    done["noticed"] += 1
                    break
            await asyncio.sleep(1)
            filler.unlink()
        return done

    return fill


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))


async def _settled(
    hub: HubProcess, pat: str, collector: CollectorProcess, expected: int
) -> list[dict[str, Any]]:
    """Wait until nothing is under way any more and return the log's rows."""
    loop = asyncio.get_running_loop()
    until = loop.time() + _SETTLE_SECONDS
    rows: list[dict[str, Any]] = []
    quiet = 0
    while loop.time() < until and quiet < 3:
        await asyncio.sleep(1)
        rows = await _rows(hub, pat)
        empty = await collector.metric("radar_audit_collector_spool_events") == 0
        quiet = quiet + 1 if empty and sum(_fact(r) is not None for r in rows) >= expected else 0
    return rows


async def _rows(hub: HubProcess, pat: str) -> list[dict[str, Any]]:
    async with (
        aiohttp.ClientSession() as client,
        client.get(
            f"{hub.url}/api/orgs/org_x/audit?format=ndjson",
            headers={"Authorization": f"Bearer {pat}"},
        ) as answer,
    ):
        assert answer.status == 200
        return [json.loads(line) for line in (await answer.read()).splitlines()]


def _fact(row: dict[str, Any]) -> Fact | None:
    metadata = row["metadata"]
    if row["action"] == "cluster.action_denied":
        return row["action"], metadata["pod"], None
    if row["action"].startswith("pod."):
        return row["action"], metadata["session_id"], metadata.get("duration_ms")
    return None
