"""`radar-audit query`: the events that match, newest first.

Owns the command and nothing else: filters, paging and forms live in their own
modules. Never keeps more than a page in memory.
"""

from __future__ import annotations

import click

from radar_audit_cli.connection import Connection, connection_options
from radar_audit_cli.errors import NoMatchError
from radar_audit_cli.filters import Filter, FilterCommand, filter_options
from radar_audit_cli.listing import write_pages
from radar_audit_cli.output.event_view import event_view
from radar_audit_cli.output.writers import fields_option, output_option, utc_option


@click.command(cls=FilterCommand, short_help="Find events.")
@filter_options
@click.option(
    "--limit", type=click.IntRange(1), default=100, show_default=True, help="Most events to show."
)
@click.option("--all", "wants_all", is_flag=True, help="Show every event, however many.")
@click.option("--exit-code", "wants_code", is_flag=True, help="Exit with 5 if nothing matches.")
@output_option
@fields_option
@utc_option
@connection_options
def query(
    *,
    limit: int,
    wants_all: bool,
    wants_code: bool,
    form: str,
    fields: str | None,
    utc: bool,
    connection: Connection,
    chosen: Filter,
) -> None:
    """Find events, newest first.

    QUERY is words of the query language, which all have to hold, such as
    `action:pod.* -actor:bot@acme.com namespace:pay* created:>=2026-11-01`.
    """
    view = event_view(utc=utc, fields=fields, recorded="recorded_at" in chosen.include)
    params = chosen.params()
    client = connection.client()
    pages = client.pages(params, None if wants_all else limit)
    count, has_more = write_pages(form, view, pages)
    if has_more:
        events = "1 event" if count == 1 else f"{count} events"
        click.echo(f"{events} shown, there may be more: --limit N or --all", err=True)
    if count:
        return
    if wants_code:
        raise NoMatchError("nothing matched")
    click.echo("nothing matched", err=True)
