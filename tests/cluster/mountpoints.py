"""Folders with fixed places on the machine, over which each cluster mounts one of its own.

A folder that is missing is made, and removed with the last cluster that needs it: to remove it
under a running cluster would unmount it there. Each cluster holds a shared lock on the folder for
as long as it lives. Never removes a folder that was there before.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

_MARK = "made-by-radar-audit-tests"


def hold(folder: Path) -> int:
    """Make `folder` if it is missing; return a descriptor that keeps it from being removed."""
    while True:
        with contextlib.suppress(FileNotFoundError):  # somebody removes it just now
            if not folder.exists():
                folder.mkdir(parents=True, exist_ok=True)
                (folder / _MARK).touch()
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            if folder.exists() and os.path.samestat(os.fstat(descriptor), folder.stat()):
                return descriptor
            os.close(descriptor)


@contextlib.contextmanager
def held(folders: Iterable[Path]) -> Iterator[None]:
    """Hold `folders` for the length of the block."""
    descriptors = [hold(folder) for folder in folders]
    try:
        yield
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def let_go(folder: Path) -> None:
    """Remove `folder` if we made it, it is empty, and nobody holds it."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if list(folder.iterdir()) == [folder / _MARK]:
            (folder / _MARK).unlink()
            folder.rmdir()
    except BlockingIOError:
        pass  # another cluster needs it
    finally:
        os.close(descriptor)
