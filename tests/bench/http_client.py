"""The cheapest HTTP client that will do: it must not eat the CPU of what is measured.

Owns keep-alive exchanges with short answers, and draining a chunked stream. Called by the
benchmarks that go over HTTP. Knows just enough of HTTP/1.1 for the hub's answers.
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass

HOST = "127.0.0.1"
_LAST_CHUNK = b"0\r\n\r\n"  # no line of CSV or NDJSON ends so
_PIECE_BYTES = 256 * 1024


def request_bytes(method: str, path: str, token: str, body: bytes = b"") -> bytes:
    """Return a whole request, headers and body."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {HOST}", f"Authorization: Bearer {token}"]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass(frozen=True, slots=True)
class Connection:
    """One kept-alive connection; one request at a time."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def open(cls, port: int) -> Connection:
        return cls(*await asyncio.open_connection(HOST, port, limit=1 << 20))

    async def exchange(self, request: bytes) -> bytes:
        """Send a request and return the answer's body. Raises RuntimeError unless it is a 200."""
        self.writer.write(request)
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = int(_header(head, b"content-length"))
        body = await self.reader.readexactly(length)
        if b" 200 " not in head[:20]:
            raise RuntimeError(f"{head[:30]!r}: {body[:300]!r}")
        return body

    def close(self) -> None:
        self.writer.close()


def drain(port: int, request: bytes) -> int:
    """Send a request, read a chunked answer to its end and return its bytes, framing included.

    Blocks; run it in a thread. Raises RuntimeError when the answer is no 200 or has no end.
    """
    buffer = bytearray(_PIECE_BYTES)
    view = memoryview(buffer)
    total, tail, head = 0, b"", b""
    with socket.create_connection((HOST, port)) as connection:
        connection.sendall(request)
        while not tail.endswith(_LAST_CHUNK):
            size = connection.recv_into(view)
            if size == 0:
                raise RuntimeError(f"the stream was cut after {total} bytes")
            if total == 0:
                head = bytes(view[:300])
            total += size
            tail = (tail + bytes(view[max(0, size - 5) : size]))[-5:]
    if b" 200 " not in head[:20]:
        raise RuntimeError(f"the stream was refused: {head!r}")
    return total


def _header(head: bytes, name: bytes) -> bytes:
    for line in head.split(b"\r\n"):
        key, _, value = line.partition(b":")
        if key.strip().lower() == name:
            return value.strip()
    raise RuntimeError(f"the answer has no {name.decode()}: {head!r}")
