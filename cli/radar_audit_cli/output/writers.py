"""Choosing the writer for `-o`.

Owns the list of forms and the `-o` and `--utc` options. Called by every
command that prints a result. Loads rich only for a terminal and YAML only for
`-o yaml`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

import click

from radar_audit_cli.lazy import load

from .machine import CsvWriter, JsonWriter, name_writer, ndjson_writer
from .plain import PlainTable
from .views import Item, View, Writer

FORMS = ("table", "wide", "json", "yaml", "ndjson", "csv", "name")
_TERMINAL_TABLE = "radar_audit_cli.output.terminal:TerminalTable"
_YAML = "radar_audit_cli.output.yaml_form:YamlWriter"

output_option = click.option(
    "-o",
    "--output",
    "form",
    type=click.Choice(FORMS),
    default="table",
    show_default=True,
    help="Form of the result.",
)
fields_option = click.option(
    "--fields", metavar="A,B.C", help="Only these fields, e.g. created_at,metadata.namespace."
)
utc_option = click.option("--utc", is_flag=True, help="Show times in UTC, not in the local zone.")


def open_writer(form: str, view: View, stream: TextIO | None = None) -> Writer:
    """Return a writer of `view` in `form` (one of FORMS) to `stream` (default: standard output)."""
    out = sys.stdout if stream is None else stream
    makers: dict[str, Callable[[], Any]] = {
        "table": lambda: _table(view, out, wide=False),
        "wide": lambda: _table(view, out, wide=True),
        "json": lambda: JsonWriter(view, out),
        "yaml": lambda: load(_YAML)(view, out),
        "ndjson": lambda: ndjson_writer(view, out),
        "csv": lambda: CsvWriter(view, out),
        "name": lambda: name_writer(view, out),
    }
    writer: Writer = makers[form]()
    return writer


def _table(view: View, out: TextIO, *, wide: bool) -> Writer:
    table = load(_TERMINAL_TABLE) if out.isatty() else PlainTable
    writer: Writer = table(view, out, wide=wide)
    return writer


def write_all(form: str, view: View, items: Iterable[Item]) -> None:
    """Write a whole result that is at hand."""
    writer = open_writer(form, view)
    writer.write(list(items))
    writer.close()


@dataclass(frozen=True, slots=True)
class Report:
    """A result that is one document, and also has rows for tables and CSV."""

    document: Item
    rows: Sequence[Item]
    view: View

    def write(self, form: str) -> None:
        """Write the document as JSON or YAML, the rows in every other form."""
        if form in ("json", "yaml"):
            write_all(form, View((), name=_nothing, single=True), [self.document])
        else:
            write_all(form, self.view, self.rows)


def _nothing(_: Item) -> None:
    return None
