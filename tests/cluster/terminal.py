"""A program in a pseudo-terminal, as a person at a keyboard has it: `kubectl exec -it` and such.

Used by e2e tests. Every wait is bounded; the program is ended with the block, by its pid.
"""

from __future__ import annotations

import contextlib
import os
import pty
import select
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence

from tests.cluster.errors import ClusterError

_READ_BYTES = 65536
_DEFAULT_SECONDS = 30.0


class Terminal:
    """A running program; `shown` is all that it has written so far."""

    def __init__(self, program: subprocess.Popen[bytes], descriptor: int) -> None:
        """Take the program and the other end of its terminal."""
        self.program = program
        self.shown = ""
        self._descriptor = descriptor

    def type(self, text: str) -> None:
        """Type `text` and the return key."""
        os.write(self._descriptor, text.encode() + b"\r")

    def expect(self, text: str, timeout_seconds: float = _DEFAULT_SECONDS) -> None:
        """Wait until `text` was shown. ClusterError with what was, when it does not come."""
        until = time.monotonic() + timeout_seconds
        while text not in self.shown:
            if not self._read(until - time.monotonic()):
                raise ClusterError(f"the terminal never showed {text!r}, but {self.shown!r}")

    def wait(self, timeout_seconds: float = _DEFAULT_SECONDS) -> int:
        """Wait until the program ends; return its exit code, negative for a signal."""
        until = time.monotonic() + timeout_seconds
        while self._read(until - time.monotonic()):
            pass
        try:
            return self.program.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise ClusterError(
                f"the program in the terminal runs on; it showed {self.shown!r}"
            ) from None

    def _read(self, timeout_seconds: float) -> bool:
        """Read what is there within the time; return False at the end or when nothing came."""
        ready, _, _ = select.select([self._descriptor], [], [], max(0.0, timeout_seconds))
        if not ready:
            return False
        try:
            read = os.read(self._descriptor, _READ_BYTES)
        except OSError:  # the program closed its end
            return False
        self.shown += read.decode(errors="replace")
        return bool(read)


@contextlib.contextmanager
def terminal(argv: Sequence[str], environ: Mapping[str, str] | None = None) -> Iterator[Terminal]:
    """Run `argv` in a terminal of its own for the length of the block."""
    ours, theirs = pty.openpty()
    with contextlib.ExitStack() as open_ends:
        open_ends.callback(os.close, ours)
        try:
            program = subprocess.Popen(
                ["setsid", "--ctty", *argv],
                env={**os.environ, "TERM": "xterm", **(environ or {})},
                stdin=theirs, stdout=theirs, stderr=theirs,
            )  # fmt: skip
        finally:
            os.close(theirs)
        try:
            yield Terminal(program, ours)
        finally:
            program.kill()
            program.wait()
