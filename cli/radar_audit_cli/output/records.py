"""How things that are administered look: the columns of a list, the fields of one.

Owns the columns with times. Called by the administering commands and by
`answering`. Pure: writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from radar_audit_cli.text import cell_text
from radar_audit_cli.times import shown_time, zone_name

from .fields import value_at
from .views import Column, Item, View

_TIME_SUFFIX = "_at"  # contract: every time in an answer is called so


def list_view(
    keys: tuple[str, ...], *, utc: bool, id_key: str = "id", wide: tuple[str, ...] = ()
) -> View:
    """Return the view of a list: `keys` as columns, `wide` more of them in the wide form.

    A key may be a dotted name, and one that ends in `_at` holds a time. CSV has all of them
    as the hub wrote them.
    """
    every = (*keys, *wide)
    return View(
        tuple(_column(key, utc=utc) for key in keys),
        name=lambda item: item.get(id_key),
        wide=tuple(_column(key, utc=utc) for key in every),
        csv=tuple(Column(key, partial(_at, key)) for key in every),
    )


def _column(key: str, *, utc: bool) -> Column:
    title = key.rpartition(".")[2].removesuffix(_TIME_SUFFIX).replace("_", " ").upper()
    if not key.endswith(_TIME_SUFFIX):
        return Column(title, partial(_at, key))
    return Column(
        f"{title} ({zone_name(utc=utc)})",
        lambda item: _shown(_at(key, item), utc=utc),
        least_cells=19,
        style=lambda _: "dim",
    )


def _at(key: str, item: Item) -> Any:
    return value_at(item, key)


def _shown(value: Any, *, utc: bool) -> str:
    return shown_time(value, utc=utc) if isinstance(value, str) else cell_text(value)


def field_rows(document: Item, *, utc: bool | None) -> list[dict[str, Any]]:
    """Return the fields of a document, also inner ones, as rows of `field` and `value`.

    `utc` None: times stay as the hub wrote them, as in every form but tables.
    """
    return [
        {"field": key, "value": value if utc is None else _told(key, value, utc=utc)}
        for key, value in _flat(document)
    ]


def _told(key: str, value: Any, *, utc: bool) -> Any:
    return _shown(value, utc=utc) if key.endswith(_TIME_SUFFIX) else value


def _flat(document: Item, before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in document.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value
