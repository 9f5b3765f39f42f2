"""Tables for a terminal: shortened to its width, in colour.

Owns the writing of tables where standard output is a terminal; the only table
code that loads rich. Called through `writers`. Never lets a value move the
cursor: every cell goes through `visible` first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from radar_audit_cli.text import cell_text, visible

from .views import Item, View
from .widths import GAP_CELLS, fit


class TerminalTable:
    """Writes one line per item; a wide table is not shortened."""

    def __init__(self, view: View, stream: TextIO, *, wide: bool) -> None:
        """Take what to show and where to."""
        self._columns = view.table_columns(wide=wide)
        self._console = Console(file=stream, highlight=False, markup=False, emoji=False)
        self._wide = wide
        self._natural = [cell_len(column.title) for column in self._columns]
        self._has_titles = False

    def write(self, items: Sequence[Item]) -> None:
        """Write one line per item, below the titles before the first."""
        if not items:
            return
        rows = [[visible(cell_text(c.value(item))) or "-" for c in self._columns] for item in items]
        self._natural = [
            max(width, *(cell_len(row[i]) for row in rows)) for i, width in enumerate(self._natural)
        ]
        widths = self._natural
        if not self._wide:
            least = [column.least_cells for column in self._columns]
            weights = [column.weight for column in self._columns]
            widths = fit(self._natural, least, weights, self._console.width)
        if not self._has_titles:
            titles = [column.title for column in self._columns]
            self._line(titles, ["bold"] * len(titles), widths)
            self._has_titles = True
        for item, row in zip(items, rows, strict=True):
            self._line(row, [column.style(item) for column in self._columns], widths)

    def _line(self, cells: Sequence[str], styles: Sequence[str], widths: Sequence[int]) -> None:
        line = Text(no_wrap=True, end="")
        for cell, style, width in zip(cells, styles, widths, strict=True):
            text = Text(cell, style=style, end="")
            text.truncate(width, overflow="ellipsis", pad=True)
            line.append_text(text)
            line.append(" " * GAP_CELLS)
        line.rstrip()
        self._console.print(line, soft_wrap=True)

    def close(self) -> None:
        """Nothing ends a table."""
