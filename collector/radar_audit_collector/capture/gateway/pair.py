"""The two sides of a connection in relay, and how they end.

Owns the order of ends: what one side ends, the other is told in the same way
behind all that came before; a half-closed pair does not stay for ever. Called by
its sides and by `relay`; `connection` adds how a pair opens. All of it is
callbacks. Never looks at a byte.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Protocol

from .config import RelayConfig
from .counters import Counters
from .engine import Buffers
from .link import Link
from .side import Side
from .terminal import EndReason, Terminal
from .timings import Timings
from .upstream import Upstream

_LINGER_SECONDS = 5.0
_LINGER_SHORT_TICKS = 1  # where a terminal is over, or the other connection gone
_LINGER_IDLE_TICKS = 12  # a half-closed connection on which nothing moves
_LINGER_STUCK_TICKS = 24  # as above, with bytes that its peer does not read


class Plane(Protocol):
    """What all connections of the relay share."""

    config: RelayConfig
    counters: Counters
    head_times: Timings
    buffers: Buffers
    upstream: Upstream
    link: Link
    capture: bool
    required: bool

    def take_lane(self) -> bool:
        """Take one of the few fast lanes (see `Side.widen`), or tell that none is free."""

    def settled(self, pair: Pair) -> None:
        """Note that a connection is no longer opening."""

    def forget(self, pair: Pair) -> None:
        """Note that a connection is gone."""

    def mismatched(self) -> None:
        """Note that the API server's protocols are not what was offered."""

    def unexpected(self, error: BaseException) -> None:
        """Report a fault of the gateway itself."""


class Pair:
    """A pair of sides; it is known to `plane` until both are gone."""

    __slots__ = (
        "_in_lane",
        "_linger",
        "_moved",
        "_plane",
        "_relaying",
        "_terminal",
        "_ticks",
        "client",
        "upstream",
    )

    def __init__(self, plane: Plane, serving: ssl.SSLContext) -> None:
        """Have one side; there is no relay before `upstream` is there, too."""
        self._plane = plane
        self.client = Side(self, plane.buffers, serving, None)
        self.upstream: Side | None = None
        self._linger: asyncio.TimerHandle | None = None
        self._terminal: Terminal | None = None
        self._relaying = self._in_lane = False
        self._ticks = self._moved = 0

    @property
    def has_lane(self) -> bool:
        """Tell whether it has one of the fast lanes."""
        return self._in_lane

    @property
    def has_terminal(self) -> bool:
        """Tell whether a terminal is open on it."""
        return self._terminal is not None and self._terminal.is_open

    def carried(self) -> tuple[int, int]:
        """Return how many bytes of plaintext went up to the API server, and down from it."""
        return self.client.carried, 0 if self.upstream is None else self.upstream.carried

    def shut(self, reason: EndReason) -> None:
        """End it from our side: both get what is under way, then the end."""
        self._note_end(reason)
        if not self._relaying:
            self.cut()
            return
        for side in self._sides():
            side.finish(clean=True)
        self._begin_linger()

    def cut(self) -> None:
        """End it at once, whatever is under way."""
        self._abort()

    # What the sides call.

    def changed(self, side: Side) -> None:
        """An end, in relay as well, of a side that has no peer."""
        self.ended(side)

    def later_bytes(self, side: Side) -> None:
        """A client goes on after an answer that closed it off: end its stream upstream."""
        if self.upstream is not None and not self.upstream.finished:
            self._plane.counters.add("later_request_cut")
            self.upstream.finish(clean=True)
            self._begin_linger()

    def grown(self, side: Side) -> None:
        """It carries much: give it a fast lane if one is free."""
        if not self._in_lane and self._plane.take_lane():
            self._in_lane = True
            for each in self._sides():
                each.widen()

    def ended(self, side: Side) -> None:
        """One direction is over: end it at the other side in the same way."""
        self._note_end(self._reason(side))
        other = self.upstream if side is self.client else self.client
        if other is not None:
            other.finish(clean=side.clean)
        if all(each.eof for each in self._sides()):
            for each in self._sides():
                each.close()
        self._begin_linger()

    def lost(self, side: Side) -> None:
        """One connection is gone; the other gets what is under way, then the end."""
        if self._relaying:
            self.ended(side)
        self._forget_if_gone()

    # Closing.

    def _sides(self) -> tuple[Side, ...]:
        return (self.client,) if self.upstream is None else (self.client, self.upstream)

    def _reason(self, side: Side) -> EndReason:
        if side.failure in ("tls", "flood"):
            return "error"
        if side is self.client:
            return "client_closed"
        return "server_closed" if side.clean else "error"

    def _note_end(self, reason: EndReason) -> None:
        if self._terminal is not None:
            self._terminal.mark_end(reason)

    def _begin_linger(self) -> None:
        if self._linger is None:
            self._ticks = 0
            self._moved = self._progress()
            self._arm()
        if self._terminal is not None and not self._backlog():
            self._terminal.send_end()

    def _arm(self) -> None:
        self._linger = asyncio.get_running_loop().call_later(_LINGER_SECONDS, self._tick)

    def _tick(self) -> None:
        """Look after a connection that is half closed: it may not stay so for ever."""
        moved, backlog = self._progress(), self._backlog()
        self._ticks = 0 if moved != self._moved else self._ticks + 1
        self._moved = moved
        if self._terminal is not None and not backlog:
            self._terminal.send_end()
        is_short = self._terminal is not None or any(s.transport is None for s in self._sides())
        limit = _LINGER_SHORT_TICKS if is_short else _LINGER_IDLE_TICKS
        if self._ticks >= (_LINGER_STUCK_TICKS if backlog else limit):
            self._abort()
        else:
            self._arm()

    def _progress(self) -> int:
        return sum(side.carried - side.discarded for side in self._sides()) - self._backlog()

    def _backlog(self) -> int:
        return sum(side.backlog_bytes() for side in self._sides())

    def _abort(self) -> None:
        for side in self._sides():
            side.abort()
        self._forget_if_gone()

    def _forget_if_gone(self) -> None:
        if any(side.transport is not None for side in self._sides()):
            return
        if self._linger is not None:
            self._linger.cancel()
        if self._terminal is not None:
            self._terminal.mark_end("error")
            self._terminal.send_end()
        for side in self._sides():
            if side.failure in ("tls", "flood"):
                self._plane.counters.add("relay_failed")
            side.release()
        self._plane.forget(self)
