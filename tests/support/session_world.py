"""A made-up cluster life: terminals opened, closed and refused, as audit lines in time order.

Owns what should be in the log afterwards. Called by the torture tests and their
short versions. It also says how the lines reach the collector: into a log file
that rotates, and to its webhook shuffled, doubled and in parts.
"""

from __future__ import annotations

import asyncio
import gzip
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import aiohttp

from tests.support.audit_lines import audit_line, event_list

Fact = tuple[str, str, int | None]  # action, session id or pod, duration in ms
_POST_PAUSE_SECONDS = 0.05
_ROTATE_EVERY = 150  # lines


class SessionWorld:
    """`count` requests, of which one in eight is refused and one in eight is no terminal."""

    def __init__(self, count: int, seed: int) -> None:
        """Make the lines; the same seed makes the same world."""
        self._random = random.Random(seed)
        self.expected: Counter[Fact] = Counter()
        timed: list[tuple[float, bytes]] = []
        for number in range(count):
            timed += self._request(number)
        self.lines = [line for _, line in sorted(timed)]

    def _request(self, number: int) -> list[tuple[float, bytes]]:
        audit_id = str(UUID(int=self._random.getrandbits(128), version=4))
        received = number * 0.5
        pod = f"pod-{number}"
        kind = self._random.randrange(8)
        if kind == 0:
            # A user agent and pod of its own, so that no refusal is another one's retry.
            self.expected["cluster.action_denied", pod, None] += 1
            return [
                (
                    received + s,
                    audit_line(audit_id, stage, 403, received=received, after=s, pod=pod),
                )
                for stage, s in (("ResponseStarted", 0.001), ("ResponseComplete", 0.002))
            ]
        duration_ms = self._random.randrange(1, 30_000)
        query = "container=app&stdin=true&stdout=true"
        if kind != 1:
            query += "&tty=true"
            self.expected["pod.exec_started", audit_id, None] += 1
            self.expected["pod.exec_ended", audit_id, duration_ms] += 1
        stages = (("ResponseStarted", 0.004), ("ResponseComplete", 0.004 + duration_ms / 1000))
        return [
            (
                received + s,
                audit_line(audit_id, stage, received=received, after=s, pod=pod, query=query),
            )
            for stage, s in stages
        ]

    async def write_log(self, path: Path, pause_seconds: float) -> None:
        """Write the lines with a pause after each, rotating the file now and then."""
        rotations = 0
        for number, line in enumerate(self.lines):
            with path.open("ab") as file:
                if number % 7 == 3:  # the reader may find half a line
                    file.write(line[:50])
                    file.flush()
                    await asyncio.sleep(pause_seconds)
                    file.write(line[50:] + b"\n")
                else:
                    file.write(line + b"\n")
            await asyncio.sleep(pause_seconds)
            if number % _ROTATE_EVERY == _ROTATE_EVERY - 1:
                _rotate(path, rotations)
                rotations += 1

    async def post(self, url: Callable[[], str], token: str) -> None:
        """Post every line to the webhook at least once, as the API server's backend would."""
        batches: list[list[bytes]] = []
        rest = list(self.lines)
        while rest:
            size = self._random.randrange(1, 40)
            batch, rest = rest[:size], rest[size:]
            if self._random.random() < 0.3:
                batch = batch + batch[: len(batch) // 2]
            self._random.shuffle(batch)
            batches.append(batch)
            if self._random.random() < 0.2:
                batches.append(batch)
        for at in range(len(batches) - 1):
            if self._random.random() < 0.4:
                batches[at], batches[at + 1] = batches[at + 1], batches[at]
        timeout = aiohttp.ClientTimeout(total=5)
        async with aiohttp.ClientSession(timeout=timeout) as client:
            for batch in batches:
                taken = False
                while not taken:
                    taken = await _delivered(client, url(), token, event_list(batch))
                    await asyncio.sleep(_POST_PAUSE_SECONDS)


def _rotate(path: Path, number: int) -> None:
    """Rotate as lumberjack does; every other old file is packed at once."""
    stamp = f"2026-11-24T{number // 60:02d}-{number % 60:02d}-00.000"
    aside = path.rename(path.with_name(f"{path.stem}-{stamp}{path.suffix}"))
    path.touch()
    if number % 2:
        packed = aside.with_name(aside.name + ".gz")
        packed.write_bytes(gzip.compress(aside.read_bytes()))
        aside.unlink()


async def _delivered(client: aiohttp.ClientSession, url: str, token: str, body: bytes) -> bool:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    try:
        async with client.post(url, data=body, headers=headers) as answer:
            return answer.status == 200
    except (aiohttp.ClientError, OSError, TimeoutError):
        return False
