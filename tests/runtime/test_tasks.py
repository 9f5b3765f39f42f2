"""Guards tasks and the life of a process: no end goes unnoticed, no stop hangs."""

from __future__ import annotations

import asyncio
import logging
import signal
import subprocess
import sys

import pytest
from radar_audit_runtime.tasks import Tasks

_PROGRAM = """
import asyncio, sys
from radar_audit_runtime.tasks import Tasks, harden_process, run_until_signal
tasks = Tasks()
def work(name):
    async def run():
        try:
            await asyncio.sleep(600)
        finally:
            print("stopped", name, flush=True)
    return run
async def main():
    assert not asyncio.get_running_loop().get_debug()
    tasks.start("first", work("first"))
    tasks.start("second", work("second"))
    await asyncio.sleep(0)
    print("started", flush=True)
    if "end" in sys.argv:
        raise RuntimeError("main broke")
    await asyncio.sleep(600)
async def drain():
    if "hang" in sys.argv:
        print("draining", flush=True)
        await asyncio.sleep(600)
    await tasks.stop()
sys.exit(run_until_signal(main, drain, float(sys.argv[1])))
"""


def program(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-X", "dev", "-W", "error", "-c", _PROGRAM, *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_in_the_reverse_order_of_start(number: signal.Signals) -> None:
    with program("60") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        process.send_signal(number)
        out, err = process.communicate()
    assert out.splitlines() == ["stopped second", "stopped first"]
    assert (process.returncode, err) == (0, "")


def test_a_drain_is_cut_when_its_time_is_over() -> None:
    with program("0.05", "hang") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate()
    assert process.returncode == 1
    assert "the drain was cut short" in err


def test_a_second_signal_does_not_wait_for_the_drain() -> None:
    with program("600", "hang") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "draining\n"
        process.send_signal(signal.SIGTERM)
        process.communicate()
    assert process.returncode == 1


def test_a_main_that_breaks_is_drained_and_ends_with_an_error() -> None:
    with program("60", "end") as process:
        out, err = process.communicate()
    assert out.splitlines() == ["started", "stopped second", "stopped first"]
    assert process.returncode == 1
    assert "the process ends after an error" in err


async def test_an_unexpected_end_is_logged_and_readiness_falls(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def breaks() -> None:
        raise RuntimeError("no disk")

    tasks = Tasks()
    tasks.start("deliver", breaks)
    await asyncio.gather(*tasks._running.values())
    assert not tasks.healthy()
    assert tasks.failed() == ("deliver",)
    (record,) = caplog.records
    assert (record.levelno, record.__dict__["task"]) == (logging.ERROR, "deliver")
    assert record.exc_info is not None
    await tasks.stop()


async def test_a_task_is_restarted_as_often_as_its_owner_chose() -> None:
    runs = 0

    async def ends() -> None:
        nonlocal runs
        runs += 1

    tasks = Tasks()
    tasks.start("tail", ends, restarts=2, pause_seconds=0)
    await asyncio.gather(*tasks._running.values())
    assert not tasks.healthy()
    assert runs == 3


async def test_tasks_stop_one_after_the_other_the_last_first() -> None:
    stopped: list[str] = []
    running = asyncio.Event()

    async def first() -> None:
        try:
            await asyncio.sleep(600)
        finally:
            await asyncio.sleep(0)
            stopped.append("first")

    async def second() -> None:
        running.set()
        try:
            await asyncio.sleep(600)
        finally:
            for _ in range(5):
                await asyncio.sleep(0)
            stopped.append("second")

    tasks = Tasks()
    tasks.start("first", first)
    tasks.start("second", second)
    await running.wait()
    await tasks.stop()
    assert stopped == ["second", "first"]
    assert tasks.healthy()


def test_a_hardened_process_writes_no_core_file() -> None:
    code = (
        "from radar_audit_runtime.tasks import harden_process; import resource;"
        "harden_process(); print(max(resource.getrlimit(resource.RLIMIT_CORE)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) in {0, 1}
