"""Accepts connections: a bounded number at each wake-up, and none that there is no room for.

Owns the listening socket. Called by `relay`. Not asyncio's own server: on its close it
forgets connections that it has just accepted, and without descriptors it logs.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable

_BACKLOG = 512
_ACCEPTS_AT_ONCE = 64
_PAUSE_SECONDS = 0.5

TakeConnection = Callable[[socket.socket], None]


class Listener:
    """A listening socket; `take` owns each connection (non-blocking) from then on."""

    def __init__(
        self, host: str, port: int, take: TakeConnection, on_exhausted: Callable[[], None]
    ) -> None:
        """Bind; nothing is accepted yet. Raises OSError. `on_exhausted`: no descriptor is left."""
        self._take = take
        self._on_exhausted = on_exhausted
        self._sock = socket.create_server((host, port), backlog=_BACKLOG)
        self._sock.setblocking(False)
        self._resuming: asyncio.TimerHandle | None = None
        self.port = int(self._sock.getsockname()[1])

    def start(self) -> None:
        """Accept from now on."""
        self._resuming = None
        asyncio.get_running_loop().add_reader(self._sock, self._accept)

    def close(self) -> None:
        """Listen no more; harmless when closed."""
        if self._resuming is not None:
            self._resuming.cancel()
        if self._sock.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._sock)
            self._sock.close()

    def _accept(self) -> None:
        for _ in range(_ACCEPTS_AT_ONCE):
            try:
                sock, _ = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:
                # The connection stays in the backlog; without a pause this would spin.
                self._on_exhausted()
                loop = asyncio.get_running_loop()
                loop.remove_reader(self._sock)
                self._resuming = loop.call_later(_PAUSE_SECONDS, self.start)
                return
            sock.setblocking(False)
            try:
                self._take(sock)
            except BaseException:
                refuse(sock)  # rather than have its client wait for ever
                raise


def refuse(sock: socket.socket) -> None:
    """Close a connection that there is no room for."""
    with contextlib.suppress(OSError):
        sock.close()
