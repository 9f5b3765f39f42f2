"""The spool under kill -9, on a full and on a read-only disk, and against a model of itself."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from radar_audit_collector.errors import SpoolUnavailableError
from radar_audit_collector.spool import Spool
from radar_audit_collector.spool_records import NewEvent, NewGap, Refusal, Settlement

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


async def contents(directory: Path) -> tuple[list[int], dict[str, bytes]]:
    spool = Spool(directory, 64 * 1024 * 1024)
    await spool.open()
    try:
        events = await spool.peek(10**6, 1 << 40)
        return [int(e.payload) for e in events], (await spool.load_state()).values
    finally:
        await spool.close()


def write_until_killed(directory: Path, first: int, kill_after_seconds: float) -> int:
    """Return the number below which every event was acknowledged before the kill."""
    writer = subprocess.Popen(
        [sys.executable, str(ROOT / "tests/support/spool_writer.py"), str(directory), str(first)],
        stdout=subprocess.PIPE,
        env=ENVIRONMENT,
    )
    assert writer.stdout is not None
    acknowledged = int(writer.stdout.readline())
    timer = subprocess.Popen(["sleep", str(kill_after_seconds)])
    timer.wait()
    writer.send_signal(signal.SIGKILL)
    rest = writer.stdout.read().split(b"\n")
    writer.stdout.close()
    writer.wait()
    return max([acknowledged, *(int(n) for n in rest[:-1] if n)])


async def test_acknowledged_events_survive_kill_nine(tmp_path: Path) -> None:
    spool, following = tmp_path / "spool", 0
    for _ in range(5):
        acknowledged = await asyncio.to_thread(
            write_until_killed, spool, following, random.uniform(0.0, 0.15)
        )
        found, state = await contents(spool)
        assert found == list(range(len(found)))
        assert len(found) >= acknowledged
        assert state == {"last": str(found[-1]).encode()}
        following = len(found)


def may_mount() -> list[str] | None:
    """Return the command that gives a mount namespace of one's own here, if any does."""
    for command in (["unshare", "-m"], ["unshare", "-Urm"]):
        if shutil.which("unshare") is None:
            return None
        probe = [*command, "mount", "-t", "tmpfs", "tmpfs", tempfile.gettempdir()]
        if subprocess.run(probe, capture_output=True, check=False).returncode == 0:
            return command
    return None


async def test_full_and_read_only_disks_lose_nothing_and_pass_by_themselves(
    tmp_path: Path,
) -> None:
    command = await asyncio.to_thread(may_mount)
    if command is None:
        pytest.skip("this machine gives no mount namespace, so no small disk can be made")
    script = str(ROOT / "tests/support/small_disk.py")
    process = await asyncio.create_subprocess_exec(
        *command, sys.executable, script, str(tmp_path), stdout=subprocess.PIPE, env=ENVIRONMENT
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    report = json.loads(output)
    assert report.pop("settled_0") > 50
    assert all(report.pop(f"settled_{chunk}") > 0 for chunk in (1, 2, 3))
    assert report == {
        "said_full_before_an_append_failed": True,
        "kept_exactly_what_was_acknowledged": True,
        "not_writable_when_full": True,
        "empty_after_settling": True,
        "accepts_again": True,
        "writable_again": True,
        "read_only_refused_at": 2,
        "not_writable_when_read_only": True,
        "after_remount": [1, 2],
    }


async def filled(directory: Path) -> None:
    """Fill a spool with something in each table; a copy beside it keeps its write-ahead log."""
    spool = Spool(directory, 8 * 1024 * 1024)
    await spool.open()
    for n in range(40):
        events = [NewEvent(n, "org_x" if k % 3 else None, b'{"n":"%d"}' % n * 9) for k in range(8)]
        gaps = [NewGap("spool_full", 1, 2, 3)] if n % 20 == 0 else []
        await spool.append(events, {f"session/{n}": bytes(40)}, gaps=gaps)
    first = [event.seq for event in await spool.peek(14, 10**6)]
    await spool.settle(Settlement(first[:10], [Refusal(first[10], "c", "m")], first[11:]))
    shutil.copytree(directory, directory.with_name("running"))
    await spool.close()


def damage(directory: Path, order: random.Random) -> None:
    """Overwrite some bytes of the spool's file or of its write-ahead log, or cut it off."""
    files = [f for f in directory.glob("spool.sqlite3*") if f.suffix != ".sqlite3-shm"]
    file = order.choice([f for f in files if f.stat().st_size])
    content = bytearray(file.read_bytes())
    for _ in range(order.choice((1, 3, 20, 200))):
        content[order.randrange(len(content))] = order.choice((0, 255, order.randrange(256)))
    file.write_bytes(content[: order.randrange(len(content))] if order.random() < 0.1 else content)


async def test_damage_at_random_bytes_never_stops_the_spool(tmp_path: Path) -> None:
    await filled(tmp_path / "closed")
    for seed in range(60):
        order = random.Random(seed)
        directory = tmp_path / f"damaged-{seed}"
        source = tmp_path / ("closed" if seed % 3 else "running")
        await asyncio.to_thread(shutil.copytree, source, directory)
        await asyncio.to_thread(damage, directory, order)
        spool = Spool(directory, 8 * 1024 * 1024)
        async with asyncio.timeout(20):
            await _works(spool)
            await spool.close()


async def _works(spool: Spool) -> None:
    """Do all that the collector does, at most three times: what finds damage may fail, once."""
    for left in (2, 1, 0):
        try:
            await spool.open()
            fence = (await spool.load_state("session/")).fence
            await spool.append([NewEvent(5, None, b"1")], {"session/z": b"1"}, fence=fence)
            while events := await spool.peek(100, 10**6):
                await spool.settle(Settlement([event.seq for event in events]))
            await spool.settle(Settlement([e.seq for e in await spool.peek_held(100, 10**6)]))
            await spool.settle(Settlement(gaps=[gap.gap_id for gap in await spool.seal_gaps()]))
            assert (spool.stats.events, spool.stats.gaps, spool.is_writable) == (0, 0, True)
            return
        except SpoolUnavailableError:
            if not left:
                raise


STEP = st.one_of(
    st.tuples(st.just("append"), st.integers(1, 5)),
    st.tuples(st.just("set"), st.tuples(st.sampled_from("abc"), st.none() | st.binary(max_size=3))),
    st.tuples(st.sampled_from(["done", "dead", "held"]), st.sets(st.integers(0, 6), max_size=4)),
    st.tuples(st.just("release"), st.integers(1, 3)),
    st.tuples(st.just("restart"), st.none()),
)


class Model:
    """What the spool must hold, in plain Python."""

    def __init__(self) -> None:
        self.queue: list[int] = []
        self.held: list[int] = []
        self.dead: list[int] = []
        self.state: dict[str, bytes] = {}
        self.following = 0


async def apply(spool: Spool, model: Model, action: str, argument: object) -> None:
    if action == "append":
        fresh = range(model.following, model.following + int(str(argument)))
        model.following = fresh.stop
        model.queue += fresh
        await spool.append([NewEvent(n, None, str(n).encode()) for n in fresh], {})
    elif action == "set":
        assert isinstance(argument, tuple)
        key, value = argument
        model.state.pop(key, None)
        if value is not None:
            model.state[key] = value
        await spool.append([], {key: value})
    elif action == "release":
        stored = await spool.peek_held(int(str(argument)), 1 << 20)
        await spool.settle(Settlement(done=[e.seq for e in stored]))
        del model.held[: len(stored)]
    else:
        stored = await spool.peek(7, 1 << 20)
        places = [p for p in sorted(argument) if p < len(stored)]  # type: ignore[call-overload]
        chosen, seqs = [model.queue[p] for p in places], [stored[p].seq for p in places]
        model.queue = [n for n in model.queue if n not in chosen]
        if action == "done":
            await spool.settle(Settlement(done=seqs))
        elif action == "dead":
            model.dead += chosen
            await spool.settle(Settlement(dead=[Refusal(seq, "code", "why") for seq in seqs]))
        else:
            model.held = sorted(model.held + chosen)
            await spool.settle(Settlement(held=seqs))


@settings(max_examples=40, deadline=None)
@given(steps=st.lists(STEP, max_size=25))
def test_spool_behaves_like_plain_lists(steps: list[tuple[str, object]]) -> None:
    async def play(directory: Path) -> None:
        model = Model()
        spool = Spool(directory, 64 * 1024 * 1024)
        await spool.open()
        for action, argument in [*steps, ("restart", None)]:
            if action == "restart":
                await spool.close()
                spool = Spool(directory, 64 * 1024 * 1024)
                await spool.open()
            else:
                await apply(spool, model, action, argument)
        try:
            assert [int(e.payload) for e in await spool.peek(999, 1 << 30)] == model.queue
            assert [int(e.payload) for e in await spool.peek_held(999, 1 << 30)] == model.held
            assert sorted(int(e.payload) for e in await spool.dead_letters()) == sorted(model.dead)
            assert (await spool.load_state()).values == model.state
            assert spool.stats.events == len(model.queue) + len(model.held)
            assert spool.stats.dead_letters == len(model.dead)
        finally:
            await spool.close()

    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(play(Path(directory) / "spool"))
