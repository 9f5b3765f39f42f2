"""`radar-audit whoami`: whose token this is."""

from __future__ import annotations

import click

from radar_audit_cli.answering import Answer
from radar_audit_cli.connection import Connection, connection_options
from radar_audit_cli.output.writers import output_option


@click.command(short_help="Show whose token this is.")
@output_option
@connection_options
def whoami(form: str, connection: Connection) -> None:
    """Show the hub, the person, the organization and the role that a token stands for."""
    client = connection.client()
    who = {"url": client.url, **client.me()}
    Answer(form, utc=False).show(who, name="email" if who.get("email") else "user_id")
