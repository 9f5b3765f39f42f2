"""`radar-audit facets`: how often each action, actor and target type occurs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from radar_audit_cli.connection import Connection, connection_options
from radar_audit_cli.filters import Filter, FilterCommand, filter_options
from radar_audit_cli.output.views import View, key_column
from radar_audit_cli.output.writers import Report, output_option

_LISTS = (("action", "actions"), ("actor", "actors"), ("target_type", "target_types"))
_VIEW = View(
    (key_column("facet"), key_column("value"), key_column("count")),
    name=lambda row: row["value"],
)


@click.command(cls=FilterCommand, short_help="Count actions, actors and target types.")
@filter_options
@output_option
@connection_options
def facets(form: str, connection: Connection, chosen: Filter) -> None:
    """Count the matching events by action, by actor and by target type."""
    params = [pair for pair in chosen.params() if pair[0] != "include"]
    counts = connection.client().facets(params)
    Report(counts, _rows(counts), _VIEW).write(form)
    if counts.get("total_capped") or counts.get("complete") is False:
        click.echo("too many events to count them all: the counts are lower bounds", err=True)


def _rows(counts: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for facet, key in _LISTS:
        entries = counts.get(key)
        rows += [
            {"facet": facet, "value": entry.get("value"), "count": entry.get("count")}
            for entry in (entries if isinstance(entries, list) else [])
            if isinstance(entry, dict)
        ]
    rows.append({"facet": "total", "value": None, "count": counts.get("total")})
    return rows
