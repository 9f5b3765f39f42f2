"""One of the two connections of a pair: a raw transport with a TLS engine, and the byte path.

Owns transport, flow and ends of one connection. Called by `connection` (opening,
closing) and by the event loop. Never looks at a byte in relay, never queues
plaintext (a slow peer stops the reading of the source), and never lets a byte
into an exception, a log or a repr.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import sys
from typing import Literal, Protocol

from .engine import ALL_RECORDS, RECEIVE_BYTES, Buffers, Engine

WRITE_MARK_BYTES = 128 * 1024
HELD_BYTES = 64 * 1024  # plaintext kept while a connection opens
# TLS buffers never shrink: small steps, one record at a time, keep a session small.
_SMALL_STEP_BYTES = 4 * 1024
_TRANSFER_BYTES = 8 * 1024 * 1024  # no terminal shows as much soon: a copy, or a port-forward
_DISCARD_BYTES = 8 * 1024 * 1024  # read for nobody, to see the end that may stand behind it
_OWN_BACKLOG_BYTES = 1024 * 1024  # answers to key updates that a peer does not read
_KEEPALIVE_IDLE_SECONDS, _KEEPALIVE_PAUSE_SECONDS, _KEEPALIVE_TRIES = 15, 15, 9  # as Go

Failure = Literal["", "tls", "lost", "flood"]


class Owner(Protocol):
    """Who is told what happens to a side."""

    def changed(self, side: Side) -> None:
        """While it opens: plaintext held, end, or failure."""

    def ended(self, side: Side) -> None:
        """In relay: it sends no more; what came before was passed on."""

    def later_bytes(self, side: Side) -> None:
        """A muted side has sent bytes; they are gone."""

    def grown(self, side: Side) -> None:
        """A side has carried so much that it is a transfer; said once."""

    def lost(self, side: Side) -> None:
        """The transport is gone."""


class _Nobody:
    """The owner of a side that was released."""

    def changed(self, side: Side) -> None:
        """Do nothing."""

    ended = later_bytes = grown = lost = changed


NOBODY = _Nobody()


class Side(asyncio.BufferedProtocol):
    """One connection; attributes are for its owner to read, `muted` also to set.

    `peer` is set in relay. `eof`: it sends no more; `clean`: and said so by
    close_notify. `failure` says what broke. `finished`: we send no more. `held` is
    plaintext that waits for the relay to begin. `carried` counts bytes of plaintext;
    `discarded` those of them that had nowhere to go.
    """

    __slots__ = (
        "_buffers",
        "_congested",
        "_engine",
        "_grown_at",
        "_holding",
        "_owner",
        "_step",
        "_waiter",
        "carried",
        "discarded",
        "eof",
        "failure",
        "finished",
        "held",
        "muted",
        "peer",
        "shaken",
        "transport",
    )

    def __init__(
        self, owner: Owner, buffers: Buffers, context: ssl.SSLContext, server_hostname: str | None
    ) -> None:
        """Prepare a connection; without `server_hostname` it is the accepting one."""
        self._owner = owner
        self._buffers = buffers
        self._engine = Engine(buffers, context, server_hostname)
        self._step, self._grown_at = _SMALL_STEP_BYTES, _TRANSFER_BYTES
        self._holding, self._congested = True, False
        self._waiter: asyncio.Future[None] | None = None
        self.transport: asyncio.Transport | None = None
        self.peer: Side | None = None
        self.shaken = self.eof = self.finished = self.muted = False
        self.failure: Failure = ""
        self.held = bytearray()
        self.carried = self.discarded = 0

    @property
    def clean(self) -> bool:
        """Tell whether its end was announced by close_notify."""
        return self._engine.closed and not self.failure

    @property
    def protocol(self) -> str:
        """The protocol that ALPN chose, empty if none."""
        return self._engine.tls.selected_alpn_protocol() or ""

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake; the accepting side waits for its first bytes."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.set_write_buffer_limits(high=WRITE_MARK_BYTES)
        _keep_alive(transport.get_extra_info("socket"))
        if not self._engine.tls.server_side:
            self._shake()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return the shared buffer, or as much of it as it may fill at once."""
        return self._buffers.received if self._step == RECEIVE_BYTES else self._buffers.narrow

    def buffer_updated(self, nbytes: int) -> None:
        """Take `nbytes` of ciphertext: in relay pass on what they decrypt to."""
        if self.peer is not None:
            self._carry(nbytes)
            return
        if self.finished:
            return  # only read so that the other end is not reset before it has our answer
        self._engine.incoming.write(self._buffers.received[:nbytes])
        if not self.shaken:
            self._shake()
        elif self._holding:
            self.pause()
        else:
            self._gather()

    def eof_received(self) -> bool:
        """Note the end of the stream; the other direction stays open."""
        if not self.eof:
            self.eof = True
            self.tell_end()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the connection is gone."""
        if exc is not None:
            self._salvage()
            self.failure = self.failure or "lost"
        self.transport = None
        self.eof = True
        if self.peer is not None:
            self.peer.resume()
        self._wake()
        self._owner.lost(self)

    def pause_writing(self) -> None:
        """Stop the source while this side's peer does not read."""
        self._congested = True
        if self.peer is not None:
            self.peer.pause()

    def resume_writing(self) -> None:
        """Let the source go on."""
        self._congested = False
        if self.peer is not None:
            self.peer.resume()

    # What the owner calls.

    async def shake_hands(self) -> bool:
        """Wait for the end of the handshake; tell whether it succeeded."""
        if not (self.shaken or self.eof or self.failure):
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self.shaken and not self.failure

    def gather(self) -> None:
        """Decrypt into `held` from now on, up to a bound, until the relay begins."""
        self._holding = False
        self.resume()
        self._gather()

    def widen(self) -> None:
        """Work in whole steps from now on: a third less work, and ten times the memory."""
        self._step = RECEIVE_BYTES

    def relay_to(self, peer: Side) -> None:
        """Pass everything on to `peer` from now on, first what was held."""
        self.peer = peer
        if self.held:
            if self.muted:
                self._owner.later_bytes(self)
            else:
                peer.send(self.held)
            self.held = bytearray()
        self._carry(0)
        if not peer.is_congested():
            self.resume()
        if self.eof:
            self.tell_end()  # it came while the connection was opening

    def send(self, plaintext: bytes | bytearray) -> None:
        """Encrypt and send; what a closed or finished side is given is gone."""
        if self.transport is not None and not self.finished:
            self.transport.write(self._engine.encrypt_bytes(plaintext))
            self._note_broken()

    def finish(self, *, clean: bool) -> None:
        """Send no more: behind what is under way, close_notify if `clean`, and FIN."""
        if self.finished or self.transport is None:
            return
        if clean:
            self.transport.write(self._engine.close_notify())
        self.finished = True
        with contextlib.suppress(OSError):
            self.transport.write_eof()

    def close(self) -> None:
        """Close the transport once everything is flushed to the kernel."""
        if self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        """Close the transport at once."""
        if self.transport is not None:
            self.transport.abort()

    def backlog_bytes(self) -> int:
        """Return how much waits for the peer to read."""
        return 0 if self.transport is None else self.transport.get_write_buffer_size()

    def is_congested(self) -> bool:
        """Tell whether more than the mark waits for the peer to read."""
        return self._congested

    def release(self) -> None:
        """Let go of owner and peer, so that no reference cycle keeps the buffers."""
        self._owner = NOBODY
        self.peer = None

    def pause(self) -> None:
        """Read no more for now."""
        if self.transport is not None:
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self.transport is not None:
            self.transport.resume_reading()

    def tell_end(self) -> None:
        """Tell the owner that this side sends no more."""
        if self.peer is not None:
            self._owner.ended(self)
        else:
            self._wake()
            self._owner.changed(self)

    # The byte path.

    def _carry(self, nbytes: int) -> None:
        """Decrypt what came, in steps, encrypt it for the peer, send it in one write."""
        peer, engine = self.peer, self._engine
        assert peer is not None
        received, step = self._buffers.received, self._step
        is_wide = step == RECEIVE_BYTES
        records = ALL_RECORDS if is_wide else 1
        encrypt = peer._engine.encrypt if is_wide else peer._engine.encrypt_small  # noqa: SLF001 - the same class
        out: list[bytes] = []
        for at in range(0, nbytes or 1, step):
            if nbytes:
                engine.incoming.write(received[at : min(at + step, nbytes)])
            while filled := engine.decrypt(records):
                self.carried += filled
                if peer.transport is not None and not (peer.finished or self.muted):
                    out += encrypt(filled)
                else:
                    self._discard(filled)
        if out and peer.transport is not None:
            peer.transport.write(out[0] if len(out) == 1 else b"".join(out))
            peer._note_broken()  # noqa: SLF001 - the same class
        if self.carried > self._grown_at:
            self._grown_at = sys.maxsize
            self._owner.grown(self)
        if engine.outgoing.pending:
            self._answer()
        if engine.closed or engine.broken or self.failure:
            self._note_broken()
            self.eof = True
            self.tell_end()

    def _discard(self, count: int) -> None:
        self.discarded += count
        if self.discarded > _DISCARD_BYTES:
            self.pause()  # its owner sees that nothing moves any more
        if self.muted:
            self._owner.later_bytes(self)

    def _salvage(self) -> None:
        """Pass on what was received before a write failed: an early answer, say, then a reset."""
        if self.transport is None or self.peer is None:
            return
        descriptor = self.transport.get_extra_info("socket").fileno()
        with contextlib.suppress(OSError):
            while self.peer.backlog_bytes() < WRITE_MARK_BYTES:
                count = os.readv(descriptor, [self._buffers.received])
                if not count:
                    return
                self._carry(count)

    def _answer(self) -> None:
        """Send what TLS itself has to say, such as the answer to a key update."""
        records = self._engine.outgoing.read()
        if self.backlog_bytes() > _OWN_BACKLOG_BYTES:
            self.failure = self.failure or "flood"
        elif self.transport is not None and not self.finished:
            self.transport.write(records)

    # Opening.

    def _shake(self) -> None:
        is_over = self._engine.shake()
        if self._engine.outgoing.pending:
            self._answer()  # the next flight, or the alert that says what is wrong
        if not is_over:
            return
        if self._engine.broken:
            self.failure = "tls"
        else:
            self.shaken = True
            self.pause()
        self._wake()

    def _gather(self) -> None:
        filled = self._engine.decrypt(ALL_RECORDS)
        if filled:
            self.held += self._buffers.plain[:filled]
        if len(self.held) >= HELD_BYTES:
            self.pause()
        if self._engine.outgoing.pending:
            self._answer()
        self._note_broken()
        if self._engine.closed or self.failure:
            self.eof = True
        if filled or self.eof:
            self._owner.changed(self)

    def _note_broken(self) -> None:
        if self._engine.broken:
            self.failure = self.failure or "tls"

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _keep_alive(sock: socket.socket) -> None:
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_IDLE_SECONDS)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEPALIVE_PAUSE_SECONDS)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _KEEPALIVE_TRIES)
