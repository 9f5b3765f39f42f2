"""One connection of Radar's to the API server: how it opens.

Owns the order of events up to the relay: handshake, request head, status, journal.
Called by `relay`, which accepts, and by its sides; from the relay on it is a plain
`Pair`. Opening is a coroutine. Never looks at a byte behind a head, and never lets
the journal hold a stream for longer than the bound.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import time

from .answers import SWITCHING, read_status, refusal
from .contexts import H2
from .pair import Pair, Plane
from .rules import Decision, decide, pass_line
from .side import Side
from .terminal import Terminal
from .upstream import UpstreamError

NOT_RECORDED = refusal(
    503,
    "ServiceUnavailable",
    "the audit gateway cannot record this terminal now, and its policy is to refuse it then; "
    "try again later",
)


class _GoneError(Exception):
    """One of the two ends went away while the connection was opening."""


class Connection(Pair):
    """A pair that begins with Radar's side alone."""

    __slots__ = ("_changed", "_opening")

    def __init__(self, plane: Plane, serving: ssl.SSLContext) -> None:
        """Prepare Radar's side; nothing happens before `begin`."""
        super().__init__(plane, serving)
        self._opening: asyncio.Task[None] | None = None
        self._changed: asyncio.Future[None] | None = None

    def cut(self) -> None:
        """End it at once, also while it opens."""
        if self._opening is not None:
            self._opening.cancel()
        else:
            super().cut()

    def begin(self, sock: socket.socket) -> None:
        """Open over an accepted socket (non-blocking), which is this object's from now on."""
        self._opening = asyncio.get_running_loop().create_task(self._open(sock))
        self._opening.add_done_callback(lambda _: self._opened(sock))

    # What the sides call while it opens.

    def changed(self, side: Side) -> None:
        """Wake the opening coroutine."""
        if self._relaying:
            super().changed(side)
        elif self._changed is not None and not self._changed.done():
            self._changed.set_result(None)

    def lost(self, side: Side) -> None:
        """Wake the opening coroutine, which ends then; later it is the pair's matter."""
        if not self._relaying:
            self.changed(side)
        super().lost(side)

    def _forget_if_gone(self) -> None:
        if self._opening is None:
            super()._forget_if_gone()

    # Opening.

    async def _open(self, sock: socket.socket) -> None:
        plane = self._plane
        try:
            async with asyncio.timeout(plane.config.opening_seconds):
                loop = asyncio.get_running_loop()
                await loop.connect_accepted_socket(lambda: self.client, sock)
                decision = await self._reach_upstream()
            plane.settled(self)
            if decision is not None:
                await self._carry_out(decision)
        except TimeoutError:
            plane.counters.add("opening_timed_out")
            self._abort()
        except (_GoneError, UpstreamError) as exc:
            if isinstance(exc, UpstreamError):
                plane.counters.add("alpn_mismatch" if exc.mismatch else "upstream_failed")
                if exc.mismatch:
                    plane.mismatched()
            self._abort()
        except asyncio.CancelledError:
            self._abort()
            raise
        except Exception as exc:  # a fault of ours must not leave a connection hanging
            plane.unexpected(exc)
            self._abort()

    def _opened(self, sock: socket.socket) -> None:
        """Clean up behind `_open`, also where it was cancelled before it began."""
        self._opening = None
        self._plane.settled(self)
        if self.client.transport is None:
            sock.close()
        self._forget_if_gone()

    async def _reach_upstream(self) -> Decision | None:
        """Shake hands with both ends; return what is to be done, null if it relays already."""
        plane, client = self._plane, self.client
        if not await client.shake_hands():
            plane.counters.add("handshake_failed")
            raise _GoneError
        protocol = client.protocol
        dialling = asyncio.ensure_future(plane.upstream.dial(self, protocol))
        try:
            decision = None
            if protocol == H2 or not plane.capture:
                plane.counters.add("connections_h2" if protocol == H2 else "connections_unwatched")
            else:
                plane.counters.add("connections_h1")
                decision = await self._read_head()
            if decision is None or decision.refuse is None:
                self.upstream = await dialling
        finally:
            if not dialling.done():
                dialling.cancel()
            elif not dialling.cancelled() and dialling.exception() is None:
                self.upstream = dialling.result()
        if decision is None:
            self._relay()
            if protocol == H2:
                self.grown(self.client)
        return decision

    async def _read_head(self) -> Decision:
        client, looked_at, spent_seconds = self.client, 0, 0.0
        client.gather()
        close_off = self._plane.config.close_off
        while True:
            begun = time.perf_counter()
            decision = decide(client.held, looked_at, os.urandom(16), close_off=close_off)
            spent_seconds += time.perf_counter() - begun
            if decision is not None:
                self._plane.head_times.add(spent_seconds)
                client.held = bytearray(decision.rest)
                for note in decision.notes:
                    self._plane.counters.add(note)
                return decision
            looked_at = len(client.held)
            if client.eof:
                raise _GoneError
            await self._next_change()

    async def _carry_out(self, decision: Decision) -> None:
        if decision.refuse is not None:
            self._refuse(decision.refuse)
            return
        terminal = None
        if decision.exec is not None:
            terminal = Terminal(self._plane.link, decision.exec, decision.audit_id)
            wait_seconds = self._plane.config.required_ms / 1000
            if self._plane.required and not await terminal.may_start(wait_seconds):
                self._plane.counters.add("exec_not_recorded_refused")
                self._refuse(NOT_RECORDED)
                return
        upstream = self._reached()
        upstream.send(decision.send)
        if decision.watch:
            await self._await_status(upstream, terminal)
            return
        if decision.line_open:
            await self._pass_request_line(upstream)
        self._relay()

    async def _pass_request_line(self, upstream: Side) -> None:
        """Let a very long request line pass, and close off what follows it."""
        client = self.client
        while True:
            passing, is_over = pass_line(client.held)
            upstream.send(passing)
            if is_over:
                return
            if client.eof or upstream.eof or upstream.is_congested():
                raise _GoneError
            client.gather()
            await self._next_change()

    async def _await_status(self, upstream: Side, terminal: Terminal | None) -> None:
        """Hold the client's bytes until the API server has answered; relay only behind a 101."""
        client, counters = self.client, self._plane.counters
        upstream.gather()
        while True:
            progress = read_status(upstream.held)
            if progress.passed:
                client.send(upstream.held[: progress.passed])
                del upstream.held[: progress.passed]
                upstream.gather()
                continue
            status = progress.status
            if status is not None or upstream.eof:
                break
            if client.eof:
                raise _GoneError
            await self._next_change()
        if status != SWITCHING:
            counters.add("upgrade_refused")
            if terminal is not None:
                terminal.answered(status or 0)
            # The connection stays HTTP: a later request on it would pass unseen.
            client.muted = True
        elif terminal is None:
            counters.add("upgrade_switched")
        elif not await self._start(terminal):
            self._refuse(NOT_RECORDED)
            return
        self._relay()

    async def _start(self, terminal: Terminal) -> bool:
        """Tell the journal; tell whether the client may have its 101."""
        plane = self._plane
        required = plane.required  # of the moment: the policy may change while it waits
        wait_ms = plane.config.required_ms if required else plane.config.confirm_ms
        self._terminal = terminal
        plane.counters.add("exec_opened")
        if await terminal.start(wait_ms / 1000):
            return True
        plane.counters.add("exec_not_recorded_refused" if required else "start_unconfirmed")
        if required:
            self._note_end("error")
        return not required

    def _refuse(self, answer: bytes) -> None:
        """Answer the client ourselves, and end."""
        if self.upstream is not None:
            self.upstream.abort()
        self._relaying = True
        self.client.send(answer)
        self.client.finish(clean=True)
        self.client.resume()  # what it still sends is read and dropped, so that no reset comes
        self._begin_linger()

    def _reached(self) -> Side:
        """Return the upstream side if both ends are still there."""
        if self.upstream is None or self.upstream.transport is None:
            raise _GoneError
        if self.client.transport is None:
            raise _GoneError
        return self.upstream

    def _relay(self) -> None:
        upstream, client = self._reached(), self.client
        self._relaying = True
        client.relay_to(upstream)
        upstream.relay_to(client)

    async def _next_change(self) -> None:
        self._changed = asyncio.get_running_loop().create_future()
        try:
            await self._changed
        finally:
            self._changed = None
