"""`radar-audit clusters`: the clusters of an organization and their tokens.

Owns the commands over `/api/orgs/{id}/clusters`. A cluster's token is shown
once or written to a file, and is never an argument.
"""

from __future__ import annotations

from typing import Any

import click

from radar_audit_cli.answering import Answer, TokenAnswer, answer_options, token_options
from radar_audit_cli.confirming import confirm, yes_option
from radar_audit_cli.connection import Connection, connection_options
from radar_audit_cli.errors import ArgumentError
from radar_audit_cli.finding import CLUSTER, find_one, id_for
from radar_audit_cli.listing import Listing, list_options
from radar_audit_cli.output.records import list_view


@click.group(short_help="Connect and manage clusters.")
def clusters() -> None:
    """Connect clusters, see how their agents are, change and delete them."""


@clusters.command(
    "list",
    short_help="List the clusters.",
    epilog="Example: radar-audit clusters list -o wide",
)
@list_options
def list_(listing: Listing, connection: Connection) -> None:
    """List the clusters with the state of their agents."""
    client = connection.client()
    view = list_view(
        ("id", "name", "environment", "agent.status", "agent.last_seen_at"),
        utc=listing.utc,
        wide=("labels", "upgrade.state", "upgrade.version", "created_at"),
    )
    listing.show(client, client.in_org("clusters"), "clusters", view)


@clusters.command(
    short_help="Show a cluster.",
    epilog="Example: radar-audit clusters show prod",
)
@click.argument("cluster")
@answer_options
def show(*, cluster: str, answer: Answer, connection: Connection) -> None:
    """Show CLUSTER (its name or cl_… id), its agents and any upgrade that was asked for."""
    client = connection.client()
    path = client.in_org("clusters", id_for(client, CLUSTER, cluster))
    answer.show(client.get(path), name="id")


_label_option = click.option(
    "--label",
    "labels",
    metavar="KEY=VALUE",
    multiple=True,
    help="Label; repeatable.",
)


def _labels(texts: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not sign or not key:
            raise ArgumentError(f"--label {text!r} is not of the form KEY=VALUE")
        if key in found:
            raise ArgumentError(f"the label {key!r} is given twice")
        found[key] = value
    return found


@clusters.command(
    short_help="Connect a cluster; makes its token.",
    epilog="Example: radar-audit clusters create prod --environment production "
    "--token-file prod.token",
)
@click.argument("name")
@click.option("--environment", required=True, help="Such as production or staging.")
@click.option("--id", "cluster_id", metavar="ID", help="Its id (default: a new one), cl_….")
@_label_option
@token_options
def create(
    *,
    name: str,
    environment: str,
    cluster_id: str | None,
    labels: tuple[str, ...],
    answer: TokenAnswer,
    connection: Connection,
) -> None:
    """Register the cluster NAME and make the token that its collector needs."""
    body: dict[str, Any] = {"name": name, "environment": environment}
    if labels:
        body["labels"] = _labels(labels)
    if cluster_id is not None:
        body["id"] = cluster_id
    client = connection.client()
    with answer.kept() as show_made:
        show_made(client.change("POST", client.in_org("clusters"), body), name="id")


@clusters.command(
    short_help="Change a cluster's name, environment or labels.",
    epilog="Example: radar-audit clusters update prod --label team=payments",
)
@click.argument("cluster")
@click.option("--name", help="New name.")
@click.option("--environment", help="New environment.")
@_label_option
@click.option("--no-labels", is_flag=True, help="Take every label away.")
@answer_options
def update(
    *,
    cluster: str,
    name: str | None,
    environment: str | None,
    labels: tuple[str, ...],
    no_labels: bool,
    answer: Answer,
    connection: Connection,
) -> None:
    """Change CLUSTER (its name or cl_… id). Labels that are given replace all that it has."""
    if labels and no_labels:
        raise ArgumentError("--label and --no-labels cannot both be meant")
    body: dict[str, Any] = {"name": name, "environment": environment}
    body = {key: value for key, value in body.items() if value is not None}
    if labels or no_labels:
        body["labels"] = _labels(labels)
    if not body:
        raise ArgumentError("nothing is to be changed: give --name, --environment or --label")
    client = connection.client()
    path = client.in_org("clusters", find_one(client, CLUSTER, cluster).id)
    answer.show(client.change("PATCH", path, body), name="id")


@clusters.command(
    short_help="Delete a cluster.",
    epilog="Example: radar-audit clusters delete staging",
)
@click.argument("cluster")
@yes_option
@connection_options
def delete(*, cluster: str, yes: bool, connection: Connection) -> None:
    """Delete CLUSTER (its name or cl_… id): its token works no more. Its events stay."""
    client = connection.client()
    found = find_one(client, CLUSTER, cluster)
    confirm(f"This deletes the cluster {found.name} ({found.id})", found.name, yes=yes)
    client.change("DELETE", client.in_org("clusters", found.id), None)
    click.echo(f"cluster {found.name} deleted", err=True)


@clusters.command(
    "rotate-token",
    short_help="Replace a cluster's token.",
    epilog="Example: radar-audit clusters rotate-token prod --token-file prod.token --force",
)
@click.argument("cluster")
@yes_option
@token_options
def rotate_token(
    *,
    cluster: str,
    yes: bool,
    answer: TokenAnswer,
    connection: Connection,
) -> None:
    """Make a new token for CLUSTER; the old one is refused from that moment on."""
    client = connection.client()
    with answer.kept() as show_made:
        found = find_one(client, CLUSTER, cluster)
        confirm(
            f"The collector of {found.name} is refused until it has the new token",
            found.name,
            yes=yes,
        )
        path = client.in_org("clusters", found.id, "rotate-token")
        show_made(client.change("POST", path, None), name="cluster_id")


@clusters.command(
    "upgrade-agent",
    short_help="Ask a cluster's agent to upgrade itself.",
    epilog="Example: radar-audit clusters upgrade-agent prod --version 0.2.0",
)
@click.argument("cluster")
@click.option("--version", required=True, help="The version to upgrade to.")
@answer_options
def upgrade_agent(*, cluster: str, version: str, answer: Answer, connection: Connection) -> None:
    """Ask for an upgrade of CLUSTER's agent; it hears of it with its next heartbeat."""
    client = connection.client()
    path = client.in_org("clusters", find_one(client, CLUSTER, cluster).id, "upgrade-agent")
    answer.show(client.change("POST", path, {"version": version}), name="version")
