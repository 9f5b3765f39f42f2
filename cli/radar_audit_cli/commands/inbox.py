"""`radar-audit inbox`: a person's own notices.

Owns the commands over `/api/inbox`, which is over all organizations and needs a token without
scopes. Never shows anybody else's.
"""

from __future__ import annotations

import click

from radar_audit_cli.connection import Connection, connection_options
from radar_audit_cli.errors import ArgumentError
from radar_audit_cli.listing import Listing, list_options
from radar_audit_cli.output.records import list_view

_PATH = "/inbox"


@click.group(short_help="See the notices that are meant for you.")
def inbox() -> None:
    """See Radar's own notices (a cluster that is gone, a payment that failed), and mark them."""


@inbox.command(
    "list",
    short_help="List the notices.",
    epilog="Example: radar-audit inbox list --unread",
)
@click.option("--unread", is_flag=True, help="Only those that are not read.")
@list_options
def list_(*, unread: bool, listing: Listing, connection: Connection) -> None:
    """List your notices, the newest first."""
    view = list_view(
        ("created_at", "org_name", "kind", "title"),
        utc=listing.utc,
        wide=("id", "org_id", "read_at"),
    )
    params = [("unread", "true")] if unread else []
    listing.show(connection.client(), _PATH, "notices", view, params)


@inbox.command(
    short_help="Mark notices read.",
    epilog="Example: radar-audit inbox read --all",
)
@click.argument("notices", nargs=-1)
@click.option("--all", "wants_all", is_flag=True, help="Mark every one.")
@connection_options
def read(*, notices: tuple[str, ...], wants_all: bool, connection: Connection) -> None:
    """Mark NOTICES (ntc_… ids) read, or all of them, in every session of yours."""
    if bool(notices) == wants_all:
        raise ArgumentError("give either ids of notices, or --all")
    body = {"all": True} if wants_all else {"ids": list(notices)}
    left = connection.client().change("POST", f"{_PATH}/read", body)
    click.echo(f"{left.get('unread')} not read", err=True)
