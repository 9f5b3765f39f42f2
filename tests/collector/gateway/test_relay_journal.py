"""Guards who waits for the journal and who does not: fail-open by default, else refused."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from tests.support.gateway_world import (
    OK,
    SWITCHING,
    World,
    exec_head,
    read_all,
    read_head,
    running_world,
)

VERSION = b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n"


def serve(conn: ssl.SSLSocket) -> None:
    head = read_head(conn)
    conn.sendall(SWITCHING if b"/exec?" in head else OK)
    read_all(conn)


def open_terminal(world: World) -> bytes:
    with world.connect("http/1.1") as conn:
        conn.sendall(exec_head())
        return conn.recv(65536)


def ask_version(world: World) -> bytes:
    with world.connect("http/1.1") as conn:
        conn.sendall(VERSION)
        return conn.recv(65536)


@pytest.mark.parametrize("answer", [None, False])
async def test_a_journal_that_cannot_store_does_not_stop_a_terminal(
    answer: bool | None, tmp_path: Path
) -> None:
    async with running_world(tmp_path, serve, confirm_ms=20) as world:
        world.journal.answer = answer
        assert await asyncio.to_thread(open_terminal, world) == SWITCHING
        await world.journal.wait_for("ended")
        assert world.counted("start_unconfirmed") == 1
        assert len(world.journal.of("open")) == 1


async def test_the_switch_waits_for_the_journal_within_its_bound(tmp_path: Path) -> None:
    async with running_world(tmp_path, serve, confirm_ms=60_000) as world:
        world.journal.answer = None
        terminal = asyncio.create_task(asyncio.to_thread(open_terminal, world))
        (opened,) = await world.journal.wait_for("open")
        done, _ = await asyncio.wait({terminal}, timeout=0.2)
        assert not done
        world.journal.order("stored", ref=opened["ref"], ok=True)
        assert await terminal == SWITCHING
        assert world.counted("start_unconfirmed") == 0


async def test_required_refuses_before_the_api_server_hears_of_it(tmp_path: Path) -> None:
    async with running_world(tmp_path, serve, failure_policy="required") as world:
        world.journal.answer = False
        dialled = world.server.accepted
        answer = await asyncio.to_thread(open_terminal, world)
        assert answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        assert b'"kind": "Status"' in answer
        assert world.counted("exec_not_recorded_refused") == 1
        assert world.journal.of("open") == []
        # What was dialled in the meantime has heard nothing: its stream ended at once.
        assert world.server.accepted - dialled <= 1
        assert not [
            fault for fault in world.server.faults if not isinstance(fault, EOFError | OSError)
        ]
        # All else goes on.
        assert await asyncio.to_thread(ask_version, world) == OK


async def test_policy_changes_for_the_next_terminal_of_a_running_relay(tmp_path: Path) -> None:
    async with running_world(tmp_path, serve) as world:
        world.journal.answer = False
        world.journal.order("policy", required=True)
        await world.until(lambda: world.relay.required)
        answer = await asyncio.to_thread(open_terminal, world)
        assert answer.startswith(b"HTTP/1.1 503")
        world.journal.order("policy", required=False)
        await world.until(lambda: not world.relay.required)
        assert await asyncio.to_thread(open_terminal, world) == SWITCHING


async def test_required_lets_a_terminal_pass_that_is_stored(tmp_path: Path) -> None:
    async with running_world(tmp_path, serve, failure_policy="required") as world:
        assert await asyncio.to_thread(open_terminal, world) == SWITCHING
        await world.journal.wait_for("ended")
        kinds = [message["kind"] for message in world.journal.messages]
        assert [kind for kind in kinds if kind in ("ask", "open", "ended")] == [
            "ask",
            "open",
            "ended",
        ]


async def test_required_takes_the_terminal_back_if_its_start_was_not_stored(
    tmp_path: Path,
) -> None:
    async with running_world(tmp_path, serve, failure_policy="required") as world:
        world.journal.answer = None
        terminal = asyncio.create_task(asyncio.to_thread(open_terminal, world))
        (asked,) = await world.journal.wait_for("ask")
        world.journal.order("stored", ref=asked["ref"], ok=True)
        (opened,) = await world.journal.wait_for("open")
        world.journal.order("stored", ref=opened["ref"], ok=False)
        assert (await terminal).startswith(b"HTTP/1.1 503")
        (ended,) = await world.journal.wait_for("ended")
        assert ended["ref"] == opened["ref"]
        assert ended["reason"] == "error"


async def test_required_refuses_when_no_answer_comes(tmp_path: Path) -> None:
    async with running_world(tmp_path, serve, failure_policy="required", required_ms=100) as world:
        world.journal.answer = None
        assert (await asyncio.to_thread(open_terminal, world)).startswith(b"HTTP/1.1 503")


async def test_terminals_that_are_no_terminals_are_told_as_well(tmp_path: Path) -> None:
    """Who counts is decided by the collector, which counts the others."""
    async with running_world(tmp_path, serve) as world:

        def client() -> None:
            with world.connect("http/1.1") as conn:
                conn.sendall(exec_head(query="command=ls"))
                read_head(conn)

        await asyncio.to_thread(client)
        (opened,) = await world.journal.wait_for("open")
        assert (opened["facts"]["tty"], opened["facts"]["stdin"]) == (False, False)
