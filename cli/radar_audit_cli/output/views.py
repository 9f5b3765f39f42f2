"""What of an item is shown, and in which columns.

Owns the description that every writer works from. Called by the commands,
which say what they show, and by the writers. Pure: holds no item and no
stream.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Item = Mapping[str, Any]  # a JSON object


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its title, the JSON value of an item, and how narrow it may become.

    `least_cells` is the smallest width in terminal cells that still says
    something; a column of `weight` 2 keeps twice the width of one of weight 1
    where room is short. `style` is a rich style that may depend on the item.
    """

    title: str
    value: Callable[[Item], Any]
    least_cells: int = 8
    weight: int = 1
    style: Callable[[Item], str] = lambda _: ""


@dataclass(frozen=True, slots=True)
class View:
    """How one kind of item is written in each form.

    `columns` stand in a table, `wide` in a wide one, `csv` in CSV; `name` is
    what `-o name` prints; `document` is the item as JSON and YAML show it.
    `single` marks a result that is always one item, so that JSON shows an
    object and not a list; `endless` one that never closes a list.
    """

    columns: Sequence[Column]
    name: Callable[[Item], Any]
    wide: Sequence[Column] = ()
    csv: Sequence[Column] = ()
    document: Callable[[Item], Any] = lambda item: item
    single: bool = False
    endless: bool = False

    def table_columns(self, *, wide: bool) -> Sequence[Column]:
        """Return the columns of a table, wide or not."""
        return self.wide if wide and self.wide else self.columns

    def csv_columns(self) -> Sequence[Column]:
        """Return the columns of CSV, which are the table's unless given."""
        return self.csv or self.columns


class Writer(Protocol):
    """Takes items in batches and writes them at once; `close` ends the form."""

    def write(self, items: Sequence[Item]) -> None:
        """Write and flush some items."""

    def close(self) -> None:
        """Write what ends the form. Not called when an error cut the result short."""


def key_column(key: str, title: str | None = None, least_cells: int = 8) -> Column:
    """Return a column that shows the item's value at `key`."""
    return Column(title or key.upper(), lambda item: item.get(key), least_cells=least_cells)
