"""Cuts a byte stream into lines, bounded.

Owns partial and overlong lines. Called by the log follower. Pure; never keeps
more than one line of the maximum length.
"""

from __future__ import annotations


class LineSplitter:
    """Takes chunks, gives whole lines; a line over `max_line_bytes` is given as null, once."""

    def __init__(self, max_line_bytes: int) -> None:
        self._max_line_bytes = max_line_bytes
        self._rest = b""
        self._skipping = False
        self._skipped_bytes = 0
        self._whole_bytes = 0

    @property
    def whole_bytes(self) -> int:
        """How many bytes of whole lines (with their newlines) have been given so far."""
        return self._whole_bytes

    def feed(self, chunk: bytes) -> list[bytes | None]:
        """Return the lines that end in this chunk, without newline; empty lines are left out."""
        if self._skipping:
            end = chunk.find(b"\n")
            if end < 0:
                self._skipped_bytes += len(chunk)
                return []
            self._whole_bytes += self._skipped_bytes + end + 1
            self._skipping = False
            chunk = chunk[end + 1 :]
        *lines, rest = (self._rest + chunk).split(b"\n")
        self._whole_bytes += sum(map(len, lines)) + len(lines)
        given = [self._bounded(line) for line in lines if line]
        if len(rest) > self._max_line_bytes:
            # Given now, not at its end: there may never be one.
            given.append(None)
            self._skipping = True
            self._skipped_bytes = len(rest)
            rest = b""
        self._rest = rest
        return given

    def finish(self) -> list[bytes | None]:
        """Return what stands after the last newline: the stream will not go on."""
        rest, self._rest = self._rest, b""
        self._whole_bytes += len(rest) + (self._skipped_bytes if self._skipping else 0)
        self._skipping = False
        return [rest] if rest else []

    def _bounded(self, line: bytes) -> bytes | None:
        return line if len(line) <= self._max_line_bytes else None
