"""Follows a log file through rotation, truncation and restarts, one step at a time.

Owns which file is read next and where in it. Called by the log file source,
step by step from a worker thread. Blocking; never interprets a line.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path

from radar_audit_collector.errors import CollectorError

from .checkpoint import Checkpoint, encode_checkpoint
from .open_file import OpenFile
from .record import Skipped
from .rotation import GZIP_ERRORS, FolderChangedError, LogFolder, list_folder

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
        self._current: OpenFile | None = None
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
                try:
                    if self._current is None and not self._open_next():
                        return None
                except FolderChangedError:
                    continue
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
            return self._leave(current), False
        except OSError as exc:
            raise LogfileError(self._path, exc) from exc
        self._waited = False
        if some:
            return self._found(current, lines), False
        if self._rotated or not current.grows:
            return self._leave(current), False
        return None, self._look(current)

    def _look(self, current: OpenFile) -> bool:
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

    def _start_over(self, current: OpenFile) -> None:
        """The file was cut short or overwritten: read it anew from its beginning."""
        self._faults.append(Skipped("file_truncated"))
        current.close()
        self._current, self._last, self._waited = None, None, False

    def _leave(self, current: OpenFile) -> Found | None:
        """Take the last line of a file that is over, and go on to the next file."""
        found = self._found(current, current.last_line())
        self._last = current.checkpoint()
        current.close()
        self._current, self._rotated, self._waited = None, False, False
        return found

    def _found(self, current: OpenFile, lines: list[bytes | None]) -> Found | None:
        items = self._faults
        items.extend(Skipped("line_too_long") if line is None else line for line in lines)
        if not items:
            return None
        self._faults = []
        return Found(items, encode_checkpoint(current.checkpoint()))

    def _open_next(self) -> bool:
        """Open the file that is to be read now; false if it does not exist yet.

        Raises FolderChangedError if the log was rotated meanwhile.
        """
        # Opened before the folder is listed, and open while files are compared: so if the list
        # names its inode, nothing was rotated in between, and no other file can have it.
        live = self._try_open(self._path)
        try:
            folder = list_folder(self._path)
            if folder.live_inode != (None if live is None else live.inode):
                raise FolderChangedError
            self._current = self._choose(live, folder)
        finally:
            if live is not None and live is not self._current:
                live.close()
        return self._current is not None

    def _choose(self, live: OpenFile | None, folder: LogFolder) -> OpenFile | None:
        start, self._start = self._start, None
        if start is not None:
            try:
                return self._resume(start, live, folder)
            except FolderChangedError:
                self._start = start
                raise
        later = folder.rotated_after(self._last) if self._last is not None else []
        following = next((file for file in later if file.path not in self._unreadable), None)
        if following is not None:
            opened = self._try_open(following.path)
            if opened is not None:
                opened.after = following.stamp
            return opened
        if live is not None:
            live.after = folder.rotated[-1].stamp if folder.rotated else ""
            self._unreadable.clear()
        return live

    def _resume(
        self, start: Checkpoint, live: OpenFile | None, folder: LogFolder
    ) -> OpenFile | None:
        if live is not None and live.holds(start):
            live.go_to(start.offset)
            opened: OpenFile | None = live
        else:
            place = folder.find(start)
            if place is None:
                chosen = self._choose(live, folder)
                self._faults.append(Skipped("checkpoint_lost"))
                return chosen
            opened = self._try_open(place.path, start.offset)
        if opened is not None:
            opened.after = start.after
        return opened

    def _try_open(self, path: Path, offset: int = 0) -> OpenFile | None:
        """Open a file; null if there is no live one, or if it is a damaged archive."""
        try:
            opened = OpenFile(path, self._max_line_bytes)
            try:
                opened.go_to(offset)
            except BaseException:
                opened.close()
                raise
            return opened
        except FileNotFoundError:
            if path == self._path:
                return None
            raise FolderChangedError from None
        except GZIP_ERRORS:
            self._faults.append(Skipped("archive_unreadable"))
            self._unreadable.add(path)
            return None
        except OSError as exc:
            raise LogfileError(path, exc) from exc
