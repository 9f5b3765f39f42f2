"""`radar-audit tail`: the last events, and with `-f` every later one.

Owns the join between the two: which event was shown already. Following itself
lives in `following`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from radar_audit_cli.connection import Connection, connection_options
from radar_audit_cli.errors import ArgumentError
from radar_audit_cli.filters import Filter, FilterCommand, filter_options
from radar_audit_cli.following import follow, head
from radar_audit_cli.output.event_view import event_view
from radar_audit_cli.output.writers import fields_option, open_writer, output_option, utc_option
from radar_audit_cli.shapes import Event, Params
from radar_audit_cli.text import visible

if TYPE_CHECKING:
    from radar_audit_cli.hub_client import HubClient

_MAX_LAST_EVENTS = 10_000  # they are turned round in memory


@click.command(cls=FilterCommand, short_help="Show the last events and follow new ones.")
@filter_options
@click.option("-f", "--follow", "follows", is_flag=True, help="Go on with new events, for ever.")
@click.option(
    "-n",
    "--lines",
    "number",
    type=click.IntRange(0, _MAX_LAST_EVENTS),
    default=10,
    show_default=True,
    help="How many of the last events to show first.",
)
@output_option
@fields_option
@utc_option
@connection_options
def tail(
    *,
    follows: bool,
    number: int,
    form: str,
    fields: str | None,
    utc: bool,
    connection: Connection,
    chosen: Filter,
) -> None:
    """Show the last events, oldest first; with -f go on with each new one.

    New events come in the order in which the hub stored them, each once, also
    across lost connections. Ctrl-C ends it (exit code 2).
    """
    if follows and chosen.include:
        raise ArgumentError("--include has no effect on followed events: leave it or -f out")
    recorded = "recorded_at" in chosen.include
    view = event_view(utc=utc, fields=fields, recorded=recorded, endless=follows)
    params = chosen.params()
    client = connection.client()
    # The head first: what is stored between the two requests is in one of the two, or in both.
    after_seq = head(client, params) if follows else None
    last = _last(client, params, number)
    writer = open_writer(form, view)
    writer.write(last)
    if after_seq is None:
        writer.close()
        return
    for event in _unseen(client, params, after_seq, last):
        writer.write([event])


def _last(client: HubClient, params: Params, number: int) -> list[Event]:
    newest_first = [event for page in client.pages(params, number) for event in page.items]
    return newest_first[::-1]


def _unseen(
    client: HubClient, params: Params, after_seq: int, shown: list[Event]
) -> Iterator[Event]:
    shown_ids = {event.get("id") for event in shown}
    for event in follow(client, params, after_seq, notice=_notice):
        if event.get("id") not in shown_ids:
            yield event


def _notice(sentence: str) -> None:
    click.echo(f"radar-audit: {visible(sentence)}", err=True)
