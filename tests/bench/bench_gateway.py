"""The gateway's relay against direct TLS, a Go reverse proxy and HAProxy.

Owns the figures of `gateway`. Called by `tests.bench`. The client, the API server in little and
each contestant are processes of their own on the same machine, so on few cores they also compete
with one another; what is compared is always measured in the same round.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.bench.gateway_field import Contestant, Field, running_field
from tests.bench.harness import Benchmark, Figure, Goal, Run, ratios

GIB, MIB, KIB = 1 << 30, 1 << 20, 1 << 10
_BULK_BYTES = GIB // 2
_REQUESTS = 6_000
_PACED = 750
_KEYS = 150
_HANDSHAKES = 400
_SESSIONS = (1_000, 2_000)
_BUSY_SESSIONS = 200
_MEMORY_ROUNDS = 3  # it hardly varies
_IDLE_SECONDS = 10.0

Values = dict[tuple[str, str], list[float]]  # by (figure, contestant), one a round


async def _measure(run: Run, field: Field) -> Values:
    values: Values = defaultdict(list)
    for number in range(run.rounds):
        run.say(f"gateway: round {number + 1} of {run.rounds}")
        for contestant in field.contestants.values():
            await _measure_once(field, contestant, values)
    return values


async def _measure_once(field: Field, contestant: Contestant, values: Values) -> None:
    def add(figure: str, value: float) -> None:
        values[figure, contestant.name].append(value)

    for proto, width in (("h2", 1), ("h1", 1), ("h2", 8)):
        before = contestant.cpu_seconds()
        told = await field.client(contestant, "bulk", proto=proto, n=_BULK_BYTES, width=width)
        cpu = contestant.cpu_seconds() - before
        add(f"bulk {proto} {width} cpu", cpu * GIB / _BULK_BYTES)
        add(f"bulk {proto} {width} rate", _BULK_BYTES / told["Seconds"])
    before = contestant.cpu_seconds()
    told = await field.client(contestant, "requests", n=_REQUESTS, width=32)
    add("requests cpu", (contestant.cpu_seconds() - before) / _REQUESTS)
    add("requests rate", _REQUESTS / told["Seconds"])
    told = await field.client(contestant, "paced", n=_PACED)
    add("paced p50", told["P50"])
    add("paced p99", told["P99"])
    told = await field.client(contestant, "keys", n=_KEYS)
    add("keys p50", told["P50"])
    add("keys p99", told["P99"])
    before = contestant.cpu_seconds()
    told = await field.client(contestant, "handshakes", n=_HANDSHAKES, width=8)
    cpu = contestant.cpu_seconds() - before
    add("handshakes rate", _HANDSHAKES / told["Seconds"])
    add("handshakes per core", _HANDSHAKES / cpu if cpu else 0)
    add("handshakes failed", told["Failures"])


@dataclass(frozen=True, slots=True)
class _Row:
    """A ratio of ours to a peer's; `note` names a figure whose medians stand beside it."""

    label: str
    figure: str
    peer: str
    goal: Goal | None
    note: str
    scale: float
    unit: str


def _at_most(bound: float) -> Goal:
    return Goal(bound, at_most=True)


def _cpu(label: str, bulk: str, peer: str, goal: Goal | None = None) -> _Row:
    return _Row(label, f"{bulk} cpu", peer, goal, f"{bulk} cpu", 1, "CPU s/GiB")


def _throughput(label: str, bulk: str, goal: Goal | None = None) -> _Row:
    return _Row(label, f"{bulk} rate", "direct", goal, f"{bulk} rate", 1 / MIB, "MiB/s")


_IN_FLIGHT, _PACE = "requests/s, 32 in flight", "p50 at 500 requests/s"
_ROWS = (
    _cpu("CPU per GiB, HTTP/2 / Go", "bulk h2 1", "go", _at_most(0.60)),
    _cpu("CPU per GiB, HTTP/2 / HAProxy", "bulk h2 1", "haproxy", _at_most(0.85)),
    _cpu("CPU per GiB, HTTP/2, eight streams / Go", "bulk h2 8", "go"),
    _cpu("CPU per GiB, HTTP/1.1 / Go", "bulk h1 1", "go"),
    _cpu("CPU per GiB, HTTP/1.1 / HAProxy", "bulk h1 1", "haproxy"),
    _throughput("throughput HTTP/2 / direct", "bulk h2 1", Goal(0.65)),
    _throughput("throughput HTTP/2, eight streams / direct", "bulk h2 8"),
    _throughput("throughput HTTP/1.1 / direct", "bulk h1 1", Goal(0.40)),
    _Row(f"{_IN_FLIGHT} / Go", "requests rate", "go", Goal(2.2), "requests rate", 1, "requests/s"),
    _Row(
        f"{_IN_FLIGHT} / HAProxy",
        "requests rate",
        "haproxy",
        Goal(0.9),
        "requests cpu",
        1e6,
        "CPU µs each",
    ),
    _Row(f"{_PACE} / direct", "paced p50", "direct", _at_most(1.35), "paced p50", 1000, "ms"),
    _Row(f"{_PACE} / Go", "paced p50", "go", _at_most(0.65), "paced p99", 1000, "ms at p99"),
    _Row("a key's echo, p50 / Go", "keys p50", "go", _at_most(1.3), "keys p99", 1000, "ms at p99"),
)


def _compared(values: Values, field: Field) -> list[Figure]:
    def note(figure: str, scale: float, unit: str) -> str:
        medians = {
            name: statistics.median(values[figure, name]) * scale
            for name in field.contestants
            if any(values[figure, name])
        }
        return ", ".join(f"{name} {value:.3g}" for name, value in medians.items()) + f" {unit}"

    figures = [
        Figure(
            row.label,
            ratios(values[row.figure, "ours"], values[row.figure, row.peer]),
            row.goal,
            note(row.note, row.scale, row.unit),
        )
        for row in _ROWS
    ]
    pairs = zip(values["keys p50", "ours"], values["keys p50", "direct"], strict=True)
    more_ms = tuple(1000 * (a - b) for a, b in pairs)
    key_note = note("keys p50", 1000, "ms")
    per_core, rate_note = values["handshakes per core", "ours"], note("handshakes rate", 1, "1/s")
    failed = values["handshakes failed", "ours"]
    return [
        *figures,
        Figure("a key's echo, p50, over direct", more_ms, _at_most(0.37), key_note, "ms"),
        Figure("terminals opened, by CPU second", tuple(per_core), Goal(400), rate_note, "1/s"),
        Figure("failures of them", tuple(failed), _at_most(0)),
    ]


@dataclass(slots=True)
class _Weights:
    """KiB of RSS by contestant, one value a round; and what only the relay is asked for."""

    each: dict[str, list[float]]
    failures: list[float]
    idle_percent: list[float]


async def _weigh(run: Run, count: int, carry_bytes: int = 0) -> _Weights:
    """Hold so many terminals open with each contestant in turn, each with fresh processes."""
    weights = _Weights(defaultdict(list), [], [])
    for number in range(min(run.rounds, _MEMORY_ROUNDS)):
        run.say(f"gateway: {count:,} terminals, round {number + 1}")
        async with fresh_field() as field:
            for name in ("ours", "go", "haproxy"):
                contestant = field.contestants[name]
                before = contestant.rss_bytes()
                async with _sessions(field, contestant, count, carry_bytes) as failures:
                    weights.each[name].append((contestant.rss_bytes() - before) / count / KIB)
                    if name == "ours":
                        weights.failures.append(failures)
                        if count == _SESSIONS[0]:
                            weights.idle_percent.append(100 * await _idle_share(contestant))
    return weights


async def _memory(run: Run) -> list[Figure]:
    figures = []
    for count in _SESSIONS:
        weights = await _weigh(run, count)
        label = f"RSS of a terminal, {count:,} open"
        figures.append(_weight_figure(label, weights, _at_most(64)))
        failures = tuple(weights.failures)
        figures.append(Figure(f"failures at {count:,}", failures, _at_most(0)))
        if weights.idle_percent:
            label, idle = f"CPU, {count:,} idle terminals", tuple(weights.idle_percent)
            figures.append(Figure(label, idle, _at_most(0.2), unit="% of a core"))
    weights = await _weigh(run, _BUSY_SESSIONS, 4 * MIB)
    label = "RSS of a terminal after 4 MiB each way"
    return [*figures, _weight_figure(label, weights, _at_most(100)), *await _stall(run)]


def _weight_figure(label: str, weights: _Weights, goal: Goal) -> Figure:
    medians = {name: statistics.median(values) for name, values in weights.each.items()}
    note = ", ".join(f"{name} {value:.0f}" for name, value in medians.items()) + " KiB"
    return Figure(label, tuple(weights.each["ours"]), goal, note, "KiB")


async def _idle_share(contestant: Contestant) -> float:
    await asyncio.sleep(1)
    before = contestant.cpu_seconds()
    await asyncio.sleep(_IDLE_SECONDS)
    return (contestant.cpu_seconds() - before) / _IDLE_SECONDS


async def _stall(run: Run) -> list[Figure]:
    idle, share, own, more = [], [], [], []
    for number in range(min(run.rounds, _MEMORY_ROUNDS)):
        run.say(f"gateway: a reader that stops, round {number + 1}")
        async with fresh_field() as field:
            ours = field.contestants["ours"]
            before = ours.rss_bytes()
            idle.append(before / MIB)
            share.append(ours.share_bytes() / MIB)
            own.append(ours.own_bytes() / MIB)
            async with _held(field, ours, "stall", proto="h1", n=GIB):
                await asyncio.sleep(1)
                more.append((ours.rss_bytes() - before) / MIB)
    note = (
        f"PSS {statistics.median(share):.1f}, its own {statistics.median(own):.1f} MiB: the rest "
    )
    note += "are pages of Python's libraries, which the collector uses as well"
    return [
        Figure("RSS of the idle relay", tuple(idle), _at_most(20), note, "MiB"),
        Figure("RSS more with a stalled reader of 1 GiB", tuple(more), _at_most(2), unit="MiB"),
    ]


@contextlib.asynccontextmanager
async def _held(
    field: Field, contestant: Contestant, work: str, **options: object
) -> AsyncIterator[bytes]:
    """Run a client that says one line and then holds what it has open."""
    process = await asyncio.create_subprocess_exec(
        *field.command(contestant, work, **options), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        yield await process.stdout.readline()
    finally:
        process.stdin.close()
        await process.wait()


@contextlib.asynccontextmanager
async def _sessions(
    field: Field, contestant: Contestant, count: int, carry_bytes: int
) -> AsyncIterator[int]:
    """Hold terminals open; give how many could not be opened."""
    async with _held(field, contestant, "sessions", n=count, after=carry_bytes) as line:
        yield int(line.partition(b'"Failures":')[2].rstrip(b"}\n"))


@contextlib.asynccontextmanager
async def fresh_field() -> AsyncIterator[Field]:
    with tempfile.TemporaryDirectory() as folder:
        async with running_field(Path(folder)) as field:
            yield field


def _surroundings(openssl: Mapping[str, str], loads: tuple[float, float]) -> Figure:
    versions = ", ".join(f"{name} {version}" for name, version in openssl.items())
    note = f"OpenSSL: {versions}; load average before and after"
    return Figure("load of the machine", loads, None, note)


async def run(run: Run) -> list[Figure]:
    """Measure all of it."""
    load = os.getloadavg()[0]
    async with fresh_field() as field:
        values = await _measure(run, field)
        openssl = field.openssl
    figures = [*_compared(values, field), *await _memory(run)]
    return [*figures, _surroundings(openssl, (load, os.getloadavg()[0]))]


GATEWAY = Benchmark(
    "gateway",
    "The gateway's relay",
    "One process each: our relay, Go's httputil.ReverseProxy, HAProxy (one thread, 64 KiB "
    "buffers, HTTP/1.1 upstream), and nothing at all; before an HTTPS server in Go, measured by a "
    "client in Go, TLS 1.3 everywhere. All run on the same cores, so time on the clock is also a "
    "matter of who else runs; CPU is that of the one process alone.",
    run,
)
