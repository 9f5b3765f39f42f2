"""`radar-audit billing`: the plan of an organization and who pays for it.

Owns the commands over `/api/orgs/{id}/billing`. Never asks for anything that
belongs to a card: paying happens on Stripe's own page.
"""

from __future__ import annotations

import click

from radar_audit_cli.connection import Connection, connection_options
from radar_audit_cli.output.records import write_record
from radar_audit_cli.output.writers import output_option, utc_option

_SOLD = ("team", "enterprise")


@click.group(short_help="Show and change the plan.")
def billing() -> None:
    """Show the organization's plan, change it, and open Stripe's pages."""


@billing.command(
    short_help="Show the plan and its limits.",
    epilog="Example: radar-audit billing show",
)
@output_option
@utc_option
@connection_options
def show(*, form: str, utc: bool, connection: Connection) -> None:
    """Show the plan, its limits, the subscription, and what a downgrade will still remove."""
    client = connection.client()
    write_record(form, client.get(client.in_org("billing")), name="plan", utc=utc)


@billing.command(
    short_help="Begin paying for a plan.",
    epilog="Example: radar-audit billing checkout team -o name",
)
@click.argument("plan", type=click.Choice(_SOLD))
@output_option
@utc_option
@connection_options
def checkout(*, plan: str, form: str, utc: bool, connection: Connection) -> None:
    """Open a Stripe Checkout for PLAN and print the page's address (alone with -o name)."""
    client = connection.client()
    made = client.change("POST", client.in_org("billing", "checkout"), {"plan": plan})
    write_record(form, made, name="url", utc=utc)


@billing.command(
    short_help="Open Stripe's customer portal.",
    epilog="Example: radar-audit billing portal -o name",
)
@output_option
@utc_option
@connection_options
def portal(*, form: str, utc: bool, connection: Connection) -> None:
    """Print the address of Stripe's portal, where cards, invoices and the end of a plan are."""
    client = connection.client()
    made = client.change("POST", client.in_org("billing", "portal"), None)
    write_record(form, made, name="url", utc=utc)
