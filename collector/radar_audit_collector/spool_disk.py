"""The files beside the spool's database: lock, ballast, a corrupt one set aside.

Owns the directory of the spool. Called by `spool_database`, in the spool's
thread. Never runs SQL.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from pathlib import Path

from .errors import SpoolLockedError

_PRIVATE_FILE = 0o600
_PRIVATE_DIRECTORY = 0o700
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)


class DirectoryLock:
    """Makes one process the owner of a spool directory (flock; the kernel frees it at death)."""

    def __init__(self, directory: Path) -> None:
        """Remember the directory; nothing is opened yet."""
        self._directory = directory
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Make the directory if it is missing (0700) and own it. Idempotent.

        Raises SpoolLockedError if another process owns it, OSError.
        """
        if self._descriptor is not None:
            return
        self._directory.mkdir(mode=_PRIVATE_DIRECTORY, parents=True, exist_ok=True)
        descriptor = os.open(
            self._directory / "spool.lock", os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, _PRIVATE_FILE
        )
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            os.close(descriptor)
            raise SpoolLockedError(
                f"the spool in {self._directory} belongs to another running collector; "
                "stop that one or give this one a directory of its own"
            ) from exc
        self._descriptor = descriptor

    def release(self) -> None:
        """Let another process own the directory. Idempotent."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class Ballast:
    """Blocks kept in reserve, so that deleting stays possible on a full disk.

    In WAL mode a DELETE writes too: without a free block an acknowledged event
    could never leave the spool. At that moment the ballast's blocks are given
    back; appending stays refused until they could be taken again.
    """

    def __init__(self, path: Path, size_bytes: int) -> None:
        """Remember the file and its size; nothing is taken yet."""
        self._path = path
        self._size_bytes = size_bytes
        self.is_held = False

    def take(self) -> bool:
        """Reserve the blocks on the disk; tell whether there was room for them."""
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _PRIVATE_FILE)
        except OSError:
            self.is_held = False
            return False
        try:
            os.posix_fallocate(descriptor, 0, self._size_bytes)
            self.is_held = True
        except OSError as exc:
            # A filesystem that cannot reserve gives no promise; appending goes on without.
            self.is_held = exc.errno not in _NO_ROOM
        finally:
            os.close(descriptor)
        if not self.is_held:
            self.give_back()
        return self.is_held

    def give_back(self) -> None:
        """Free the blocks."""
        self.is_held = False
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)


def create_private(path: Path) -> None:
    """Make `path` with mode 0600 if it is missing: SQLite copies the mode to its side files."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _PRIVATE_FILE)
    try:
        os.fchmod(descriptor, _PRIVATE_FILE)
    finally:
        os.close(descriptor)


def set_aside(path: Path) -> Path:
    """Rename a corrupt database to `<name>.corrupt-<unix seconds>`; older ones are removed.

    Its write-ahead log goes with it, so that it can still be examined. Raises OSError.
    """
    for old in path.parent.glob(f"{path.name}.corrupt-*"):
        old.unlink()
    aside = path.with_name(f"{path.name}.corrupt-{int(time.time())}")
    path.with_name(path.name + "-shm").unlink(missing_ok=True)
    log = path.with_name(path.name + "-wal")
    if log.exists():
        log.rename(aside.with_name(aside.name + "-wal"))
    path.rename(aside)
    return aside


def aside_bytes(path: Path) -> int:
    """Return how much the set-aside files of a database use on the disk."""
    return sum(old.stat().st_size for old in path.parent.glob(f"{path.name}.corrupt-*"))


def last_written_ms(path: Path) -> int:
    """Return when a file was last written (Unix ms), 0 if there is none."""
    try:
        return path.stat().st_mtime_ns // 1_000_000
    except OSError:
        return 0
