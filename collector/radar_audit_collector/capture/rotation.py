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


@dataclass(frozen=True, slots=True)
class RotatedFile:
    """A file put aside by rotation; `stamp` sorts as it was rotated."""

    stamp: str
    path: Path
    inode: int

    @property
    def compressed(self) -> bool:
        """Whether it is a gzip archive."""
        return self.path.suffix == ".gz"


def open_log(path: Path) -> BinaryIO:
    """Open a log for reading, through gzip if its name ends in .gz. Raises OSError."""
    if path.suffix == ".gz":
        return cast("BinaryIO", gzip.open(path, "rb"))
    return cast("BinaryIO", path.open("rb", buffering=0))


def rotated_files(live: Path) -> list[RotatedFile]:
    """Return the rotated files of `live`, oldest first; empty if the folder cannot be listed."""
    pattern = re.compile(
        re.escape(live.stem) + _STAMP + re.escape(live.suffix) + r"(?:\.gz)?", re.ASCII
    )
    found: dict[str, RotatedFile] = {}
    for entry in _list(live.parent):
        match = pattern.fullmatch(entry.name)
        if match is None:
            continue
        file = RotatedFile(match.group(1), Path(entry.path), entry.inode())
        # While a file is being compressed both are there, and the archive is not whole yet.
        if file.stamp not in found or not file.compressed:
            found[file.stamp] = file
    return [found[stamp] for stamp in sorted(found)]


def is_file_of(path: Path, inode: int, checkpoint: Checkpoint) -> bool:
    """Tell whether a file is the one of the checkpoint, by its inode and its head.

    An archive has another inode than the file it was made of, so there a head alone will do.
    """
    if inode != checkpoint.inode and (path.suffix != ".gz" or checkpoint.head_bytes == 0):
        return False
    try:
        with open_log(path) as file:
            head = read_head(file, checkpoint.head_bytes)
    except (OSError, *GZIP_ERRORS):
        return False
    return len(head) == checkpoint.head_bytes and head_hash(head) == checkpoint.head_hash


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


def rotated_after(live: Path, files: list[RotatedFile], last: Checkpoint) -> list[RotatedFile]:
    """Return those of the rotated files that come after the one of `last`.

    If that one is gone (deleted as the oldest), all after the last that was read.
    If it was renamed in another way than lumberjack's, none: the live file is next.
    """
    for place, file in enumerate(files):
        if is_file_of(file.path, file.inode, last):
            return files[place + 1 :]
    if any(is_renamed(entry, last) for entry in _list(live.parent)):
        return []
    return [file for file in files if file.stamp > last.after]


def find_file(live: Path, checkpoint: Checkpoint) -> Path | None:
    """Return where the file of the checkpoint is now, null if it is gone."""
    with contextlib.suppress(OSError):
        if is_file_of(live, live.stat().st_ino, checkpoint):
            return live
    for file in rotated_files(live):
        if is_file_of(file.path, file.inode, checkpoint):
            return file.path
    return next(
        (Path(entry.path) for entry in _list(live.parent) if is_renamed(entry, checkpoint)), None
    )


def is_renamed(entry: os.DirEntry[str], checkpoint: Checkpoint) -> bool:
    """Tell whether a folder's entry, whatever its name, is the file of the checkpoint."""
    return entry.inode() == checkpoint.inode and is_file_of(
        Path(entry.path), entry.inode(), checkpoint
    )


def _list(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []
