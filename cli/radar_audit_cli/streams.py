"""The program's standard streams.

Owns their encoding, and what becomes of standard output once nobody reads it.
Called by `main` and by the export.
"""

from __future__ import annotations

import io
import os
import sys


def prepare_streams() -> None:
    """Let programs read UTF-8 and our own line ends, and no character make a write fail."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            encoding = None if stream.isatty() else "utf-8"
            stream.reconfigure(encoding=encoding, errors="backslashreplace", newline="")


def quiet_stdout() -> None:
    """Point standard output at nothing: its reader is gone, and a last flush must not complain."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
    os.close(nothing)
