"""Progress of a long export, on standard error.

Owns when and how progress is told: a bar on a terminal (loaded only there),
else a line each ten seconds. Called by `export`. Never writes to standard
output.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Protocol, TextIO

from .lazy import load

_LINE_SECONDS = 10.0
_BAR = "radar_audit_cli.progress_bar:BarProgress"


class Progress(Protocol):
    """Is told how far an export came."""

    def advance(self, rows: int, size_bytes: int) -> None:
        """Add rows and bytes that were written."""

    def close(self) -> None:
        """End the telling, whatever came of the export."""


class LineProgress:
    """Writes a line at most each ten seconds; `clock` is in seconds."""

    def __init__(
        self,
        total_rows: int | None,
        stream: TextIO,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the estimate (None: unknown) and where to write."""
        self._total_rows = total_rows
        self._stream = stream
        self._clock = clock
        self._rows = 0
        self._size_bytes = 0
        self._told_at = clock()

    def advance(self, rows: int, size_bytes: int) -> None:
        """Count, and tell if ten seconds have passed since the last line."""
        self._rows += rows
        self._size_bytes += size_bytes
        now = self._clock()
        if now - self._told_at >= _LINE_SECONDS:
            self._told_at = now
            of_total = f" of about {self._total_rows}" if self._total_rows is not None else ""
            megabytes = self._size_bytes / 1_000_000
            self._stream.write(f"{self._rows}{of_total} events, {megabytes:.1f} MB\n")
            self._stream.flush()

    def close(self) -> None:
        """Nothing ends the lines."""


class NoProgress:
    """Tells nothing: the rows themselves run over the terminal."""

    def advance(self, rows: int, size_bytes: int) -> None:
        """Take no notice."""

    def close(self) -> None:
        """Nothing was begun."""


def open_progress(total_rows: int | None, *, is_beside_rows: bool) -> Progress:
    """Return a bar on a terminal, lines elsewhere, nothing if the terminal shows the rows."""
    if is_beside_rows:
        return NoProgress()
    if sys.stderr.isatty():
        bar: Progress = load(_BAR)(total_rows, sys.stderr)
        return bar
    return LineProgress(total_rows, sys.stderr)
