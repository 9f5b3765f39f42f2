"""`radar-audit orgs`: the organizations that a person belongs to.

Owns the commands over `/api/orgs`. The one that is shown or changed is the
token's own, or that of `--org`.
"""

from __future__ import annotations

from typing import Any

import click
from radar_audit_events.actions import ROLES

from radar_audit_cli.answering import Answer, answer_options
from radar_audit_cli.confirming import confirm, yes_option
from radar_audit_cli.connection import Connection, connection_options
from radar_audit_cli.errors import ArgumentError
from radar_audit_cli.finding import checked_org
from radar_audit_cli.listing import Listing, list_options
from radar_audit_cli.output.records import list_view

_DEFAULT_ROLES = tuple(role for role in ROLES if role != "owner")  # contract: never owner


@click.group(short_help="Make, change and delete organizations.")
def orgs() -> None:
    """Make, list, change and delete organizations."""


@orgs.command(
    "list",
    short_help="List your organizations.",
    epilog="Example: radar-audit orgs list -o name",
)
@list_options
def list_(listing: Listing, connection: Connection) -> None:
    """List the organizations that you are a member of, with your role in each."""
    view = list_view(("id", "name", "role", "plan"), utc=listing.utc, wide=("created_at",))
    listing.show(connection.client(), "/orgs", "orgs", view)


@orgs.command(
    short_help="Make an organization.",
    epilog="Example: radar-audit orgs create 'Acme Payments'",
)
@click.argument("name")
@click.option("--id", "org_id", metavar="ID", help="Its id (default: a new one), org_….")
@answer_options
def create(*, name: str, org_id: str | None, answer: Answer, connection: Connection) -> None:
    """Make the organization NAME, of which you become the owner."""
    body: dict[str, Any] = {"name": name}
    if org_id is not None:
        body["id"] = checked_org(org_id)
    made = connection.client().change("POST", "/orgs", body)
    answer.show(made, name="id")


@orgs.command(
    short_help="Show an organization.",
    epilog="Example: radar-audit orgs show -o yaml",
)
@answer_options
def show(*, answer: Answer, connection: Connection) -> None:
    """Show the organization's name, plan, domains and settings."""
    client = connection.client()
    answer.show(client.get(client.in_org()), name="id")


@orgs.command(
    short_help="Change an organization.",
    epilog="Example: radar-audit orgs update --domain acme.com --default-role viewer",
)
@click.option("--name", help="New name.")
@click.option(
    "--domain",
    "domains",
    metavar="DOMAIN",
    multiple=True,
    help="Whose people may join by themselves; repeatable, replaces the list.",
)
@click.option("--no-domains", is_flag=True, help="Nobody joins by themselves.")
@click.option("--default-role", type=click.Choice(_DEFAULT_ROLES), help="Role of who joins so.")
@click.option(
    "--record-log-access/--no-record-log-access",
    default=None,
    help="Write an event when somebody reads or exports the log.",
)
@answer_options
def update(
    *,
    name: str | None,
    domains: tuple[str, ...],
    no_domains: bool,
    default_role: str | None,
    record_log_access: bool | None,
    answer: Answer,
    connection: Connection,
) -> None:
    """Change the organization's name, domains, default role or settings."""
    if domains and no_domains:
        raise ArgumentError("--domain and --no-domains cannot both be meant")
    body: dict[str, Any] = {
        "name": name,
        "allowed_domains": list(domains) if domains or no_domains else None,
        "default_role": default_role,
        "record_log_access": record_log_access,
    }
    body = {key: value for key, value in body.items() if value is not None}
    if not body:
        raise ArgumentError("nothing is to be changed: give --name or another option")
    client = connection.client()
    answer.show(client.change("PATCH", client.in_org(), body), name="id")


@orgs.command(
    short_help="Delete an organization.",
    epilog="Example: radar-audit orgs delete --org org_01JD8ZACME",
)
@yes_option
@connection_options
def delete(*, yes: bool, connection: Connection) -> None:
    """Delete the organization: its members, clusters and tokens lose their access at once.

    Its log is kept until the retention floor, for the server's admin command.
    """
    client = connection.client()
    found = client.get(client.in_org())
    name = str(found.get("name") or client.org)
    confirm(f"This deletes the organization {name} ({client.org}) for everybody", name, yes=yes)
    client.change("DELETE", client.in_org(), None)
    click.echo(f"organization {client.org} deleted", err=True)
