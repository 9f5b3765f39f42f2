"""How one thing that is administered looks, and what becomes of a token in it.

Owns the two-column table of a single answer, the columns with times, and the
warning beside a token that is shown once. Called by the administering
commands. Never writes a token that goes to a file anywhere else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import click

from radar_audit_cli.errors import ArgumentError, CliError
from radar_audit_cli.secret_file import SecretFile
from radar_audit_cli.text import cell_text
from radar_audit_cli.times import shown_time, zone_name

from .fields import value_at
from .views import Column, Item, View, key_column
from .writers import Report

_TOKEN_KEY = "token"  # noqa: S105 - contract: where an answer holds a token that is shown once
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


def write_record(form: str, document: Item, *, name: str, utc: bool) -> None:
    """Write one answer: as itself in JSON and YAML, as its fields in tables and CSV.

    `name` is the key of what `-o name` prints.
    """
    rows: list[dict[str, Any]] = [
        {"field": key, "value": _shown(value, utc=utc) if key.endswith(_TIME_SUFFIX) else value}
        for key, value in _flat(document)
    ]
    if form == "name":
        rows = [{"field": document.get(name)}]
    pairs = View((key_column("field"), key_column("value")), name=lambda row: row["field"])
    Report(document, rows, pairs).write("wide" if form == "table" else form)


def _flat(document: Item, before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in document.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


def require_shown(form: str, file: SecretFile | None) -> None:
    """Raise ArgumentError if a token that is shown only once would be neither shown nor kept."""
    if form == "name" and file is None:
        raise ArgumentError(
            "-o name does not show the token, which the hub shows only once",
            hint="add --token-file FILE, or choose another form",
        )


def write_made(form: str, document: Item, *, name: str, file: SecretFile | None, utc: bool) -> None:
    """Write an answer whose key `token` holds a token: into `file`, else with a warning.

    Raises CliError if there is no token in it, or the file cannot be written.
    """
    token = document.get(_TOKEN_KEY)
    if not isinstance(token, str) or not token:
        raise CliError("the hub answered without the token that was asked for")
    if file is None:
        write_record(form, document, name=name, utc=utc)
        click.echo("the token is shown this once only: keep it like a password", err=True)
        return
    file.store(token)
    rest = {key: value for key, value in document.items() if key != _TOKEN_KEY}
    write_record(form, rest, name=name, utc=utc)
    click.echo(f"the token is in {file.path}, which only you can read", err=True)
