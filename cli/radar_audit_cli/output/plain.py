"""Tables for a pipe: aligned columns, no colour, nothing shortened.

Owns the writing of tables where standard output is no terminal. Called
through `writers`. Never cuts a value: another program may read it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from radar_audit_cli.text import cell_text, visible

from .views import Item, View
from .widths import GAP_CELLS


class PlainTable:
    """Writes a title line before the first batch; columns only ever grow."""

    def __init__(self, view: View, stream: TextIO, *, wide: bool) -> None:
        """Take what to show and where to."""
        self._columns = view.table_columns(wide=wide)
        self._stream = stream
        self._widths = [0] * len(self._columns)
        self._has_titles = False

    def write(self, items: Sequence[Item]) -> None:
        """Write and flush one line per item."""
        if not items:
            return
        rows = [[visible(cell_text(c.value(item))) or "-" for c in self._columns] for item in items]
        if not self._has_titles:
            rows.insert(0, [column.title for column in self._columns])
            self._has_titles = True
        self._widths = [
            max(width, *(len(row[i]) for row in rows)) for i, width in enumerate(self._widths)
        ]
        for row in rows:
            cells = [cell.ljust(width) for cell, width in zip(row, self._widths, strict=True)]
            self._stream.write((" " * GAP_CELLS).join(cells).rstrip() + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Nothing ends a table."""
