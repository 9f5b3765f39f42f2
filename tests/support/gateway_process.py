"""A relay process with a real journal and spool, between real TLS ends.

Owns the start and the end of all of them. Called by tests that need the process itself:
its death, its memory, what it writes.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry
from radar_audit_collector.capture.gateway.config import RelayConfig
from radar_audit_collector.capture.gateway.journal import GatewayJournal
from radar_audit_collector.capture.gateway.process import RelayProcess
from radar_audit_collector.capture.record import AuditRecord
from radar_audit_collector.classify import ClassifyRules
from radar_audit_collector.metrics import Metrics
from radar_audit_collector.spool import Spool
from radar_audit_events.wire import WireEvent

from tests.support.gateway_world import (
    FORBIDDEN,
    SWITCHING,
    WAIT_SECONDS,
    BareClient,
    Certificates,
    Handler,
    exec_head,
    read_head,
    tls_server,
)

MIB = 1 << 20


def serve(conn: ssl.SSLSocket) -> None:
    head = read_head(conn)
    conn.sendall(FORBIDDEN if b"Impersonate-User: bob" in head else SWITCHING)
    while data := conn.recv(65536):
        conn.sendall(data)


@dataclass
class Running:
    """A relay process with a real journal and spool."""

    relay: RelayProcess
    spool: Spool
    ours: Certificates
    stats: dict[str, Any] = field(default_factory=dict)
    records: list[AuditRecord] = field(default_factory=list)

    def open_terminal(self, user: str = "user_01") -> tuple[BareClient, bytes]:
        conn = BareClient(self.relay.port, self.ours.client_context("http/1.1"))
        conn.send(exec_head(user=user))
        return conn, conn.receive()

    async def events(self, count: int) -> list[WireEvent]:
        """Return the events in the spool once there are `count` of them."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                stored = await self.spool.peek(100, MIB)
                if len(stored) >= count:
                    return [msgspec.json.decode(each.payload, type=WireEvent) for each in stored]
                await self.spool.arrival(0.1)

    async def until_listening(self) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            while not self.relay.is_listening:  # noqa: ASYNC110 - another process announces it
                await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def running_process(
    folder: Path, handler: Handler = serve, **settings: Any
) -> AsyncIterator[Running]:
    ours, theirs = Certificates(folder / "ours"), Certificates(folder / "theirs")
    spool = Spool(folder / "spool", 16 * MIB)
    await spool.open()
    records: list[AuditRecord] = []
    stats: dict[str, Any] = {}

    async def accept(new: Sequence[AuditRecord]) -> None:
        records.extend(new)

    def show(_: int, figures: Mapping[str, Any]) -> None:
        stats.update(figures)

    with tls_server(theirs.server_context(), handler) as server:
        config = RelayConfig(
            listen_host="127.0.0.1",
            listen_port=0,
            upstream_host="127.0.0.1",
            upstream_port=server.port,
            upstream_server_name="127.0.0.1",
            upstream_ca_file=str(theirs.ca_file),
            leaf_file=str(ours.leaf_file),
            **{"confirm_ms": 30_000, "required_ms": 30_000, **settings},
        )
        journal = GatewayJournal(
            spool,
            accept,
            lambda: ClassifyRules("radar/radar", org_id="org_1"),
            Metrics(CollectorRegistry()),
        )
        await journal.load()
        relay = RelayProcess(config, journal, show)
        tasks = [asyncio.create_task(journal.run()), asyncio.create_task(relay.run())]
        world = Running(relay, spool, ours, stats, records)
        await world.until_listening()
        while server.accepted == 0:  # noqa: ASYNC110 - of its thread
            await asyncio.sleep(0.01)
        try:
            yield world
        finally:
            await relay.drain(0)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await spool.close()
