"""Guards the relay as a process of its own: what it is made of, its death, its journal."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import msgspec
import psutil
import pytest
from radar_audit_collector.capture.gateway.process import RelayProcess

from tests.support.gateway_process import MIB, running_process
from tests.support.gateway_world import FORBIDDEN, SWITCHING, WAIT_SECONDS

FORBIDDEN_MODULES = {"aiohttp", "cryptography", "sqlite3", "msgspec", "prometheus_client"}


def test_the_relay_process_is_made_of_the_standard_library_alone() -> None:
    program = (
        "import sys; import radar_audit_collector.capture.gateway.__main__; "
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = set(told.stdout.split())
    assert not loaded & FORBIDDEN_MODULES
    assert loaded - set(sys.stdlib_module_names) <= {
        "__main__",
        "radar_audit_collector",
        "radar_audit_runtime",
        *_of_the_start(),
    }


def _of_the_start() -> set[str]:
    """Return what every Python of this installation loads before any program begins."""
    program = "import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(told.stdout.split())


async def test_a_terminal_becomes_two_durable_events(tmp_path: Path) -> None:
    async with running_process(tmp_path) as world:
        conn, answer = await asyncio.to_thread(world.open_terminal)
        assert answer == SWITCHING
        # Durable before the client has its 101: no waiting here.
        (stored,) = await world.spool.peek(10, MIB)
        assert msgspec.json.decode(stored.payload)["action"] == "pod.exec_started"
        conn.end_own_direction()
        conn.close()
        start, end = await world.events(2)
        assert (start.action, end.action) == ("pod.exec_started", "pod.exec_ended")
        assert start.session_id == end.session_id
        assert end.metadata["end_reason"] == "client_closed"


async def test_a_killed_relay_ends_its_terminals_and_is_started_again(tmp_path: Path) -> None:
    async with running_process(tmp_path) as world:
        conn, _ = await asyncio.to_thread(world.open_terminal)
        await world.events(1)
        assert world.relay.pid is not None
        os.kill(world.relay.pid, signal.SIGKILL)
        _, end = await world.events(2)
        assert end.metadata["end_reason"] == "collector_restart"
        assert end.metadata["observed"] is False
        conn.close()
        await world.until_listening()
        again, answer = await asyncio.to_thread(world.open_terminal)
        assert answer == SWITCHING
        again.close()
        assert world.relay.restarts == 1


async def test_what_is_no_terminal_goes_the_way_of_all_records(tmp_path: Path) -> None:
    async with running_process(tmp_path) as world:
        conn, answer = await asyncio.to_thread(world.open_terminal, "bob")
        assert answer == FORBIDDEN
        conn.close()
        service, answer = await asyncio.to_thread(world.open_terminal, "radar:ai:org_1")
        assert answer == SWITCHING
        service.close()
        async with asyncio.timeout(WAIT_SECONDS):
            while len(world.records) < 2:  # noqa: ASYNC110 - of another process
                await asyncio.sleep(0.01)
        assert {(record.code, record.impersonated_user) for record in world.records} == {
            (403, "bob"),
            (101, "radar:ai:org_1"),
        }
        assert await world.spool.peek(10, MIB) == []


@pytest.mark.parametrize("policy", ["open", "required"])
async def test_a_spool_that_cannot_be_written(policy: str, tmp_path: Path) -> None:
    async with running_process(
        tmp_path, failure_policy=policy, confirm_ms=20, required_ms=300
    ) as world:
        await world.spool.close()
        conn, answer = await asyncio.to_thread(world.open_terminal)
        if policy == "open":
            assert answer == SWITCHING
        else:
            assert answer.startswith(b"HTTP/1.1 503 Service Unavailable")
        conn.close()
        await world.spool.open()
        if policy == "open":  # late, but not lost
            start, end = await world.events(2)
            assert (start.action, end.action) == ("pod.exec_started", "pod.exec_ended")


async def test_a_relay_that_cannot_listen_says_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_process(tmp_path) as world:
        taken = replace(world.relay._config, listen_port=world.relay.port)
        second = RelayProcess(taken, world.relay._journal, lambda _number, _figures: None)
        trying = asyncio.create_task(second.run())
        async with asyncio.timeout(WAIT_SECONDS):
            while second.restarts == 0:  # noqa: ASYNC110 - of another process
                await asyncio.sleep(0.01)
        trying.cancel()
        await asyncio.wait({trying})
    (told,) = [r for r in caplog.records if "cannot start" in r.getMessage()][:1]
    assert told.__dict__["relay"]["cause"] == "Address already in use"


async def test_sigterm_drains_the_relay_alone_as_well(tmp_path: Path) -> None:
    async with running_process(tmp_path, drain_seconds=0.1) as world:
        conn, _ = await asyncio.to_thread(world.open_terminal)
        assert world.relay.pid is not None
        os.kill(world.relay.pid, signal.SIGTERM)
        assert await asyncio.to_thread(conn.receive_all) == b""
        conn.close()
        _, end = await world.events(2)
        assert end.metadata["end_reason"] == "collector_shutdown"


async def test_idle_it_is_small(tmp_path: Path) -> None:
    """A coarse bound on memory of its own; the benchmark has the figures."""
    async with running_process(tmp_path) as world:
        memory = psutil.Process(world.relay.pid).memory_full_info()
        assert memory.uss < 24 * MIB
