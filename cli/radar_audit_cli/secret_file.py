"""Where a token goes that the hub shows only once.

Owns `--token-file`: a new file that its owner alone can read, made sure of
before the hub is asked, so that no token is made that could not be kept.
Called by the commands that make tokens. Never follows a link, and never
replaces a file without being told to.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from .errors import ArgumentError, CliError

_Command = Callable[..., Any]


def secret_options(command: _Command) -> _Command:
    """Add `--token-file` and `--force` to a command, as `token_file` and `force`."""
    place = click.option(
        "--token-file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Write the token to FILE (mode 0600) instead of showing it.",
    )
    force = click.option("--force", is_flag=True, help="Replace FILE if it is there.")
    return place(force(command))


class SecretFile:
    """A file that is reserved for one token."""

    def __init__(self, path: Path, temporary: Path, handle: int, *, force: bool) -> None:
        """Take the name it gets in the end, and the open file beside it."""
        self.path = path
        self._temporary = temporary
        self._handle = handle
        self._force = force

    def store(self, secret: str) -> None:
        """Write the token and a line end, durably, and give the file its name. Raises CliError."""
        try:
            os.write(self._handle, f"{secret}\n".encode())
            os.fsync(self._handle)
            if self._force:
                self._temporary.replace(self.path)
            else:
                self.path.hardlink_to(self._temporary)  # fails if the name was taken meanwhile
        except OSError as exc:
            raise CliError(
                f"{self.path} cannot be written, and the new token is lost: {exc.strerror}",
                hint="revoke or rotate it, and try again with another file",
            ) from exc


@contextmanager
def reserved(path: Path | None, *, force: bool) -> Iterator[SecretFile | None]:
    """Keep a place for a token while it is made; None without a path.

    Leaves no file behind where no token was stored. Raises ArgumentError if the
    file is there already (unless `force`) or cannot be made.
    """
    if path is None:
        if force:
            raise ArgumentError("--force needs a file: --token-file FILE")
        yield None
        return
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise ArgumentError(f"{path} is no regular file, so no token is written to it")
    if path.exists() and not force:
        raise ArgumentError(f"{path} is already there", hint="--force replaces it")
    try:
        # mkstemp makes the file with mode 0600 before a token is in it.
        handle, name = tempfile.mkstemp(prefix=".token-", dir=path.parent)
    except OSError as exc:
        raise ArgumentError(f"{path} cannot be written: {exc.strerror}") from exc
    temporary = Path(name)
    try:
        yield SecretFile(path, temporary, handle, force=force)
    finally:
        os.close(handle)
        temporary.unlink(missing_ok=True)
