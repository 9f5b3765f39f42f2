"""The file that an export grows in before it gets its name.

Owns FILE.part, the note beside it that says of what it is a part, and the
moment at which it becomes FILE. Called by `export`. Never overwrites a file
without being told to, and never writes through a device or a link's target.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from .errors import ArgumentError, CliError


@dataclass(frozen=True, slots=True)
class ExportNote:
    """What an export asked for: where, and with which filter; never with which token.

    `asked` is the filter as typed, `params` the hub's parameters that it became.
    """

    url: str
    org: str
    form: str
    asked: dict[str, Any]
    params: list[tuple[str, str]]


class PartFile:
    """FILE.part and its note FILE.part.json, for one FILE."""

    def __init__(self, path: Path) -> None:
        """Take the name that the whole export will have."""
        self.path = path
        self.part = path.with_name(path.name + ".part")
        self.note_path = path.with_name(path.name + ".part.json")

    def require_free(self, *, force: bool, resume: bool) -> None:
        """Raise ArgumentError if FILE, or a part of it, is there and nobody said what to do."""
        try:
            self._require_free(force=force, resume=resume)
        except OSError as exc:
            raise ArgumentError(f"{self.path} cannot be written: {exc.strerror}") from exc

    def _require_free(self, *, force: bool, resume: bool) -> None:
        if not self.path.parent.is_dir():
            raise ArgumentError(f"there is no folder {self.path.parent}")
        if self.path.is_symlink() or (self.path.exists() and not self.path.is_file()):
            raise ArgumentError(
                f"{self.path} is no regular file", hint="-O - writes to standard output"
            )
        if self.path.exists() and not force:
            raise ArgumentError(f"{self.path} is already there", hint="--force replaces it")
        if self.part.is_symlink() or self.note_path.is_symlink():
            raise ArgumentError(f"{self.part} is a link, and links are not written through")
        if resume and not self.part.exists():
            raise ArgumentError(f"there is no {self.part} to go on with")
        if self.part.exists() and not (resume or force):
            raise ArgumentError(
                f"{self.part} is left from an export that was cut short",
                hint="--resume goes on with it (ndjson), --force starts anew",
            )

    def create(self, note: ExportNote) -> BinaryIO:
        """Open an empty part, readable by its owner only, and write its note. Raises OSError."""
        for path in (self.part, self.note_path):
            path.unlink(missing_ok=True)
        with _open_new(self.note_path) as file:
            file.write(json.dumps(asdict(note)).encode())
        return _open_new(self.part)

    def continue_at(self, size_bytes: int) -> BinaryIO:
        """Open the part for writing behind its first `size_bytes`. Raises OSError."""
        file = self.part.open("r+b")
        file.truncate(size_bytes)
        file.seek(size_bytes)
        return file

    def read_note(self) -> ExportNote:
        """Return what the part is a part of. Raises CliError."""
        try:
            document = json.loads(self.note_path.read_bytes())
            document["params"] = [(str(name), str(value)) for name, value in document["params"]]
            return ExportNote(**document)
        except (OSError, ValueError, TypeError, KeyError) as exc:
            raise CliError(
                f"{self.note_path} does not say what {self.part} is a part of",
                hint="start anew with --force",
            ) from exc

    def finish(self, file: BinaryIO, *, force: bool) -> None:
        """Make the part durable and give it its name. Raises OSError or ArgumentError."""
        file.flush()
        os.fsync(file.fileno())
        file.close()
        if force:
            self.part.replace(self.path)
        else:
            self._name_if_free()
        self.note_path.unlink(missing_ok=True)
        _sync_folder(self.path.parent)

    def _name_if_free(self) -> None:
        try:
            # A link fails if the name was taken meanwhile; a rename would replace it.
            self.path.hardlink_to(self.part)
        except FileExistsError as exc:
            raise ArgumentError(
                f"{self.path} appeared meanwhile, so the export stays in {self.part}"
            ) from exc
        except OSError:
            self.part.rename(self.path)  # a file system without links
        else:
            self.part.unlink()


def _open_new(path: Path) -> BinaryIO:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    return os.fdopen(os.open(path, flags, 0o600), "wb")


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):  # some file systems cannot sync a folder
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
