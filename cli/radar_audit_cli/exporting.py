"""The copying of an export, from the hub to a file or to standard output.

Owns the rule that an export which did not reach its end never looks whole.
Called by the `export` command. Keeps one piece of the answer in memory, never
the export.
"""

from __future__ import annotations

import codecs
import io
import sys
from typing import TYPE_CHECKING, BinaryIO, Protocol

import click

from .errors import CliError, CutError, PartialExportError
from .part_file import ExportNote, PartFile
from .progress import open_progress
from .resuming import ResumePoint, SeenFilter, find_resume_point
from .shapes import Params
from .streams import quiet_stdout
from .text import visible

if TYPE_CHECKING:
    from .hub_client import HubClient
    from .transport import Answer

_ESTIMATE_HEADER = "Radar-Audit-Estimated-Rows"


def export_to_stdout(client: HubClient, params: Params, form: str) -> int:
    """Copy an export to standard output and return the number of events.

    Raises PartialExportError if it stopped after it began, also where the
    reader of standard output went away or its disk is full.
    """
    out: _Sink = _VisibleStdout() if sys.stdout.isatty() else sys.stdout.buffer
    with client.export(params, form) as answer:
        answer.require_end()
        try:
            count = _copy(answer, form, out, SeenFilter(None))
            sys.stdout.flush()
        except OSError as exc:
            quiet_stdout()
            raise PartialExportError(f"the export is not whole: {exc.strerror}") from exc
        except CutError as exc:
            sys.stdout.flush()
            raise PartialExportError(f"the export is not whole: {exc.message}") from exc
    return count


class _Sink(Protocol):
    def write(self, piece: bytes, /) -> object:
        """Take the next bytes of an export."""


class _VisibleStdout:
    """Writes to a terminal, with every unprintable character as an escape."""

    def __init__(self) -> None:
        # Pieces of an answer end anywhere: within a character, or between CR and LF.
        characters = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._decoder = io.IncrementalNewlineDecoder(characters, translate=True)

    def write(self, piece: bytes, /) -> None:
        """Write what of the text so far is whole."""
        text = self._decoder.decode(piece)
        sys.stdout.write("\n".join(visible(line) for line in text.split("\n")))


def export_to_file(
    client: HubClient, note: ExportNote, file: PartFile, *, force: bool, resume: bool
) -> int:
    """Copy an export to `file`, which gets its name at the end; return the number of new events.

    Raises PartialExportError if it stopped after it began (what came stays in
    the part), CliError if it could not begin (nothing is left behind).
    """
    point = find_resume_point(file.part) if resume else None
    with client.export(_remaining(note, point), note.form) as answer:
        answer.require_end()
        part = _open(file, note, point, resume=resume)
        try:
            with part:
                count = _copy(answer, note.form, part, SeenFilter(point))
                file.finish(part, force=force)
        except CutError as exc:
            raise PartialExportError(
                f"the export is not whole: {exc.message}", hint=_way_on(file, note.form)
            ) from exc
        except OSError as exc:
            raise PartialExportError(
                f"cannot write {file.part}: {exc.strerror}", hint=_way_on(file, note.form)
            ) from exc
        except KeyboardInterrupt:
            click.echo(f"\ncancelled; {_way_on(file, note.form)}", err=True)
            raise
    return count


def _open(file: PartFile, note: ExportNote, point: ResumePoint | None, *, resume: bool) -> BinaryIO:
    try:
        if resume:
            return file.continue_at(point.size_bytes if point else 0)
        return file.create(note)
    except OSError as exc:
        raise CliError(f"cannot write {file.part}: {exc.strerror}") from exc


def _remaining(note: ExportNote, point: ResumePoint | None) -> Params:
    if point is None:
        return note.params
    return [*(pair for pair in note.params if pair[0] != "to"), ("to", point.until)]


def _way_on(file: PartFile, form: str) -> str:
    if form == "ndjson":
        return (
            f"what came is in {file.part}; go on with: radar-audit export --resume -O {file.path}"
        )
    return f"what came is in {file.part}; start anew with --force (ndjson could be gone on with)"


def _copy(
    answer: Answer,
    form: str,
    out: _Sink,
    seen: SeenFilter,
) -> int:
    """Write what is new of an answer, tell progress, and return the number of events.

    Raises CutError if the answer was cut or ends within a line.
    """
    rows = 0
    headers = 1 if form == "csv" else 0
    last = b"\n"
    progress = open_progress(_estimate(answer), is_beside_rows=isinstance(out, _VisibleStdout))
    try:
        for piece in answer.chunks():
            new = seen.feed(piece)
            out.write(new)
            ends = new.count(b"\n")
            events = max(ends - headers, 0)
            headers -= min(ends, headers)
            rows += events
            last = piece[-1:] or last
            progress.advance(events, len(new))
    finally:
        progress.close()
    if last != b"\n":
        raise CutError("it ends in the middle of a line")
    return rows


def _estimate(answer: Answer) -> int | None:
    text = answer.headers.get(_ESTIMATE_HEADER, "")
    return int(text) if text.isdecimal() and len(text) < 16 else None
