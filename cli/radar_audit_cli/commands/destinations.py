"""`radar-audit destinations`: where alerts go, and what was delivered there.

Owns the commands over `/api/orgs/{id}/destinations`. A destination's secret (its URL or its keys)
is read from a file or standard input, and is never an argument.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import IO, Any

import click

from radar_audit_cli.answering import Answer, answer_options
from radar_audit_cli.confirming import confirm, yes_option
from radar_audit_cli.connection import Connection, connection_options
from radar_audit_cli.errors import ArgumentError, CliError
from radar_audit_cli.finding import DESTINATION, find_one, id_for
from radar_audit_cli.listing import Listing, list_options
from radar_audit_cli.output.records import list_view

KINDS = ("slack", "webhook", "email", "teams", "pagerduty")
STATES = ("pending", "delivered", "failed", "dropped")
SEVERITIES = ("info", "warning", "critical")
_MAX_SECRET_BYTES = 16 * 1024
_SIGNING = (("whsec_", "signing_secret"), ("whsk_", "signing_key"))
# Kinds that can send nothing without their secret, and what it is.
_SECRET_KINDS = {
    "slack": "the URL of the incoming webhook",
    "teams": "the URL of the workflow",
    "pagerduty": "the routing key of the service",
}
_NO_OLD = {f"previous_{name}": "" for _, name in _SIGNING}
_Command = Callable[..., Any]


@click.group(short_help="Say where alerts go, and see what arrived.")
def destinations() -> None:
    """Make and change destinations of alerts, test them, and see what was delivered."""


@destinations.command(
    "list",
    short_help="List the destinations.",
    epilog="Example: radar-audit destinations list -o wide",
)
@list_options
def list_(listing: Listing, connection: Connection) -> None:
    """List the destinations of the organization and of all AuditPolicies, with how they stand."""
    client = connection.client()
    view = list_view(
        ("id", "name", "kind", "state", "pending", "last_delivery_at"),
        utc=listing.utc,
        wide=(
            "owner_id",
            "settings.min_severity",
            "last_error_at",
            "last_error",
            "disabled_reason",
        ),
    )
    listing.show(client, client.in_org("destinations"), "destinations", view)


def _settings_options(command: _Command) -> _Command:
    for option in (
        click.option(
            "--muted-until", metavar="TIME", help="Nothing is sent until then (RFC 3339)."
        ),
        click.option("--min-severity", type=click.Choice(SEVERITIES), help="Nothing below it."),
        click.option(
            "--envelope", type=click.Choice(("radar", "cloudevents")), help="A webhook's body."
        ),
        click.option(
            "--to", "to", metavar="ADDRESS", multiple=True, help="Of an e-mail; repeatable."
        ),
        click.option("--endpoint", metavar="URL", help="A webhook's address."),
        click.option(
            "--secret-file",
            "--url-file",
            "secret",
            type=click.File("rb"),
            metavar="FILE",
            help="File with what is secret (-: standard input): the URL of Slack or Teams, "
            "PagerDuty's routing key, or a webhook's whsec_… and whsk_…, one a line, "
            "each one's previous one behind it.",
        ),
    ):
        command = option(command)
    return command


@destinations.command(
    short_help="Add a destination.",
    epilog="Example: radar-audit destinations create security --kind slack --url-file slack.url",
)
@click.argument("name")
@click.option("--kind", type=click.Choice(KINDS), required=True)
@_settings_options
@answer_options
def create(*, name: str, kind: str, answer: Answer, connection: Connection, **given: Any) -> None:
    """Add the destination NAME; a rule of the policy has to name it before anything is sent."""
    if kind in _SECRET_KINDS and given["secret"] is None:
        raise ArgumentError(f"{kind} needs --secret-file FILE: {_SECRET_KINDS[kind]}")
    body = {"name": name, kind: _target(kind, given, connection), **_settings(given)}
    client = connection.client()
    made = client.change("POST", client.in_org("destinations"), body)
    answer.show(made, name="id")


@destinations.command(
    short_help="Change a destination.",
    epilog="Example: radar-audit destinations update security --muted-until 2026-12-01T08:00:00Z",
)
@click.argument("destination")
@click.option(
    "--kind", type=click.Choice(KINDS), help="What it becomes, with what belongs to that."
)
@click.option("--no-mute", is_flag=True, help="Send again what was muted.")
@click.option(
    "--end-old",
    is_flag=True,
    help="Sign a webhook's requests no longer with the secret and key before the present ones.",
)
@_settings_options
@answer_options
def update(
    *,
    destination: str,
    kind: str | None,
    no_mute: bool,
    end_old: bool,
    answer: Answer,
    connection: Connection,
    **given: Any,
) -> None:
    """Change DESTINATION (its name or nd_… id). What is not given stays.

    With a webhook's new secret or key the one before it goes on signing, too, until --end-old.
    """
    body = _settings(given)
    if no_mute:
        body["muted_until"] = None
    if kind is not None:
        body[kind] = _target(kind, given, connection)
    if end_old and kind != "webhook":
        raise ArgumentError("--end-old is for a webhook: give --kind webhook and its --endpoint")
    if end_old:
        body["webhook"] = {**_NO_OLD, **body["webhook"]}
    elif kind is None and any(given[name] for name in ("endpoint", "to", "secret", "envelope")):
        raise ArgumentError("say with --kind what the address or secret is of")
    if not body:
        raise ArgumentError("nothing is to be changed: give --kind, --min-severity or a mute")
    client = connection.client()
    made = client.change(
        "PATCH", client.in_org("destinations", id_for(client, DESTINATION, destination)), body
    )
    answer.show(made, name="id")


@destinations.command(
    short_help="Delete a destination.",
    epilog="Example: radar-audit destinations delete security",
)
@click.argument("destination")
@yes_option
@connection_options
def delete(*, destination: str, yes: bool, connection: Connection) -> None:
    """Delete DESTINATION (its name or nd_… id): what waits for it is not sent."""
    client = connection.client()
    found = find_one(client, DESTINATION, destination)
    confirm(f"This deletes the destination {found.name}", found.name, yes=yes)
    client.change("DELETE", client.in_org("destinations", found.id), None)
    click.echo(f"destination {found.name} deleted", err=True)


@destinations.command(
    short_help="Send a test.",
    epilog="Example: radar-audit destinations test security",
)
@click.argument("destination")
@answer_options
def test(*, destination: str, answer: Answer, connection: Connection) -> None:
    """Send a message that says it is a test to DESTINATION; exit with 1 if it did not arrive."""
    client = connection.client()
    path = client.in_org("destinations", id_for(client, DESTINATION, destination), "test")
    said = client.change("POST", path, None)
    answer.show(said, name="delivered")
    if said.get("delivered") is not True:
        raise CliError(f"the test did not arrive: {said.get('error')}")


@destinations.command(
    short_help="Send to a destination again.",
    epilog="Example: radar-audit destinations enable security",
)
@click.argument("destination")
@answer_options
def enable(*, destination: str, answer: Answer, connection: Connection) -> None:
    """Send to DESTINATION again, which was disabled because of its receiver's answers."""
    client = connection.client()
    path = client.in_org("destinations", id_for(client, DESTINATION, destination), "enable")
    answer.show(client.change("POST", path, None), name="id")


def _times(command: _Command) -> _Command:
    since = click.option("--from", "since", metavar="TIME", help="Made then or later (RFC 3339).")
    until = click.option("--to", "until", metavar="TIME", help="Made before then (RFC 3339).")
    return since(until(command))


@destinations.command(
    short_help="List what was delivered.",
    epilog="Example: radar-audit destinations deliveries security --state failed",
)
@click.argument("destination")
@click.option(
    "--state",
    "states",
    type=click.Choice(STATES),
    multiple=True,
    help="Only messages in this state; repeatable.",
)
@_times
@list_options
def deliveries(
    *,
    destination: str,
    states: tuple[str, ...],
    since: str | None,
    until: str | None,
    listing: Listing,
    connection: Connection,
) -> None:
    """List the messages for DESTINATION, the newest first. In JSON with all attempts."""
    client = connection.client()
    params = [("state", state) for state in states]
    params += [(name, text) for name, text in (("from", since), ("to", until)) if text is not None]
    view = list_view(
        ("id", "created_at", "state", "severity", "title"),
        utc=listing.utc,
        wide=("rule", "kind", "total", "settled_at", "due_at", "replay_of"),
    )
    path = client.in_org("destinations", id_for(client, DESTINATION, destination), "deliveries")
    listing.show(client, path, "deliveries", view, params)


@destinations.command(
    short_help="Send messages again.",
    epilog="Example: radar-audit destinations replay security --from 2026-11-24T10:00:00Z",
)
@click.argument("destination")
@click.argument("message", required=False)
@click.option("--state", type=click.Choice(STATES[1:]), help="Default: failed and dropped.")
@_times
@answer_options
def replay(
    *,
    destination: str,
    message: str | None,
    state: str | None,
    since: str | None,
    until: str | None,
    answer: Answer,
    connection: Connection,
) -> None:
    """Send MESSAGE (msg_…) to DESTINATION again, or those of a range of times.

    To the receiver each is the message that it was: its id is the same.
    """
    if (message is None) == (since is None):
        raise ArgumentError("give either a message's id, or --from for a range of times")
    given = {"message_id": message, "from": since, "to": until, "state": state}
    body = {name: value for name, value in given.items() if value is not None}
    client = connection.client()
    path = client.in_org("destinations", id_for(client, DESTINATION, destination), "replay")
    answer.show(client.change("POST", path, body), name="replayed")


def _settings(given: dict[str, Any]) -> dict[str, Any]:
    names = ("min_severity", "muted_until")
    return {name: given[name] for name in names if given[name] is not None}


def _target(kind: str, given: dict[str, Any], connection: Connection) -> dict[str, Any]:
    """Return what belongs to a kind; a secret that is not given stays as it is."""
    _refuse_others(kind, given)
    lines = _secret_lines(given["secret"], connection)
    if kind == "email":
        return {"to": list(given["to"])}
    if kind == "webhook":
        if given["endpoint"] is None:
            raise ArgumentError("a webhook needs --endpoint URL")
        envelope = {} if given["envelope"] is None else {"envelope": given["envelope"]}
        return {"url": given["endpoint"], **envelope, **_signing(lines)}
    if len(lines) > 1:
        raise ArgumentError("that file must hold one line")
    name = "routing_key" if kind == "pagerduty" else "url"
    return {name: lines[0]} if lines else {}


def _refuse_others(kind: str, given: dict[str, Any]) -> None:
    allowed = {"webhook": ("endpoint", "envelope", "secret"), "email": ("to",)}.get(
        kind, ("secret",)
    )
    for name in ("endpoint", "envelope", "to", "secret"):
        if given[name] and name not in allowed:
            option = {"secret": "secret-file"}.get(name, name)
            raise ArgumentError(f"--{option} is not for {kind}")


def _secret_lines(file: IO[bytes] | None, connection: Connection) -> list[str]:
    if file is None:
        return []
    connection.require_stdin_free(file)
    text = file.read(_MAX_SECRET_BYTES).decode("utf-8", "replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines or any(" " in line or not line.isprintable() for line in lines):
        raise ArgumentError("the file of the secret must hold it, one line each, and no more")
    return lines


def _signing(lines: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in lines:
        name = next((name for prefix, name in _SIGNING if line.startswith(prefix)), None)
        if name is None:
            raise ArgumentError("a webhook's secret begins with whsec_, its Ed25519 key with whsk_")
        name = f"previous_{name}" if name in found else name
        if name in found:
            raise ArgumentError("a webhook has one secret and one key, and each one's previous one")
        found[name] = line
    return found
