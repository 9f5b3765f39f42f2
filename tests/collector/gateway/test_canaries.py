"""Guards that nothing secret leaves the relay but to the API server and to Radar.

Secrets here: argv, tokens, other fields of a head, and every byte behind it.
"""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import NoReturn

import psutil
import pytest
from radar_audit_collector.capture.gateway import connection

from tests.support.gateway_process import running_process
from tests.support.gateway_world import (
    FORBIDDEN,
    SWITCHING,
    BareClient,
    exec_head,
    read_head,
    running_world,
)

CANARY = "c4n4ry"
TOKEN_PARTS = ("eyJ", "c2lnbmF0dXJl")
ARGV = f"tty=true&stdin=true&container=web&command={CANARY}-argv&%63ommand={CANARY}-argv2"
COOKIE = f"Cookie: {CANARY}-cookie"


def serve(conn: ssl.SSLSocket) -> None:
    head = read_head(conn)
    answer = FORBIDDEN if b"Impersonate-User: bob" in head else SWITCHING
    conn.sendall(answer + f"{CANARY}-output".encode())
    while data := conn.recv(65536):
        conn.sendall(data)


def streams() -> list[list[bytes]]:
    """Return what clients send, part by part; an empty part stands for waiting for an answer."""
    typed = f"{CANARY}-typed".encode()
    plain = f"GET /{CANARY}-path?{CANARY}-query HTTP/1.1\r\nHost: x\r\n{COOKIE}\r\n\r\n".encode()
    return [
        [exec_head(COOKIE, query=ARGV), b"", typed],
        [exec_head(COOKIE, query=ARGV, method="GET", user="bob"), b"", typed],
        [exec_head(COOKIE, query=ARGV) + typed, b""],
        [exec_head(f"{CANARY}-malformed", query=ARGV)],
        [exec_head(query=ARGV + "a" * 70_000)],
        [exec_head(COOKIE, query=ARGV)[:-2]],  # never ends
        [plain, typed],
        [plain.replace(b"GET", b"G\x00T"), typed],
        [exec_head(COOKIE, query=ARGV).replace(b"/nginx-0/", f"/{CANARY}_pod/".encode()), typed],
        [f"PRI * HTTP/2.0\r\n\r\n{CANARY}".encode()],
    ]


def play(port: int, context: ssl.SSLContext) -> None:
    for parts in streams():
        conn = BareClient(port, context)
        try:
            for part in parts:
                if part:
                    conn.send(part)
                else:
                    conn.receive()
            conn.sock.settimeout(0.1)
            while conn.receive():
                pass
        except (OSError, EOFError):
            pass
        if len(parts) == 1:
            conn.reset()
        else:
            conn.close()


def assert_no_canary(text: str, where: str) -> None:
    for secret in (CANARY, *TOKEN_PARTS):
        assert secret not in text, where


async def test_nothing_secret_is_written_or_sent_by_the_process(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RADAR_AUDIT_COLLECTOR_TOKEN", f"rhc_{CANARY}")
    caplog.set_level(0)
    async with running_process(tmp_path, serve) as world:
        play_all = asyncio.to_thread(play, world.relay.port, world.ours.client_context("http/1.1"))
        await play_all
        await world.events(4)  # two terminals, each with its end
        process = psutil.Process(world.relay.pid)
        assert_no_canary(str(process.environ()), "environment")
        assert_no_canary(str(process.cmdline()), "command line")
        assert_no_canary(str([file.path for file in process.open_files()]), "open files")
        assert_no_canary(repr(world.records), "records")
        assert_no_canary(str(world.stats), "figures")
    for file in (tmp_path / "spool").rglob("*"):
        if file.is_file():
            assert_no_canary(file.read_bytes().decode("latin-1"), file.name)
    for record in caplog.records:
        assert_no_canary(repr(record.__dict__), "log")
    assert_no_canary("".join(capfd.readouterr()), "standard output and error")


async def test_nothing_secret_goes_over_the_journal_link(tmp_path: Path) -> None:
    async with running_world(tmp_path, serve) as world:
        await asyncio.to_thread(play, world.relay.port, world.ours.client_context("http/1.1"))
        await world.until(lambda: world.relay.stats()["connections"] == 0)
        assert len(world.journal.of("open")) == 2
        assert_no_canary(repr(world.journal.messages), "link")


async def test_a_fault_of_our_own_says_its_kind_and_place_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> NoReturn:
        raise ValueError(CANARY)

    async with running_world(tmp_path, serve) as world:
        monkeypatch.setattr(connection, "decide", fail)
        await asyncio.to_thread(play, world.relay.port, world.ours.client_context("http/1.1"))
        told = await world.journal.wait_for("log", 2)
        assert told[-1]["fields"]["kind"].startswith("ValueError at fail:")
        assert_no_canary(repr(world.journal.messages), "link")


async def test_no_object_of_a_connection_shows_what_it_holds(tmp_path: Path) -> None:
    async with running_world(tmp_path, serve) as world:

        def client() -> BareClient:
            conn = BareClient(world.relay.port, world.ours.client_context("http/1.1"))
            conn.send(exec_head(COOKIE, query=ARGV))
            conn.receive()
            return conn

        conn = await asyncio.to_thread(client)
        (pair,) = world.relay._connections
        assert pair.upstream is not None
        parts = [pair, pair._terminal, pair.client, pair.upstream, pair.client.transport]
        assert_no_canary(repr(parts), "repr")
        conn.close()
