"""The files of one log: the live one and those that rotation has put aside.

Owns how rotated files are named and ordered, and how a file is known again
after it was renamed or compressed. Called by the log follower. Blocking file
access; never reads more than the head of a file.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from .checkpoint import HEAD_BYTES, Checkpoint, head_hash

# lumberjack, which the API server rotates with, puts -2006-01-02T15-04-05.000 before the
# extension, and .gz after it once the file is compressed.
_STAMP = r"-(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3})"
GZIP_ERRORS = (EOFError, gzip.BadGzipFile, zlib.error)


class FolderChangedError(Exception):
    """A file was renamed, compressed or deleted since the folder was listed: list it again."""


@dataclass(frozen=True, slots=True)
class LogFile:
    """A file of the log's folder; `stamp` sorts as files were rotated, empty if it has none."""

    path: Path
    inode: int
    stamp: str = ""


@dataclass(frozen=True, slots=True)
class LogFolder:
    """The folder of a log at one moment: live file, rotated ones (oldest first), all others."""

    live_inode: int | None
    rotated: list[LogFile]
    others: list[LogFile]

    def find(self, checkpoint: Checkpoint) -> LogFile | None:
        """Return where a file that is no longer the live one is now, null if it is gone.

        Raises FolderChangedError.
        """
        candidates = (*self.rotated, *self.others)
        return next((file for file in candidates if _is_file_of(file, checkpoint)), None)

    def rotated_after(self, last: Checkpoint) -> list[LogFile]:
        """Return the rotated files that come after the one of `last`. Raises FolderChangedError.

        If that one is gone (deleted as the oldest, or renamed in another way than
        lumberjack's), all after the last one that was read.
        """
        for place, file in enumerate(self.rotated):
            if _is_file_of(file, last):
                return self.rotated[place + 1 :]
        return [file for file in self.rotated if file.stamp > last.after]


def list_folder(live: Path) -> LogFolder:
    """List the folder of a log; empty if that is not possible."""
    pattern = re.compile(
        re.escape(live.stem) + _STAMP + re.escape(live.suffix) + r"(?:\.gz)?", re.ASCII
    )
    rotated: dict[str, LogFile] = {}
    others: list[LogFile] = []
    live_inode = None
    for entry in _entries(live.parent):
        path = Path(entry.path)
        match = pattern.fullmatch(entry.name)
        if match is not None:
            stamp = match.group(1)
            # While a file is being compressed both are there, and the archive is not whole yet.
            if stamp not in rotated or path.suffix != ".gz":
                rotated[stamp] = LogFile(path, entry.inode(), stamp)
        elif entry.name == live.name:
            live_inode = _live_inode(entry)
        else:
            others.append(LogFile(path, entry.inode()))
    return LogFolder(live_inode, [rotated[stamp] for stamp in sorted(rotated)], others)


def open_log(path: Path) -> BinaryIO:
    """Open a log for reading, through gzip if its name ends in .gz. Raises OSError."""
    if path.suffix == ".gz":
        return cast("BinaryIO", gzip.open(path, "rb"))
    return cast("BinaryIO", path.open("rb", buffering=0))


def read_head(file: BinaryIO, size: int = HEAD_BYTES) -> bytes:
    """Return the first `size` bytes and leave the file after them. Raises OSError, GZIP_ERRORS."""
    file.seek(0)
    head = b""
    while len(head) < size:
        more = file.read(size - len(head))
        if not more:
            break
        head += more
    return head


def _is_file_of(file: LogFile, checkpoint: Checkpoint) -> bool:
    """Tell whether a file is the one of the checkpoint, by its inode and its head.

    An archive has another inode than the file it was made of, so there a head alone will do.
    """
    archive = file.path.suffix == ".gz" and file.stamp != ""
    if file.inode != checkpoint.inode and not archive:
        return False
    try:
        with open_log(file.path) as opened:
            stat = os.fstat(opened.fileno())
            head = read_head(opened, checkpoint.head_bytes)
    except FileNotFoundError:
        raise FolderChangedError from None
    except (OSError, *GZIP_ERRORS):
        return False
    if stat.st_ino != file.inode:
        raise FolderChangedError
    if checkpoint.head_bytes == 0:
        # An empty file, of which there is nothing to compare but its being empty.
        return stat.st_ino == checkpoint.inode and stat.st_size == 0
    return len(head) == checkpoint.head_bytes and head_hash(head) == checkpoint.head_hash


def _live_inode(entry: os.DirEntry[str]) -> int:
    # As it was listed: asked for later, it could be the inode of the next file by then. Only a
    # link's own inode says nothing of the file.
    if entry.is_symlink():
        with contextlib.suppress(OSError):
            return entry.stat().st_ino
    return entry.inode()


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []
