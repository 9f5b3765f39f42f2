"""TLS over memory buffers: ciphertext in, plaintext out, and back; no socket.

Owns one TLS object with its two buffers, and what went wrong with it. Called by
`side`, which owns the transport. Never lets a byte into an exception, a log or a
repr.

Why not asyncio's own TLS: it holds half a MiB a connection.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable
from typing import Any

RECEIVE_BYTES = 256 * 1024
NARROW_RECEIVE_BYTES = 64 * 1024
ALL_RECORDS = 1 << 20  # more than any step has
_RECORD_BYTES = 16 * 1024  # the largest plaintext of one TLS record
_SMALL_RECORD_BYTES = 4 * 1024
_Read = Callable[[int, memoryview], int]
_Write = Callable[[memoryview], int]


class Buffers:
    """The receive and the plaintext buffer that all connections of a process share.

    One of each will do: the event loop hands bytes on before it reads the next socket.
    """

    __slots__ = ("narrow", "plain", "received")

    def __init__(self) -> None:
        """Hold what one read may give, and room for all that may come out of it."""
        self.received = memoryview(bytearray(RECEIVE_BYTES))
        self.narrow = self.received[:NARROW_RECEIVE_BYTES]
        self.plain = memoryview(bytearray(RECEIVE_BYTES + 4 * _RECORD_BYTES))


class Engine:
    """One end of a TLS connection; without `server_hostname` the accepting one.

    `closed` tells that the peer said close_notify, `broken` that its bytes (or ours)
    make no sense as TLS. `incoming` takes ciphertext; `outgoing` has what must be sent.
    """

    __slots__ = ("_plain", "_read", "_write", "broken", "closed", "incoming", "outgoing", "tls")

    def __init__(
        self, buffers: Buffers, context: ssl.SSLContext, server_hostname: str | None
    ) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(
            self.incoming,
            self.outgoing,
            server_side=server_hostname is None,
            server_hostname=server_hostname,
        )
        # `tls` only calls on to CPython's own object; that call is a tenth of all work.
        raw: Any = getattr(self.tls, "_sslobj", self.tls)
        self._read: _Read = raw.read  # with a buffer it returns a count
        self._write: _Write = raw.write
        self._plain = buffers.plain
        self.closed = self.broken = False

    def shake(self) -> bool:
        """Go on with the handshake; tell whether it is over, well or (`broken`) not."""
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLError:  # a certificate that does not fit is one, too
            self.broken = True
        return True

    def decrypt(self, most: int) -> int:
        """Fill the shared plaintext buffer with at most so many records; return how far.

        Call it until it returns 0: no event would come for records that are here already.
        """
        filled = 0
        incoming, plain, read = self.incoming, self._plain, self._read
        try:
            while incoming.pending and most:
                count = read(_RECORD_BYTES, plain[filled:])
                if not count:
                    self.closed = True
                    break
                filled += count
                most -= 1
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.closed = True
        except ssl.SSLError:
            self.broken = True
        return filled

    def encrypt(self, filled: int) -> list[bytes]:
        """Return, in one piece, the records for the shared plaintext buffer up to `filled`."""
        plain, write = self._plain, self._write
        try:
            done = write(plain[:filled])
            while done < filled:
                done += write(plain[done:filled])
        except ssl.SSLError:
            self.broken = True
        return [self.outgoing.read()]

    def encrypt_small(self, filled: int) -> list[bytes]:
        """Return the same in small records, each taken out at once: OpenSSL's buffers never shrink.

        Three times the work and a quarter of the memory.
        """
        plain, write, take = self._plain, self._write, self.outgoing.read
        records: list[bytes] = []
        done = 0
        try:
            while done < filled:
                done += write(plain[done : min(done + _SMALL_RECORD_BYTES, filled)])
                records.append(take())
        except ssl.SSLError:
            self.broken = True
        return records

    def encrypt_bytes(self, plaintext: bytes | bytearray) -> bytes:
        """Return the records for some plaintext of one's own."""
        try:
            done = 0
            with memoryview(plaintext) as view:
                while done < len(view):
                    done += self._write(view[done:])
        except ssl.SSLError:
            self.broken = True
        return self.outgoing.read()

    def close_notify(self) -> bytes:
        """Return the record that ends our direction; the other one stays open."""
        # It would wait for the peer's own close_notify; all that is here was read, so that
        # it cannot swallow anything.
        with contextlib.suppress(ssl.SSLError):
            self.tls.unwrap()
        return self.outgoing.read()
