"""A process that a later command must find again: by pid and start, never by name.

The provider `machine` writes them into the cluster's note and ends them. A pid that the kernel
gave to somebody else meanwhile has another start and is left alone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

_POLL_SECONDS = 0.02
_BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class KnownProcess:
    """A pid, when it started (clock ticks since boot), and which boot that was."""

    pid: int
    started_ticks: int
    boot: str

    def is_alive(self) -> bool:
        """Return whether that very process still runs (a zombie does not)."""
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)  # collect it when it is our child and has ended
        try:
            return known(self.pid) == self
        except ProcessLookupError:
            return False

    def kill(self, wait_seconds: float) -> bool:
        """End it at once; return whether it is gone within the time."""
        until = time.monotonic() + wait_seconds
        if self.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        while self.is_alive():
            if time.monotonic() > until:
                return False
            time.sleep(_POLL_SECONDS)
        return True


def known(pid: int) -> KnownProcess:
    """Return the process that has `pid` now. ProcessLookupError when none runs."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        raise ProcessLookupError(f"no process {pid}") from None
    # The second field is the program's name in parentheses, which may hold spaces and parentheses.
    fields = text.rpartition(")")[2].split()
    if fields[0] in {"Z", "X"}:
        raise ProcessLookupError(f"process {pid} has ended")
    return KnownProcess(pid, int(fields[19]), _BOOT.read_text(encoding="ascii").strip())
