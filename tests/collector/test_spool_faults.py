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
from radar_audit_collector.spool import Spool
from radar_audit_collector.spool_records import NewEvent, Refusal, Settlement

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
        "kept_exactly_what_was_acknowledged": True,
        "not_writable_when_full": True,
        "empty_after_settling": True,
        "accepts_again": True,
        "writable_again": True,
        "read_only_refused_at": 2,
        "not_writable_when_read_only": True,
        "after_remount": [1, 2],
    }


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
