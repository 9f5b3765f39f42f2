"""Guards what becomes of an exec: seen, told to the journal, relayed, ended."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

from tests.support.gateway_world import (
    SWITCHING,
    exec_head,
    read_all,
    read_head,
    running_world,
)


def echo_terminal(conn: ssl.SSLSocket) -> None:
    read_head(conn)
    conn.sendall(SWITCHING + b"$ ")
    while data := conn.recv(4096):
        if data == b"exit\n":
            conn.unwrap()
            return
        conn.sendall(data)


async def test_terminal_is_started_and_ended_once(tmp_path: Path) -> None:
    def client() -> None:
        with world.connect("http/1.1") as conn:
            conn.sendall(exec_head())
            assert read_head(conn) == SWITCHING
            assert conn.recv(2) == b"$ "
            conn.sendall(b"ls\n")
            assert conn.recv(100) == b"ls\n"
            conn.sendall(b"exit\n")
            assert read_all(conn) == b""

    async with running_world(tmp_path, echo_terminal) as world:
        await asyncio.to_thread(client)
        (ended,) = await world.journal.wait_for("ended")
        (opened,) = world.journal.of("open")
        facts = opened["facts"]
        assert facts["namespace"] == "shop"
        assert facts["pod"] == "nginx-0"
        assert facts["container"] == "web"
        assert (facts["stdin"], facts["tty"], facts["verb"]) == (True, True, "create")
        assert facts["user"] == "system:serviceaccount:radar:radar"
        assert facts["impersonated_user"] == "user_01"
        assert facts["impersonated_groups"] == ["radar:owner", "cloud:org:org_1"]
        assert ended["ref"] == opened["ref"]
        assert ended["reason"] == "server_closed"
        assert ended["at_us"] >= facts["stage_us"] >= facts["received_us"]
