"""`radar-audit billing`: the plan of an organization and who pays for it.

Owns the commands over `/api/orgs/{id}/billing`. Never asks for anything that
belongs to a card: paying happens on Stripe's own page.
"""

from __future__ import annotations

import click

from radar_audit_cli.answering import Answer, answer_options
from radar_audit_cli.connection import Connection

_SOLD = ("team", "enterprise")


@click.group(short_help="Show and change the plan.")
def billing() -> None:
    """Show the organization's plan, change it, and open Stripe's pages."""


@billing.command(
    short_help="Show the plan and its limits.",
    epilog="Example: radar-audit billing show",
)
@answer_options
def show(*, answer: Answer, connection: Connection) -> None:
    """Show the plan, its limits, the subscription, and what a downgrade will still remove."""
    client = connection.client()
    answer.show(client.get(client.in_org("billing")), name="plan")


@billing.command(
    short_help="Begin paying for a plan.",
    epilog="Example: radar-audit billing checkout team -o name",
)
@click.argument("plan", type=click.Choice(_SOLD))
@answer_options
def checkout(*, plan: str, answer: Answer, connection: Connection) -> None:
    """Open a Stripe Checkout for PLAN and print the page's address (alone with -o name)."""
    client = connection.client()
    made = client.change("POST", client.in_org("billing", "checkout"), {"plan": plan})
    answer.show(made, name="url")


@billing.command(
    short_help="Open Stripe's customer portal.",
    epilog="Example: radar-audit billing portal -o name",
)
@answer_options
def portal(*, answer: Answer, connection: Connection) -> None:
    """Print the address of Stripe's portal, where cards, invoices and the end of a plan are."""
    client = connection.client()
    made = client.change("POST", client.in_org("billing", "portal"), None)
    answer.show(made, name="url")
