"""The progress bar of an export on a terminal.

Owns the only use of rich on standard error. Loaded through `progress` where
standard error is a terminal.
"""

from __future__ import annotations

from typing import TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)


class BarProgress:
    """A bar that fills towards the estimate, and pulses where there is none."""

    def __init__(self, total_rows: int | None, stream: TextIO) -> None:
        """Take the estimate (None: unknown) and start drawing."""
        self._rows = 0
        self._total_rows = total_rows
        self._bar = Progress(
            TextColumn("events"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[megabytes]:.1f} MB"),
            TimeElapsedColumn(),
            console=Console(file=stream),
        )
        self._task = self._bar.add_task("events", total=total_rows, megabytes=0.0)
        self._size_bytes = 0
        self._bar.start()

    def advance(self, rows: int, size_bytes: int) -> None:
        """Move the bar; an estimate that was too small grows with the rows."""
        self._rows += rows
        self._size_bytes += size_bytes
        total = self._total_rows if self._total_rows is None else max(self._total_rows, self._rows)
        self._bar.update(
            self._task,
            completed=self._rows,
            total=total,
            megabytes=self._size_bytes / 1_000_000,
        )

    def close(self) -> None:
        """Stop drawing and leave the last state on the screen."""
        self._bar.stop()
