"""The forms that programs read: JSON, NDJSON, CSV and names.

Owns their writing. Called through `writers`. Every unprintable character in
JSON is an escape, which loses nothing; CSV keeps values as they are unless a
terminal shows them.
"""

from __future__ import annotations

import csv
import textwrap
from collections.abc import Callable, Sequence
from typing import TextIO

from radar_audit_cli.text import cell_text, json_text, visible

from .views import Item, View

# Contract: a cell that begins with one of these gets an apostrophe, or a
# spreadsheet would run it as a formula.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


class JsonWriter:
    """A list of objects; one object where the view is single, a row of them where it is endless."""

    def __init__(self, view: View, stream: TextIO) -> None:
        """Take what to show and where to."""
        self._view = view
        self._stream = stream
        self._is_list = not (view.single or view.endless)
        self._count = 0

    def write(self, items: Sequence[Item]) -> None:
        """Write some objects; the list's end is written by `close` only."""
        for item in items:
            text = json_text(self._view.document(item), indent=2)
            if self._is_list:
                text = ("[\n" if self._count == 0 else ",\n") + textwrap.indent(text, "  ")
            self._stream.write(text if self._is_list else text + "\n")
            self._count += 1
        self._stream.flush()

    def close(self) -> None:
        """End the list, so that one which was cut short is no JSON."""
        if self._is_list:
            self._stream.write("\n]\n" if self._count else "[]\n")
            self._stream.flush()


class LineWriter:
    """One line per item: compact JSON, or whatever `line` makes of an item."""

    def __init__(self, line: Callable[[Item], str], stream: TextIO) -> None:
        """Take the line's maker and where to write."""
        self._line = line
        self._stream = stream

    def write(self, items: Sequence[Item]) -> None:
        """Write and flush one line per item."""
        for item in items:
            self._stream.write(self._line(item) + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Nothing ends these lines."""


def ndjson_writer(view: View, stream: TextIO) -> LineWriter:
    """Return a writer of one JSON object a line."""
    return LineWriter(lambda item: json_text(view.document(item)), stream)


def name_writer(view: View, stream: TextIO) -> LineWriter:
    """Return a writer of one name a line."""
    return LineWriter(lambda item: visible(cell_text(view.name(item))), stream)


class CsvWriter:
    """RFC 4180 with a header line."""

    def __init__(self, view: View, stream: TextIO) -> None:
        """Take what to show and where to; a terminal gets unprintable characters as escapes."""
        self._columns = view.csv_columns()
        self._stream = stream
        self._rows = csv.writer(stream, lineterminator="\r\n")
        self._shown = visible if stream.isatty() else _as_it_is
        self._rows.writerow([column.title for column in self._columns])

    def write(self, items: Sequence[Item]) -> None:
        """Write and flush one row per item."""
        for item in items:
            self._rows.writerow([self._cell(column.value(item)) for column in self._columns])
        self._stream.flush()

    def _cell(self, value: object) -> str:
        text = self._shown(cell_text(value))
        return f"'{text}" if text.startswith(_FORMULA_STARTS) else text

    def close(self) -> None:
        """Flush the header of an empty result."""
        self._stream.flush()


def _as_it_is(text: str) -> str:
    return text
