"""`radar-audit members`: who belongs to an organization, and as what.

Owns the commands over `/api/orgs/{id}/members`.
"""

from __future__ import annotations

import click
from radar_audit_events.actions import ROLES

from radar_audit_cli.answering import Answer, answer_options
from radar_audit_cli.confirming import confirm, yes_option
from radar_audit_cli.connection import Connection, connection_options
from radar_audit_cli.errors import CliError
from radar_audit_cli.finding import MEMBER, find_one
from radar_audit_cli.listing import Listing, list_options
from radar_audit_cli.output.records import list_view


@click.group(short_help="List members, change roles, remove.")
def members() -> None:
    """List an organization's members, change their roles, remove them."""


@members.command(
    "list",
    short_help="List the members.",
    epilog="Example: radar-audit members list --all -o csv",
)
@list_options
def list_(listing: Listing, connection: Connection) -> None:
    """List the members with their roles and when they joined."""
    client = connection.client()
    view = list_view(
        ("user_id", "email", "role", "joined_at", "last_seen_at"),
        utc=listing.utc,
        id_key="user_id",
    )
    listing.show(client, client.in_org("members"), "members", view)


@members.command(
    "set-role",
    short_help="Change a member's role.",
    epilog="Example: radar-audit members set-role bob@acme.com auditor",
)
@click.argument("member")
@click.argument("role", type=click.Choice(ROLES))
@answer_options
def set_role(*, member: str, role: str, answer: Answer, connection: Connection) -> None:
    """Give MEMBER (an e-mail or user_… id) the ROLE. The last owner keeps theirs."""
    client = connection.client()
    user_id = find_one(client, MEMBER, member).id
    changed = client.change("PATCH", client.in_org("members", user_id), {"role": role})
    answer.show(changed, name="user_id")


@members.command(
    short_help="Remove a member and revoke their tokens.",
    epilog="Example: radar-audit members remove bob@acme.com",
)
@click.argument("member")
@yes_option
@connection_options
def remove(*, member: str, yes: bool, connection: Connection) -> None:
    """Remove MEMBER (an e-mail or user_… id); their tokens of this organization are revoked."""
    client = connection.client()
    found = find_one(client, MEMBER, member)
    confirm(
        f"This removes {found.name} from {client.org} and revokes their tokens", found.name, yes=yes
    )
    client.change("DELETE", client.in_org("members", found.id), None)
    click.echo(f"{found.name} removed", err=True)


@members.command(
    short_help="Leave the organization yourself.",
    epilog="Example: radar-audit members leave --org org_01JD8ZACME",
)
@yes_option
@connection_options
def leave(*, yes: bool, connection: Connection) -> None:
    """Leave the organization; your own tokens for it are revoked. The last owner has to stay."""
    client = connection.client()
    me = client.me().get("user_id")
    if not isinstance(me, str):
        raise CliError("the hub does not say who you are")
    confirm(f"This ends your own membership of {client.org}", client.org, yes=yes)
    client.change("DELETE", client.in_org("members", me), None)
    click.echo(f"you are no longer a member of {client.org}", err=True)
