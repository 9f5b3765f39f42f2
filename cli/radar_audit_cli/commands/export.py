"""`radar-audit export`: all matching events, as one file or stream.

Owns the command's options and what is said at its end. The copying lives in
`exporting`; the file's parts in `part_file`; going on in `resuming`.
"""

from __future__ import annotations

import time
from pathlib import Path

import click

from radar_audit_cli.connection import Connection, connection_options
from radar_audit_cli.errors import ArgumentError
from radar_audit_cli.exporting import export_to_file, export_to_stdout
from radar_audit_cli.filters import Filter, FilterCommand, filter_options
from radar_audit_cli.part_file import ExportNote, PartFile


@click.command(cls=FilterCommand, short_help="Write all matching events to a file.")
@filter_options
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "ndjson"]),
    help="Form of the file (default: by its name, else csv).",
)
@click.option(
    "-O", "--output-file", "place", default="-", metavar="FILE", help="Where to (-: stdout)."
)
@click.option("--force", is_flag=True, help="Replace FILE, or a part of it that was left.")
@click.option("--resume", is_flag=True, help="Go on with FILE.part (ndjson only).")
@connection_options
def export(
    *,
    form: str | None,
    place: str,
    force: bool,
    resume: bool,
    connection: Connection,
    chosen: Filter,
) -> None:
    """Write every matching event, newest first, to a file or to standard output.

    A file grows as FILE.part and gets its name only when it is whole. If the
    connection is cut, the exit code is 8 and FILE.part is kept; an ndjson one
    is gone on with by --resume, which remembers the filter.
    """
    if place == "-":
        if force or resume:
            raise ArgumentError("--force and --resume need a file: -O FILE")
        params = chosen.fixed_params(_now_ms())
        count = export_to_stdout(connection.client(), params, form or "csv")
        click.echo(f"{count} events", err=True)
        return
    file = PartFile(Path(place))
    file.require_free(force=force, resume=resume)
    if resume:
        note = _agreed(file.read_note(), form, chosen)
        client = connection.client()
        if (client.url, client.org) != (note.url, note.org):
            raise ArgumentError(
                f"{file.part} comes from {note.url}, {note.org}",
                hint=f"add --url {note.url} --org {note.org}, or choose that context",
            )
    else:
        # The mistakes that can be seen here come before a token is even looked for.
        params = chosen.fixed_params(_now_ms())
        client = connection.client()
        note = ExportNote(client.url, client.org, form or _form_of(place), chosen.asked(), params)
    count = export_to_file(client, note, file, force=force, resume=resume)
    click.echo(f"{count} events in {file.path}", err=True)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _form_of(place: str) -> str:
    return "ndjson" if Path(place).suffix in (".ndjson", ".jsonl") else "csv"


def _agreed(note: ExportNote, form: str | None, chosen: Filter) -> ExportNote:
    """Return the note if it is of a form that can be gone on with, and nothing else is asked."""
    if note.form != "ndjson":
        raise ArgumentError(
            "a csv export cannot be gone on with",
            hint="start it anew with --force, or export --format ndjson",
        )
    if form not in (None, note.form) or chosen.asked() not in ({}, note.asked):
        raise ArgumentError(
            "the export that was cut short had another filter",
            hint="leave the filter out: --resume remembers it",
        )
    return note
