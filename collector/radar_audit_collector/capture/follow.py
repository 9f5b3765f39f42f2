"""Follows a log file through rotation, truncation and restarts, one step at a time.

Owns which file is read next and where in it. Called by the log file source,
step by step from a worker thread. Blocking; never interprets a line.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from radar_audit_collector.errors import CollectorError

from .checkpoint import HEAD_BYTES, Checkpoint, encode_checkpoint, head_hash
from .lines import LineSplitter
from .record import Skipped
from .rotation import GZIP_ERRORS, find_file, open_log, read_head, rotated_after, rotated_files

# A step without a line in it (one huge line, many empty files) ends all the same.
_MAX_READS_PER_STEP = 64


class LogfileError(CollectorError):
    """The audit log exists but cannot be read."""

    def __init__(self, path: Path, cause: OSError) -> None:
        """Name the file and the system's reason; no content."""
        reason = os.strerror(cause.errno) if cause.errno else "it is no readable file"
        super().__init__(
            f"the audit log {path} cannot be read ({reason}): "
            "give the collector's user the right to read it, or correct the path"
        )


@dataclass(frozen=True, slots=True)
class Found:
    """What one step gave: lines and faults in order, and the checkpoint after them."""

    items: list[bytes | Skipped]
    checkpoint: bytes


class _OpenFile:
    """One file being read: its lines so far and its identity."""

    def __init__(self, path: Path, offset: int, after: str, max_line_bytes: int) -> None:
        """Open the file and go to `offset`. Raises OSError, GZIP_ERRORS."""
        self.after = after
        self.path = path
        self.archive = path.suffix == ".gz"
        self._file: BinaryIO = open_log(path)
        try:
            stat = os.fstat(self._file.fileno())
            self.inode = stat.st_ino
            self.head = read_head(self._file)
            self._file.seek(offset)
        except BaseException:
            self._file.close()
            raise
        self._base = offset
        self._read_bytes = offset
        self._splitter = LineSplitter(max_line_bytes)

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
        fd = self._file.fileno()
        if self.archive:
            return False
        if os.fstat(fd).st_size < self._read_bytes:
            return True
        known = self.head[: self._read_bytes]
        if len(self.head) < HEAD_BYTES:
            self.head = os.pread(fd, HEAD_BYTES, 0)
            return self.head[: len(known)] != known
        return os.pread(fd, len(known), 0) != known

    def checkpoint(self) -> Checkpoint:
        """Return the place after the last whole line."""
        offset = self._base + self._splitter.whole_bytes
        if len(self.head) < min(offset, HEAD_BYTES):
            self.head = os.pread(self._file.fileno(), HEAD_BYTES, 0)
        head = self.head[:offset]
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


class LogFollower:
    """Gives the lines of a log, each once, in the order they were written.

    `start` is where to go on (null: at the beginning of the live file); `lost`
    says that a checkpoint existed but could not be read. A step reads at most
    `chunk_bytes`.
    """

    def __init__(
        self,
        path: Path,
        start: Checkpoint | None,
        *,
        lost: bool = False,
        chunk_bytes: int,
        max_line_bytes: int,
    ) -> None:
        self._path = path
        self._start = start
        self._chunk_bytes = chunk_bytes
        self._max_line_bytes = max_line_bytes
        self._current: _OpenFile | None = None
        self._last: Checkpoint | None = start  # the file that was read before the current one
        self._rotated = False  # the current file is no longer the live one
        self._waited = False  # the end of the current file had been reached before
        self._unreadable: set[Path] = set()
        self._faults: list[bytes | Skipped] = [Skipped("checkpoint_lost")] if lost else []
        self._lock = threading.Lock()

    def step(self) -> Found | None:
        """Do one piece of work; null if there is nothing to do until the log grows.

        Raises LogfileError if the log exists but cannot be read.
        """
        with self._lock:
            for _ in range(_MAX_READS_PER_STEP):
                if self._current is None and not self._open_next():
                    return None
                found, idle = self._read()
                if found is not None or idle:
                    return found
            return None

    def close(self) -> None:
        """Close the file; waits for a step that is under way in another thread."""
        with self._lock:
            if self._current is not None:
                self._current.close()
                self._current = None

    def _read(self) -> tuple[Found | None, bool]:
        """Read a chunk of the current file: what was found, and whether to wait."""
        current = self._current
        assert current is not None
        try:
            if self._waited and current.was_overwritten():
                # Before the read: what was written over it may have grown past our place.
                self._start_over(current)
                return None, False
            some, lines = current.lines(self._chunk_bytes)
        except GZIP_ERRORS:
            self._faults.append(Skipped("archive_unreadable"))
            self._unreadable.add(current.path)
            return self._leave(current), False
        except OSError as exc:
            raise LogfileError(self._path, exc) from exc
        self._waited = False
        if some:
            return self._found(current, lines), False
        if current.archive or self._rotated:
            return self._leave(current), False
        return None, self._look(current)

    def _look(self, current: _OpenFile) -> bool:
        """At the end of the file: find out why, and say whether to wait for more."""
        try:
            inode = self._path.stat().st_ino
        except FileNotFoundError:
            return True  # renamed, and the new one is not there yet
        except OSError as exc:
            raise LogfileError(self._path, exc) from exc
        if inode != current.inode:
            # Lines may have come between the last read and the rename: read once more.
            self._rotated = True
            return False
        self._waited = True
        return True

    def _start_over(self, current: _OpenFile) -> None:
        """The file was cut short or overwritten: read it anew from its beginning."""
        self._faults.append(Skipped("file_truncated"))
        current.close()
        self._current, self._last, self._waited = None, None, False

    def _leave(self, current: _OpenFile) -> Found | None:
        """Take the last line of a file that is over, and go on to the next file."""
        found = self._found(current, current.last_line())
        self._last = current.checkpoint()
        current.close()
        self._current, self._rotated, self._waited = None, False, False
        return found

    def _found(self, current: _OpenFile, lines: list[bytes | None]) -> Found | None:
        items = self._faults
        items.extend(Skipped("line_too_long") if line is None else line for line in lines)
        if not items:
            return None
        self._faults = []
        return Found(items, encode_checkpoint(current.checkpoint()))

    def _open_next(self) -> bool:
        """Open the file that is to be read now; false if it does not exist yet."""
        if self._start is not None:
            place = find_file(self._path, self._start)
            if place is not None:
                # Not there any more: it is being compressed, and is found again under that name.
                opened = self._open(place, self._start.offset, self._start.after)
                if opened or place in self._unreadable:
                    self._start = None
                return opened
            self._faults.append(Skipped("checkpoint_lost"))
            self._start = None
        # The live file first: if it is rotated before the others are listed, it is one of them.
        opened = self._open(self._path, 0, "")
        live = self._current
        files = rotated_files(self._path)
        later = rotated_after(self._path, files, self._last) if self._last is not None else []
        following = next((f for f in later if f.path not in self._unreadable), None)
        if following is None or (live is not None and following.inode == live.inode):
            if live is not None:
                live.after = files[-1].stamp if files else ""
                self._unreadable.clear()
            return opened
        if live is not None:
            live.close()
        self._current = None
        return self._open(following.path, 0, following.stamp)

    def _open(self, path: Path, offset: int, after: str) -> bool:
        try:
            self._current = _OpenFile(path, offset, after, self._max_line_bytes)
        except FileNotFoundError:
            return False
        except GZIP_ERRORS:
            self._faults.append(Skipped("archive_unreadable"))
            self._unreadable.add(path)
            return False
        except OSError as exc:
            raise LogfileError(path, exc) from exc
        return True
