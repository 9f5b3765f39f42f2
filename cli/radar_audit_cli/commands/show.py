"""`radar-audit show`: one event in full."""

from __future__ import annotations

import re

import click

from radar_audit_cli.connection import Connection, connection_options
from radar_audit_cli.errors import ArgumentError
from radar_audit_cli.output.event_view import event_view, pairs_of
from radar_audit_cli.output.views import View, key_column
from radar_audit_cli.output.writers import fields_option, output_option, utc_option, write_all

_EVENT_ID = re.compile(r"ae_[0-9A-Za-z]{1,60}")


@click.command(short_help="Show one event in full.")
@click.argument("event_id")
@output_option
@fields_option
@utc_option
@connection_options
def show(
    *,
    event_id: str,
    form: str,
    fields: str | None,
    utc: bool,
    connection: Connection,
) -> None:
    """Show one event in full: every field, and its metadata."""
    if not _EVENT_ID.fullmatch(event_id):
        raise ArgumentError(f"{event_id!r} is no event's id: one begins with ae_")
    view = event_view(utc=utc, fields=fields, single=True)
    event = connection.client().event(event_id)
    if form in ("table", "wide") and fields is None:
        pairs = View((key_column("field"), key_column("value")), name=lambda row: row["field"])
        write_all("wide", pairs, pairs_of(event, utc=utc))
    else:
        write_all(form, view, [event])
