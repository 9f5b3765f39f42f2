"""Load on a relay process, and its cost: terminals, connects, peers that are slow or half gone.

Owns one relay as its real process between a server and a client in Go, and the scenarios that
tests run in two sizes. Each scenario asserts that nothing fails, that other traffic goes on
meanwhile and that no descriptor is left; it returns the figures that have bars. None of them
looks at a clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.bench.gateway_field import Contestant, Field, running_field
from tests.support.gateway_world import SWITCHING, BareClient, client_context, exec_head

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
_WAIT_SECONDS = 60
# Python's allocator and the C library's give memory back late: what is below is no leak.
_SLACK_BYTES = 16 * MIB


@dataclass(frozen=True)
class Load:
    """A relay process under load; `idle_bytes` is what it had in memory before."""

    field: Field
    relay: Contestant
    idle_bytes: int

    def descriptors(self) -> int:
        return psutil.Process(self.relay.pid).num_fds()

    async def until_descriptors(self, most: int) -> None:
        """Wait until the relay has closed all but so many."""
        async with asyncio.timeout(_WAIT_SECONDS):
            while self.descriptors() > most:  # noqa: ASYNC110 - of another process
                await asyncio.sleep(0.05)

    async def traffic(self, requests: int = 200, size: int = 8 * MIB) -> None:
        """Let others use the relay: requests and a transfer over HTTP/2, each complete."""
        await self.field.client(self.relay, "requests", n=requests, width=8)
        await self.field.client(self.relay, "bulk", n=size)

    @contextlib.asynccontextmanager
    async def held(self, work: str, **options: object) -> AsyncIterator[bytes]:
        """Run a client that says one line and then holds what it has open."""
        process = await asyncio.create_subprocess_exec(
            *self.field.command(self.relay, work, **options),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            yield await process.stdout.readline()
        finally:
            process.stdin.close()
            await process.wait()

    def terminal(self) -> BareClient:
        """Return a client with an open terminal; blocking."""
        conn = BareClient(self.relay.port, client_context(self.relay.ca_file, "http/1.1"))
        conn.send(exec_head())
        assert conn.receive() == SWITCHING
        return conn


@contextlib.asynccontextmanager
async def running_load(folder: Path) -> AsyncIterator[Load]:
    async with running_field(folder, peers=False) as field:
        relay = field.contestants["ours"]
        await Load(field, relay, 0).traffic()  # what is made at first use is no part of any figure
        yield Load(field, relay, relay.rss_bytes())


async def connect_again_and_again(load: Load, count: int) -> str:
    """Open and close `count` terminals; return how much memory is left over."""
    await load.field.client(load.relay, "handshakes", n=count // 20, width=16)
    before, memory = load.descriptors(), load.relay.rss_bytes()
    told = await load.field.client(load.relay, "handshakes", n=count, width=16)
    assert told["Failures"] == 0
    await load.until_descriptors(before)
    more = load.relay.rss_bytes() - memory
    assert more < _SLACK_BYTES
    return f"{count:,} connects: {more / MIB:+.1f} MiB"


async def hold_terminals(load: Load, count: int) -> float:
    """Hold `count` terminals open, with traffic beside them; return the KiB of RSS of each."""
    before = load.descriptors()
    async with load.held("sessions", n=count) as told:
        assert b'"Failures":0' in told
        each = (load.relay.rss_bytes() - load.idle_bytes) / count / KIB
        assert load.descriptors() >= before + 2 * count
        await load.traffic()
    await load.until_descriptors(before)
    return each


async def stall_readers(load: Load, count: int, *, until_closed: bool = True) -> float:
    """Have `count` clients ask for 1 GiB each and stop reading; return the KiB that each costs.

    What the server still sends when they have gone keeps a connection for seconds: `until_closed`
    waits for that.
    """
    before = load.descriptors()
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(count):
            await stack.enter_async_context(load.held("stall", proto="h1", n=GIB))
        await load.traffic()
        await load.field.client(load.relay, "keys", n=20)
        each = (load.relay.rss_bytes() - load.idle_bytes) / count / KIB
    if until_closed:
        await load.until_descriptors(before)
    return each


async def write_slowly(load: Load, count: int, keys: int) -> None:
    """Have `count` terminals type single bytes and wait for each echo, with traffic meanwhile."""
    before = load.descriptors()
    slow = asyncio.create_task(load.field.client(load.relay, "drip", n=keys, width=count))
    await load.traffic()
    assert (await slow)["Failures"] == 0
    await load.until_descriptors(before)


async def leave_half_open(load: Load, count: int) -> None:
    """Have terminals whose clients end their own direction and then neither read nor close."""

    def half_open() -> list[BareClient]:
        clients = [load.terminal() for _ in range(count)]
        for number, conn in enumerate(clients):
            if number % 2:
                conn.end_own_direction()
            else:
                conn.end_without_notice()
        return clients

    before = load.descriptors()
    clients = await asyncio.to_thread(half_open)
    await load.traffic()
    await load.until_descriptors(before)
    for conn in clients:
        conn.close()


async def stay_silent(load: Load, count: int) -> None:
    """Have `count` clients connect and say nothing: traffic goes on, and they are closed."""
    before = load.descriptors()
    silent = [socket.create_connection(("127.0.0.1", load.relay.port)) for _ in range(count)]
    await load.traffic()
    await load.until_descriptors(before)
    for sock in silent:
        sock.close()
