"""`radar-audit whoami`: whose token this is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click

from radar_audit_cli.connection import Connection, connection_options
from radar_audit_cli.output.views import View, key_column
from radar_audit_cli.output.writers import Report, output_option


def _flat(who: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in who.items():
        if isinstance(value, Mapping):
            yield from ((f"{key}.{inner}", part) for inner, part in value.items())
        else:
            yield key, value


@click.command(short_help="Show whose token this is.")
@output_option
@connection_options
def whoami(form: str, connection: Connection) -> None:
    """Show the hub, the person, the organization and the role that a token stands for."""
    client = connection.client()
    who = {"url": client.url, **client.me()}
    rows = [{"field": key, "value": value} for key, value in _flat(who)]
    if form == "name":
        rows = [{"field": who.get("email") or who.get("user_id")}]
    pairs = View((key_column("field"), key_column("value")), name=lambda row: row["field"])
    Report(who, rows, pairs).write(form)
