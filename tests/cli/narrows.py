"""A way to a server through which so many bytes of its answers come, and more only when told.

Owns a listener on loopback and two threads for each connection. Used by tests of the command line
that need an answer to stop in its middle, whoever runs faster.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self

_PASSES_BYTES = 1 << 20
_PIECE_BYTES = 1 << 14
_RECEIVE_BYTES = 1 << 16  # little of what waits is in our own buffers


class Narrows:
    """Lets the first MiB of all answers of a loopback port through; `widen` lets the rest go on."""

    def __init__(self, port: int) -> None:
        """Listen; nothing is taken before the block begins."""
        self._target = ("127.0.0.1", port)
        self._wide = threading.Event()
        self._passed_bytes = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept)]

    def widen(self) -> None:
        """Let everything through from now on."""
        self._wide.set()

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.widen()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.socket()
            far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
            try:
                far.connect(self._target)
            except OSError:
                near.close()
                far.close()
                continue
            thread = threading.Thread(target=self._relay, args=(near, far))
            self._threads.append(thread)
            thread.start()

    def _relay(self, near: socket.socket, far: socket.socket) -> None:
        asking = threading.Thread(target=_pass_on, args=(near, far))
        asking.start()
        with contextlib.suppress(OSError):
            while piece := far.recv(_PIECE_BYTES):
                self._passed_bytes += len(piece)
                if self._passed_bytes > _PASSES_BYTES:
                    self._wide.wait()
                near.sendall(piece)
        for end in (near, far):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        asking.join()
        near.close()
        far.close()


def _pass_on(near: socket.socket, far: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := near.recv(_PIECE_BYTES):
            far.sendall(piece)
        far.shutdown(socket.SHUT_WR)
