"""A relay between real TLS ends, for tests of the gateway: server, client, journal.

Owns the certificates, a TLS server whose handlers are plain functions in threads,
blocking TLS clients, and the other end of the journal link. The relay itself runs
in the test's own event loop. Called by tests of the gateway.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import socket
import ssl
import struct
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trustme
from radar_audit_collector.capture.gateway.config import RelayConfig
from radar_audit_collector.capture.gateway.messages import Lines, decode, encode
from radar_audit_collector.capture.gateway.relay import Relay

WAIT_SECONDS = 30.0
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: SPDY/3.1\r\nConnection: Upgrade\r\n\r\n"
FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
RADAR = "system:serviceaccount:radar:radar"

Handler = Callable[[ssl.SSLSocket], None]


@dataclass(frozen=True)
class Certificates:
    """Files of one authority: what vouches for it, and a leaf for 127.0.0.1 (key inside)."""

    folder: Path
    authority: trustme.CA = field(
        default_factory=lambda: trustme.CA(key_type=trustme.KeyType.ECDSA)
    )

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.authority.cert_pem.write_to_path(self.ca_file)
        self.renew()

    @property
    def ca_file(self) -> Path:
        return self.folder / "ca.crt"

    @property
    def leaf_file(self) -> Path:
        return self.folder / "leaf.pem"

    def renew(self) -> None:
        leaf = self.authority.issue_cert("127.0.0.1", key_type=trustme.KeyType.ECDSA)
        draft = self.folder / "leaf.new"
        leaf.private_key_and_cert_chain_pem.write_to_path(draft)
        draft.replace(self.leaf_file)

    def server_context(self, protocols: tuple[str, ...] = ("h2", "http/1.1")) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # Python 3.11.2 sets it, and takes a stream that was cut for one that has ended.
        context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
        context.load_cert_chain(self.leaf_file)
        if protocols:
            context.set_alpn_protocols(list(protocols))
        return context

    def client_context(self, *protocols: str) -> ssl.SSLContext:
        return client_context(self.ca_file, *protocols)


def client_context(ca_file: Path, *protocols: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(ca_file)
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


class TlsServer:
    """Accepts TLS connections and runs `handler` for each in a thread of its own.

    `faults` are errors of handlers, which tests look at. A stream that ends without
    close_notify is one (`ssl.SSLEOFError`).
    """

    def __init__(self, context: ssl.SSLContext, handler: Handler, port: int = 0) -> None:
        self.context = context
        self.handler = handler
        self.faults: list[BaseException] = []
        self.accepted = 0
        self._listener = socket.create_server(("127.0.0.1", port), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._stopped = threading.Event()
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    def close(self) -> None:
        self._stopped.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join(WAIT_SECONDS)
        for thread in self._threads:
            thread.join(WAIT_SECONDS)

    def _accept(self) -> None:
        while not self._stopped.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            thread = threading.Thread(target=self._serve, args=(sock, self.accepted), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        sock.settimeout(WAIT_SECONDS)
        try:
            with self.context.wrap_socket(
                sock, server_side=True, suppress_ragged_eofs=False
            ) as conn:
                # The relay's own first connection, which asks for the protocols, sends nothing.
                (read_all if number == 1 else self.handler)(conn)
        except Exception as exc:
            self.faults.append(exc)
        finally:
            sock.close()


@contextlib.contextmanager
def tls_server(context: ssl.SSLContext, handler: Handler, *, port: int = 0) -> Iterator[TlsServer]:
    server = TlsServer(context, handler, port)
    try:
        yield server
    finally:
        server.close()


class JournalEnd(asyncio.Protocol):
    """The collector's end of the link: keeps messages, answers asks and starts.

    `answer` is what it says: true, false, or null for nothing at all.
    """

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.answer: bool | None = True
        self.is_closed = False
        self._lines = Lines()
        self._arrived = asyncio.Event()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        for line in self._lines.feed(data):
            message = decode(line)
            if message["kind"] == "stats":
                continue
            self.messages.append(message)
            if message["kind"] in ("ask", "open") and self.answer is not None:
                self.order("stored", ref=message["ref"], ok=self.answer)
        self._arrived.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_closed = True
        self._arrived.set()

    def order(self, kind: str, **fields: Any) -> None:
        assert self._transport is not None
        self._transport.write(encode(kind, fields))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["kind"] == kind]

    async def wait_for(self, kind: str, count: int = 1) -> list[dict[str, Any]]:
        async with asyncio.timeout(WAIT_SECONDS):
            while len(self.of(kind)) < count:
                self._arrived.clear()
                await self._arrived.wait()
        return self.of(kind)


@dataclass
class World:
    """A running relay with what is around it."""

    relay: Relay
    journal: JournalEnd
    ours: Certificates
    server: TlsServer

    def connect(self, *protocols: str) -> ssl.SSLSocket:
        """Return a client's connection to the relay; call it in a thread."""
        sock = socket.create_connection(("127.0.0.1", self.relay.port), WAIT_SECONDS)
        context = self.ours.client_context(*protocols)
        return context.wrap_socket(sock, server_hostname="127.0.0.1")

    def counted(self, name: str) -> int:
        return self.relay.counters.snapshot()[name]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            while not condition():  # noqa: ASYNC110 - of counters, which tell nobody
                await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def running_world(
    folder: Path,
    handler: Handler,
    *,
    protocols: tuple[str, ...] = ("h2", "http/1.1"),
    **settings: Any,
) -> AsyncIterator[World]:
    """Run a server with `handler` and a relay before it; `settings` go into its config."""
    ours, theirs = Certificates(folder / "ours"), Certificates(folder / "theirs")
    with tls_server(theirs.server_context(protocols), handler) as server:
        config = RelayConfig(
            **{
                "listen_host": "127.0.0.1",
                "listen_port": 0,
                "upstream_host": "127.0.0.1",
                "upstream_port": server.port,
                "upstream_server_name": "127.0.0.1",
                "upstream_ca_file": str(theirs.ca_file),
                "leaf_file": str(ours.leaf_file),
                # A pause of this machine is no journal that does not answer.
                "confirm_ms": 30_000,
                "required_ms": 30_000,
                "probe_seconds": 3600.0,
                **settings,
            }
        )
        relay, journal = Relay(config), JournalEnd()
        near, far = socket.socketpair()
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: journal, sock=near)
        await loop.create_connection(lambda: relay.link, sock=far)
        relay.start()
        world = World(relay, journal, ours, server)
        await world.until(lambda: bool(relay.stats()["reachable"]) or not protocols)
        try:
            yield world
        finally:
            relay.drain(0)
            await relay.drained.wait()
            journal.close()


def read_all(conn: ssl.SSLSocket) -> bytes:
    """Read until the other side ends its stream by close_notify."""
    parts = []
    while part := conn.recv(65536):
        parts.append(part)
    return b"".join(parts)


def read_head(conn: ssl.SSLSocket) -> bytes:
    """Read up to the blank line, byte by byte, so that nothing behind it is taken."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = conn.recv(1)
        if not byte:
            raise EOFError(head)
        head += byte
    return head


def token(subject: str = RADAR) -> str:
    """Return what looks like a ServiceAccount's token of `subject`."""
    parts = [{"alg": "RS256"}, {"sub": subject, "iss": "https://kubernetes.default.svc"}]
    texts = [base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=").decode() for p in parts]
    return ".".join((*texts, "c2lnbmF0dXJl"))


def exec_head(
    *fields: str,
    method: str = "POST",
    pod: str = "nginx-0",
    query: str = "container=web&stdin=true&stdout=true&tty=true&command=sh",
    user: str = "user_01",
    groups: tuple[str, ...] = ("radar:owner", "cloud:org:org_1"),
) -> bytes:
    """Return the head of an exec as Radar sends it, with more `fields` at its end."""
    upgrade = "SPDY/3.1" if method == "POST" else "websocket"
    lines = [
        f"{method} /api/v1/namespaces/shop/pods/{pod}/exec?{query} HTTP/1.1",
        "Host: 127.0.0.1:16443",
        "User-Agent: radar/v1 (linux/amd64)",
        *(["Content-Length: 0"] if method == "POST" else []),
        f"Authorization: Bearer {token()}",
        "Connection: Upgrade",
        *(f"Impersonate-Group: {group}" for group in groups),
        f"Impersonate-User: {user}",
        f"Upgrade: {upgrade}",
        *fields,
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


class BareClient:
    """A TLS client over its own memory buffers, which can do what `ssl.SSLSocket` cannot.

    It can end only its own direction, end without close_notify, and reset. Blocking.
    """

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), WAIT_SECONDS)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname="127.0.0.1")
        try:
            while not self._try(self.tls.do_handshake):
                if not self._receive():
                    raise ConnectionResetError("the handshake was cut short")
            self._flush()
        except OSError:
            self.sock.close()
            raise

    def send(self, data: bytes) -> None:
        self.tls.write(data)
        self._flush()

    def receive(self) -> bytes:
        """Return some bytes; none at the end of the stream (see `ended_clean`)."""
        while True:
            try:
                return self.tls.read(65536)
            except ssl.SSLZeroReturnError:
                return b""
            except ssl.SSLWantReadError:
                if not self._receive():
                    raise EOFError("the stream ended without close_notify") from None

    def receive_all(self) -> bytes:
        parts = []
        while part := self.receive():
            parts.append(part)
        return b"".join(parts)

    def end_own_direction(self) -> None:
        """Send close_notify, and go on reading."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        self._flush()

    def end_without_notice(self) -> None:
        """Send a bare FIN, and go on reading."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Vanish as a killed process does whose buffers are not empty."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self) -> None:
        self.sock.close()

    def _try(self, call: Callable[[], object]) -> bool:
        try:
            call()
        except ssl.SSLWantReadError:
            self._flush()
            return False
        return True

    def _flush(self) -> None:
        if self._outgoing.pending:
            self.sock.sendall(self._outgoing.read())

    def _receive(self) -> bool:
        data = self.sock.recv(65536)
        if data:
            self._incoming.write(data)
        return bool(data)
