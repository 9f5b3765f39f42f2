"""One log file while it is open: where the reader is in it, and whether it is still the same.

Owns the file's handle and its identity. Called by the log follower. Blocking;
never interprets a line. As long as it is open, its inode belongs to it alone.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from .checkpoint import HEAD_BYTES, Checkpoint, head_hash
from .lines import LineSplitter
from .rotation import open_log, read_head


class OpenFile:
    """A file being read from its beginning, or from where `go_to` says.

    Raises OSError, and GZIP_ERRORS if it is an archive, wherever it reads.
    """

    def __init__(self, path: Path, max_line_bytes: int) -> None:
        self.after = ""
        self._archive = path.suffix == ".gz"
        self._file: BinaryIO = open_log(path)
        try:
            self.inode = os.fstat(self._file.fileno()).st_ino
            self._head = read_head(self._file)
            self._file.seek(0)
        except BaseException:
            self._file.close()
            raise
        self._base = 0
        self._read_bytes = 0
        self._splitter = LineSplitter(max_line_bytes)

    @property
    def grows(self) -> bool:
        """Whether more may be written to it: an archive is whole."""
        return not self._archive

    def holds(self, place: Checkpoint) -> bool:
        """Tell whether this is the file of a checkpoint."""
        head = self._head[: place.head_bytes]
        return self.inode == place.inode and head_hash(head) == place.head_hash

    def go_to(self, offset: int) -> None:
        """Go on from `offset` bytes of content."""
        self._file.seek(offset)
        self._base = self._read_bytes = offset

    def lines(self, size: int) -> tuple[bool, list[bytes | None]]:
        """Read up to `size` bytes: whether there were any, and the lines that end in them."""
        chunk = self._file.read(size)
        self._read_bytes += len(chunk)
        return bool(chunk), self._splitter.feed(chunk) if chunk else []

    def last_line(self) -> list[bytes | None]:
        """Return the line without newline at the end of a file that will not grow."""
        return self._splitter.finish()

    def was_overwritten(self) -> bool:
        """Tell whether the file was cut short, or holds something else than was read."""
        if self._archive:
            return False
        if os.fstat(self._file.fileno()).st_size < self._read_bytes:
            return True
        known = self._head[: self._read_bytes]
        self._head = os.pread(self._file.fileno(), HEAD_BYTES, 0)
        return self._head[: len(known)] != known

    def checkpoint(self) -> Checkpoint:
        """Return the place after the last whole line."""
        offset = self._base + self._splitter.whole_bytes
        if not self._archive and len(self._head) < min(offset, HEAD_BYTES):
            self._head = os.pread(self._file.fileno(), HEAD_BYTES, 0)
        head = self._head[:offset]
        return Checkpoint(
            inode=self.inode,
            offset=offset,
            head_bytes=len(head),
            head_hash=head_hash(head),
            after=self.after,
        )

    def close(self) -> None:
        """Close the file."""
        self._file.close()
