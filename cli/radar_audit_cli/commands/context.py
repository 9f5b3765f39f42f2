"""`radar-audit context`: named hubs.

Owns the commands that change the file of contexts. Never prints a token and
takes none on the command line.
"""

from __future__ import annotations

import os
import re
import sys
from typing import Any

import click
from radar_audit_events.ids import is_opaque_id

from radar_audit_cli.addresses import checked_token, checked_url
from radar_audit_cli.completing import complete_context
from radar_audit_cli.connection import read_token_from_stdin
from radar_audit_cli.contexts import Context, Contexts, config_path, read_contexts, write_contexts
from radar_audit_cli.errors import ArgumentError, NoMatchError
from radar_audit_cli.output.views import Column, View, key_column
from radar_audit_cli.output.writers import output_option, write_all

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_VIEW = View(
    (
        Column("", lambda row: "*" if row["current"] else " ", least_cells=1),
        key_column("name"),
        key_column("url", least_cells=16),
        key_column("org"),
        key_column("token"),
    ),
    name=lambda row: row["name"],
    csv=tuple(key_column(key, key) for key in ("name", "url", "org", "token", "current")),
)


@click.group(short_help="Name hubs and choose among them.")
def context() -> None:
    """Name hubs, with a token for each, and choose which one commands talk to."""


def _stored() -> Contexts:
    return read_contexts(config_path(os.environ))


def _store(contexts: Contexts) -> None:
    write_contexts(config_path(os.environ), contexts)


@context.command("add", short_help="Add or replace a context.")
@click.argument("name")
@click.option("--url", required=True, metavar="URL", help="The hub's address.")
@click.option("--org", metavar="ID", help="Organization (default: the token's own).")
@click.option("--token-stdin", is_flag=True, help="Read the token from standard input.")
@click.option("--ca-file", metavar="PEM", help="Certificates to trust for the hub.")
@click.option("--insecure-http", is_flag=True, help="Allow http:// to another machine.")
def add(
    *,
    name: str,
    url: str,
    org: str | None,
    token_stdin: bool,
    ca_file: str | None,
    insecure_http: bool,
) -> None:
    """Add a context, or replace the one of that name; the first one is used at once.

    The token is read from standard input with --token-stdin, else asked for on
    a terminal. Without one, RADAR_AUDIT_TOKEN has to be set later.
    """
    if not _NAME.fullmatch(name):
        raise ArgumentError("a context's name has letters, digits, '.', '_' and '-' only")
    if org is not None and not is_opaque_id("org", org):
        raise ArgumentError(f"{org!r} is no organization's id: one begins with org_")
    address = checked_url(url, insecure_http=insecure_http)
    contexts = _stored()
    certificates = None if ca_file is None else os.path.abspath(ca_file)  # noqa: PTH100
    token = _asked_token(from_stdin=token_stdin)
    _store(contexts.with_context(name, Context(address, org, token, certificates, insecure_http)))
    verb = "replaced" if name in contexts.named else "added"
    without = "" if token else ", without a token: set RADAR_AUDIT_TOKEN, or add it again"
    click.echo(f"context {name} {verb}{without}", err=True)


def _asked_token(*, from_stdin: bool) -> str | None:
    if from_stdin:
        return read_token_from_stdin()
    if not sys.stdin.isatty():
        return None
    typed = click.prompt(
        "Token (rhp_…, empty for none)", hide_input=True, default="", show_default=False, err=True
    )
    return checked_token(typed, "what was typed") if typed.strip() else None


@context.command("use", short_help="Choose the context that commands talk to.")
@click.argument("name", shell_complete=complete_context)
def use(name: str) -> None:
    """Make NAME the context that commands talk to."""
    _store(_stored().using(name))
    click.echo(f"context {name} is in use", err=True)


@context.command("remove", short_help="Forget a context and its token.")
@click.argument("name", shell_complete=complete_context)
def remove(name: str) -> None:
    """Forget NAME and its token. The token itself stays valid until it is revoked."""
    _store(_stored().without(name))
    click.echo(f"context {name} removed", err=True)


@context.command("list", short_help="List the contexts.")
@output_option
def list_(form: str) -> None:
    """List the contexts; a token is shown as yes or no only."""
    contexts = _stored()
    write_all(form, _VIEW, [_row(contexts, name) for name in sorted(contexts.named)])
    if not contexts.named:
        click.echo("no contexts yet; radar-audit context add NAME --url URL adds one", err=True)


@context.command("current", short_help="Show the context in use.")
@output_option
def current(form: str) -> None:
    """Show the context that commands talk to: that of RADAR_AUDIT_CONTEXT, or the one in use."""
    contexts = _stored()
    named = os.environ.get("RADAR_AUDIT_CONTEXT")
    if named:
        contexts = contexts.using(named)
    if contexts.current is None:
        raise NoMatchError("no context is in use", hint="radar-audit context use NAME")
    write_all(form, _VIEW, [_row(contexts, contexts.current)])


def _row(contexts: Contexts, name: str) -> dict[str, Any]:
    found = contexts.get(name)
    return {
        "name": name,
        "url": found.url,
        "org": found.org,
        "token": "yes" if found.token else "no",
        "current": name == contexts.current,
    }
