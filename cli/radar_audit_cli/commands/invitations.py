"""`radar-audit invitations`: asking people into an organization.

Owns the commands over `/api/orgs/{id}/invitations` and the accepting of one.
An invitation's link is a secret: it is read from a file or standard input,
never from the command line.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import IO, Any
from urllib.parse import parse_qs, urlsplit

import click
from radar_audit_events.actions import ROLES

from radar_audit_cli.answering import Answer, answer_options
from radar_audit_cli.confirming import confirm, yes_option
from radar_audit_cli.connection import Connection, connection_options
from radar_audit_cli.errors import ArgumentError
from radar_audit_cli.finding import INVITATION, find_one
from radar_audit_cli.listing import Listing, list_options
from radar_audit_cli.output.records import list_view

_MAX_LINK_BYTES = 4096


@click.group(short_help="Invite people, and accept an invitation.")
def invitations() -> None:
    """Invite people into an organization, and accept an invitation."""


@invitations.command(
    "list",
    short_help="List the invitations.",
    epilog="Example: radar-audit invitations list",
)
@list_options
def list_(listing: Listing, connection: Connection) -> None:
    """List the invitations with their state."""
    client = connection.client()
    view = list_view(
        ("id", "email", "role", "status", "expires_at"),
        utc=listing.utc,
        wide=("inviter_email", "times_sent", "sent_at"),
    )
    listing.show(client, client.in_org("invitations"), "invitations", view)


@invitations.command(
    short_help="Invite somebody.",
    epilog="Example: radar-audit invitations create bob@acme.com --role member",
)
@click.argument("email")
@click.option("--role", type=click.Choice(ROLES), default="member", show_default=True)
@answer_options
def create(*, email: str, role: str, answer: Answer, connection: Connection) -> None:
    """Invite EMAIL: a link for 7 days that works once, and only for that address.

    The link is mailed; the answer has one too, which cannot be shown again.
    """
    client = connection.client()
    body = {"email": email, "role": role}
    made = client.change("POST", client.in_org("invitations"), body)
    answer.show(made, name="id")


@invitations.command(
    short_help="Send an invitation again.",
    epilog="Example: radar-audit invitations resend bob@acme.com",
)
@click.argument("invitation")
@answer_options
def resend(*, invitation: str, answer: Answer, connection: Connection) -> None:
    """Send INVITATION (its e-mail or inv_… id) again with a new link for 7 days."""
    client = connection.client()
    found = find_one(client, INVITATION, invitation, among=_is_open).id
    made = client.change("POST", client.in_org("invitations", found, "resend"), None)
    answer.show(made, name="id")


@invitations.command(
    short_help="Revoke an invitation.",
    epilog="Example: radar-audit invitations revoke bob@acme.com",
)
@click.argument("invitation")
@yes_option
@connection_options
def revoke(*, invitation: str, yes: bool, connection: Connection) -> None:
    """Revoke INVITATION (its e-mail or inv_… id): its link works no more."""
    client = connection.client()
    found = find_one(client, INVITATION, invitation, among=_is_open)
    confirm(f"This revokes the invitation of {found.name}", found.name, yes=yes)
    client.change("DELETE", client.in_org("invitations", found.id), None)
    click.echo(f"invitation of {found.name} revoked", err=True)


@invitations.command(
    short_help="Accept an invitation.",
    epilog="Example: radar-audit invitations accept --link-file invitation.txt",
)
@click.option(
    "--link-file",
    "link",
    type=click.File("rb"),
    metavar="FILE",
    help="File with the link (-: standard input); without it you are asked.",
)
@answer_options
def accept(*, link: IO[bytes] | None, answer: Answer, connection: Connection) -> None:
    """Accept an invitation as the person whose token this is."""
    if link is not None:
        connection.require_stdin_free(link)
        text = link.read(_MAX_LINK_BYTES).decode("utf-8", "replace")
    elif sys.stdin.isatty():
        text = click.prompt("Link of the invitation", hide_input=True, err=True)
    else:
        raise ArgumentError("no link is given: --link-file FILE, or - for standard input")
    made = connection.client().change("POST", "/invitations/accept", {"token": _token_of(text)})
    answer.show(made, name="org_id")


def _is_open(invitation: Mapping[str, Any]) -> bool:
    """Tell whether somebody may still come by it, or could if it were sent again."""
    return invitation.get("status") in ("pending", "expired")


def _token_of(text: str) -> str:
    """Return the token of an invitation's link, or a bare token itself. Raises ArgumentError."""
    bare = text.strip()
    if "://" in bare:
        parts = urlsplit(bare)
        values = parse_qs(parts.query).get("token") or parse_qs(parts.fragment).get("token")
        bare = values[0] if values else ""
    if not bare or not bare.isascii() or not bare.isprintable() or " " in bare:
        raise ArgumentError("that is no link of an invitation")
    return bare
