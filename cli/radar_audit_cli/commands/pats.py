"""`radar-audit pats`: personal access tokens of the caller.

Owns the commands over `/api/orgs/{id}/pats`. A token is shown once or written
to a file.
"""

from __future__ import annotations

import time
from typing import Any

import click

from radar_audit_cli.answering import TokenAnswer, token_options
from radar_audit_cli.confirming import confirm, yes_option
from radar_audit_cli.connection import Connection, connection_options
from radar_audit_cli.finding import PAT, find_one
from radar_audit_cli.listing import Listing, list_options
from radar_audit_cli.output.records import list_view
from radar_audit_cli.times import later_instant

_SCOPES = (
    "audit:read",
    "audit:write",
    "policy:write",
    "clusters:write",
    "members:write",
    "billing:write",
    "tokens:write",
    "org:read",
    "org:write",
)


@click.group(short_help="Make and revoke personal access tokens.")
def pats() -> None:
    """Make, list and revoke your personal access tokens of an organization."""


@pats.command(
    "list",
    short_help="List tokens.",
    epilog="Example: radar-audit pats list --user all",
)
@click.option(
    "--user",
    metavar="WHO",
    default="me",
    show_default=True,
    help="Whose: me, a user_… id, or all (the last two for owners).",
)
@list_options
def list_(user: str, listing: Listing, connection: Connection) -> None:
    """List the tokens with their scopes, when they expire and were last used."""
    client = connection.client()
    view = list_view(
        ("id", "name", "email", "scopes", "expires_at", "last_used_at"),
        utc=listing.utc,
        wide=("created_at", "user_id"),
    )
    listing.show(client, client.in_org("pats"), "pats", view, [("user", user)])


@pats.command(
    short_help="Make a token.",
    epilog="Example: radar-audit pats create ci --scope audit:read --expires 90d "
    "--token-file ci.token",
)
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(_SCOPES),
    multiple=True,
    help="What it may be used for; repeatable (default: all that your role may do).",
)
@click.option(
    "--expires",
    metavar="WHEN",
    help="Such as 90d or 12h, a date (its end, UTC), a time, or never (default: the "
    "organization's own).",
)
@token_options
def create(
    *,
    name: str,
    scopes: tuple[str, ...],
    expires: str | None,
    answer: TokenAnswer,
    connection: Connection,
) -> None:
    """Make a token called NAME that acts as you in this organization."""
    body: dict[str, Any] = {"name": name}
    if scopes:
        body["scopes"] = sorted(set(scopes))
    if expires == "never":
        body["expires_at"] = None
    elif expires is not None:
        body["expires_at"] = later_instant(expires, "--expires", time.time_ns() // 1_000_000)
    client = connection.client()
    with answer.kept() as show_made:
        show_made(client.change("POST", client.in_org("pats"), body), name="id")


@pats.command(
    short_help="Revoke a token.",
    epilog="Example: radar-audit pats revoke ci",
)
@click.argument("token")
@click.option("--reason", help="Why; it is written to the log.")
@yes_option
@connection_options
def revoke(*, token: str, reason: str | None, yes: bool, connection: Connection) -> None:
    """Revoke TOKEN (its name or pat_… id, never the token itself) from the next request on.

    An owner revokes another's by its id; `pats list --user all` shows them.
    """
    client = connection.client()
    found = find_one(client, PAT, token)
    confirm(f"This revokes the token {found.name} ({found.id})", found.name, yes=yes)
    why = () if reason is None else [("reason", reason)]
    client.change("DELETE", client.in_org("pats", found.id), None, why)
    click.echo(f"token {found.name} revoked", err=True)
