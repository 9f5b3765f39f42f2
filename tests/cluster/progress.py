"""Lines that say what a cluster's start or build is at, each with the seconds since it began.

`__main__` makes one and hands it down. Never shows a secret: callers pass names and paths only.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable


def to_standard_error(line: str) -> None:
    """Write one line to standard error, so that standard output stays for answers."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


class Progress:
    """Says each text with the seconds since it was made."""

    def __init__(self, write: Callable[[str], None] = to_standard_error) -> None:
        """Begin to count now; `write` takes each line without its newline."""
        self._write = write
        self._begun_seconds = time.monotonic()

    @property
    def elapsed_seconds(self) -> float:
        """The seconds since it was made."""
        return time.monotonic() - self._begun_seconds

    def __call__(self, text: str) -> None:
        """Say `text`."""
        self._write(f"cluster {self.elapsed_seconds:7.1f} s  {text}")
