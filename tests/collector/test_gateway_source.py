"""The gateway in a whole collector: started first, stopped last, and what becomes of terminals."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from tests.support.audit_lines import audit_line, event_list
from tests.support.collector_process import CollectorProcess
from tests.support.gateway_world import (
    FORBIDDEN,
    SWITCHING,
    WAIT_SECONDS,
    Certificates,
    exec_head,
    read_head,
    tls_server,
)
from tests.support.hub_shaped import HubShaped, running_hub

PREFIX = "radar_audit_collector_"
_GROUPS = ("cloud:owner", "cloud:org:org_x")


def serve(conn: ssl.SSLSocket) -> None:
    head = read_head(conn)
    conn.sendall(SWITCHING if b"Impersonate-User: ann" in head else FORBIDDEN)
    while data := conn.recv(65536):
        conn.sendall(data)


@dataclass
class Place:
    """A collector with a gateway between a client and an API server; it can be started anew."""

    hub: HubShaped
    collector: CollectorProcess
    folder: Path

    async def open_terminal(
        self, user: str = "ann", *fields: str, method: str = "POST"
    ) -> tuple[ssl.SSLSocket, bytes]:
        head = exec_head(*fields, method=method, user=user, groups=_GROUPS)
        return await asyncio.to_thread(self._open, head)

    def _open(self, head: bytes) -> tuple[ssl.SSLSocket, bytes]:
        context = ssl.create_default_context(cafile=str(self.folder / "sa" / "ca.crt"))
        context.set_alpn_protocols(["http/1.1"])
        port = int(self.collector.said("the gateway listens")[-1]["port"])
        sock = socket.create_connection(("127.0.0.1", port), WAIT_SECONDS)
        conn = context.wrap_socket(sock, server_hostname="127.0.0.1")
        conn.sendall(head)
        return conn, conn.recv(65536)

    async def until_taken(self, *kinds: str) -> None:
        def is_there() -> bool:
            return [kind for _, kind in self.hub.taken] == list(kinds)

        await self.hub.until(is_there)

    def reason(self) -> object:
        (ended,) = [event for (_, kind), event in self.hub.taken.items() if kind == "ended"]
        return ended.metadata["end_reason"], ended.metadata["observed"]


@asynccontextmanager
async def launched(
    folder: Path, gateway_listen: str = "127.0.0.1:0", **settings: object
) -> AsyncIterator[Place]:
    """Start a collector and do not wait for it."""
    theirs = Certificates(folder / "theirs")
    server = tls_server(theirs.server_context(), serve)
    async with running_hub() as hub:
        with server as api:
            collector = CollectorProcess(
                folder / "data",
                hub.url,
                gateway_enabled=True,
                gateway_listen=gateway_listen,
                gateway_upstream=f"127.0.0.1:{api.port}",
                gateway_upstream_ca_file=theirs.ca_file,
                gateway_keys_dir=folder / "keys",
                gateway_account_dir=folder / "sa",
                heartbeat_seconds=0.1,
                **settings,
            )
            await collector.launch()
            try:
                yield Place(hub, collector, folder)
            finally:
                await collector.kill()


@asynccontextmanager
async def placed(folder: Path, **settings: Any) -> AsyncIterator[Place]:
    async with launched(folder, **settings) as place:
        await until_said(place, "the collector runs")
        yield place


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # it went between the two looks
        return False


async def until_said(place: Place, sentence: str) -> None:
    while not place.collector.said(sentence):  # noqa: ASYNC110 - of another process
        await asyncio.sleep(0.02)


async def until_metric(place: Place, name: str, value: float) -> None:
    while await place.collector.metric(PREFIX + name) != value:  # noqa: ASYNC110 - nobody announces it
        await asyncio.sleep(0.02)


async def test_terminal_is_told_while_it_is_open_and_after(tmp_path: Path) -> None:
    async with placed(tmp_path) as place:
        assert await place.collector.ready() == "ok"
        conn, answer = await place.open_terminal()
        assert answer == SWITCHING
        await place.until_taken("started")
        ((session, _),) = place.hub.taken
        await place.hub.until(lambda: place.hub.heartbeats[-1].open_sessions == [session])
        assert place.hub.heartbeats[-1].sources == ["gateway"]
        await until_metric(place, "sessions_active", 1)
        conn.close()
        await place.until_taken("started", "ended")
        assert place.reason() == ("client_closed", True)
        await until_metric(place, "sessions_active", 0)
        await until_metric(place, 'connections_total{protocol="http/1.1"}', 1)
        await until_metric(place, 'requests_total{note="exec_seen"}', 1)
        await until_metric(place, "gateway_head_parse_seconds_count", 1)
        assert await place.collector.metric(f"{PREFIX}gateway_head_parse_seconds_sum") > 0
        assert await place.collector.metric(f"{PREFIX}head_unparsed_total") == 0
        ends = await place.collector.metric(f"{PREFIX}certificate_expiry_timestamp_seconds")
        assert ends > 1_700_000_000
        assert await place.collector.terminate() == 0


async def test_refused_terminal_is_told(tmp_path: Path) -> None:
    async with placed(tmp_path) as place:
        conn, answer = await place.open_terminal("bob")
        conn.close()
        assert answer == FORBIDDEN
        await place.until_taken("denied")


async def test_refusal_that_gateway_and_webhook_saw_is_told_once(tmp_path: Path) -> None:
    def line(audit_id: str, pod: str = "nginx-0", stage: str = "ResponseStarted") -> bytes:
        return audit_line(
            audit_id, stage, 403, namespace="shop", pod=pod, person="bob", groups=_GROUPS
        )

    webhook = {
        "webhook_enabled": "true",
        "webhook_listen": "127.0.0.1:0",
        "webhook_insecure_loopback": "true",
    }
    async with placed(tmp_path, **webhook) as place:
        conn, answer = await place.open_terminal("bob", "Audit-ID: first", method="GET")
        conn.close()
        assert answer == FORBIDDEN
        await place.until_taken("denied")
        lines = [line("first"), line("first", stage="ResponseComplete"), line("second", "db-0")]
        async with (
            aiohttp.ClientSession() as client,
            client.post(place.collector.webhook_url, data=event_list(lines)) as taken,
        ):
            assert taken.status == 200
        await place.until_taken("denied", "denied")
        assert [session for session, _ in place.hub.taken] == ["first", "second"]


async def test_stop_lets_a_terminal_go_on_and_then_ends_it_as_shut_down(tmp_path: Path) -> None:
    async with placed(tmp_path, gateway_drain_seconds=1) as place:
        conn, _ = await place.open_terminal()
        assert await place.collector.terminate() == 0
        assert await asyncio.to_thread(conn.recv, 1) == b""
        conn.close()
        await place.until_taken("started", "ended")
        assert place.reason() == ("collector_shutdown", True)


async def test_terminals_of_a_killed_collector_are_ended_by_the_next(tmp_path: Path) -> None:
    async with placed(tmp_path, gateway_drain_seconds=0) as place:
        conn, _ = await place.open_terminal()
        await place.until_taken("started")
        await place.collector.kill()
        await place.collector.start()
        await place.until_taken("started", "ended")
        assert place.reason() == ("collector_restart", False)
        conn.close()
        second, answer = await place.open_terminal()
        second.close()
        assert answer == SWITCHING


async def test_relay_outlives_a_killed_collector_and_makes_room_for_the_next(
    tmp_path: Path,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        listen = f"127.0.0.1:{free.getsockname()[1]}"
    async with placed(tmp_path, gateway_listen=listen, gateway_drain_seconds=60) as place:
        conn, _ = await place.open_terminal()
        await place.until_taken("started")
        (orphan,) = psutil.Process(place.collector.pid).children()
        os.kill(place.collector.pid, signal.SIGKILL)
        await place.collector.start()
        await place.until_taken("started", "ended")
        assert place.reason() == ("collector_restart", False)
        conn.sendall(b"still there?")
        assert await asyncio.to_thread(conn.recv, 100) == b"still there?"
        second, answer = await place.open_terminal()
        assert answer == SWITCHING
        second.close()
        assert orphan.is_running()
        conn.close()
        # With its last connection it ends, long before the 60 s are over.
        while is_alive(orphan):  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(0.02)


async def test_radar_is_served_while_the_spool_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the folder should be")
    async with launched(tmp_path, gateway_drain_seconds=0) as place:
        await until_said(place, "the spool is not available")
        conn, answer = await place.open_terminal()
        conn.close()
        assert answer == SWITCHING
        await place.collector.terminate()  # and it does not wait for the spool for ever
