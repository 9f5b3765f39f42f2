"""`radar-audit sso`: single sign-on of an organization.

Owns the command over `/api/orgs/{id}/sso/portal`.
"""

from __future__ import annotations

import click

from radar_audit_cli.answering import Answer, answer_options
from radar_audit_cli.connection import Connection

# Of those that WorkOS documents, the ones that the hub opens.
_INTENTS = ("sso", "domain_verification", "certificate_renewal")


@click.group(short_help="Set up single sign-on.")
def sso() -> None:
    """Set up single sign-on by WorkOS."""


@sso.command(
    short_help="Open the WorkOS Admin Portal.",
    epilog="Example: radar-audit sso portal --intent sso -o name",
)
@click.option("--intent", type=click.Choice(_INTENTS), default="sso", show_default=True)
@answer_options
def portal(*, intent: str, answer: Answer, connection: Connection) -> None:
    """Print the address of the WorkOS Admin Portal; it works for a few minutes."""
    client = connection.client()
    made = client.change("POST", client.in_org("sso", "portal"), {"intent": intent})
    answer.show(made, name="url")
