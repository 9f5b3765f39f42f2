"""`radar-audit doctor`: whether terminals are recorded, and reach the hub.

Owns the command's options and the form of what it prints.
"""

from __future__ import annotations

from importlib.metadata import version

import click

from radar_audit_cli.connection import Connection, connection_options
from radar_audit_cli.doctor.examine import Place, examine
from radar_audit_cli.doctor.findings import Finding
from radar_audit_cli.doctor.kubectl import Kubectl
from radar_audit_cli.errors import ExitCode
from radar_audit_cli.output.views import Column, Item, View, key_column
from radar_audit_cli.output.writers import Report, output_option

_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red", "unknown": "cyan"}
_EPILOG = (
    "Exit codes: 0 nothing failed, 1 at least one check did. Needs kubectl on the PATH. "
    "Example: radar-audit doctor --kube-context prod"
)


def _style(row: Item) -> str:
    return _STYLES[str(row["state"])]


_VIEW = View(
    (
        Column("STATE", lambda row: row.get("state"), least_cells=7, style=_style),
        key_column("check", least_cells=16),
        Column("MESSAGE", lambda row: row.get("message"), least_cells=30, weight=4),
    ),
    name=lambda row: row["check"],
)


@click.command(short_help="Check the way from Radar's pod to the log.", epilog=_EPILOG)
@click.option("--kube-context", metavar="NAME", help="kubectl's context (--context names a hub).")
@click.option("--kubeconfig", metavar="FILE", help="kubectl's configuration.")
@click.option(
    "--radar-namespace", default="radar", show_default=True, help="Where Radar's pods are."
)
@click.option(
    "--radar-selector",
    default="app.kubernetes.io/name=radar",
    show_default=True,
    help="Label selector of Radar's pods, Deployment and ClusterRoles.",
)
@click.option(
    "--namespace", "-n", default="radar-audit", show_default=True, help="Where Radar Audit is."
)
@click.option("--cluster", metavar="NAME", help="This cluster's name or id at the hub.")
@click.option(
    "--timeout",
    "timeout_seconds",
    metavar="SECONDS",
    type=click.FloatRange(0.1, 300),
    default=10.0,
    show_default=True,
    help="How long one call of kubectl may take.",
)
@click.option(
    "--wait",
    "wait_seconds",
    metavar="SECONDS",
    type=click.FloatRange(0, 300),
    default=10.0,
    show_default=True,
    help="How long a gateway that has just started may need for its first call and heartbeat.",
)
@output_option
@connection_options
@click.pass_context
def doctor(
    click_context: click.Context,
    *,
    kube_context: str | None,
    kubeconfig: str | None,
    radar_namespace: str,
    radar_selector: str,
    namespace: str,
    cluster: str | None,
    timeout_seconds: float,
    wait_seconds: float,
    form: str,
    connection: Connection,
) -> None:
    """Check that Radar's terminals are recorded and reach the hub.

    Looks at the cluster through kubectl, with your own rights, and at the hub as the other
    commands do. A check that may not look says which right is lacking, and is no failure.
    """
    kubectl = Kubectl(kube_context, kubeconfig, timeout_seconds)
    place = Place(radar_namespace, radar_selector, namespace)
    own = version("radar-audit-cli")
    found = list(examine(kubectl, place, connection, cluster, own, wait_seconds=wait_seconds))
    rows = [_row(finding) for finding in found]
    is_well = all(finding.state != "fail" for finding in found)
    Report({"ok": is_well, "checks": rows}, rows, _VIEW).write(form)
    if not is_well:
        click_context.exit(ExitCode.ERROR)


def _row(finding: Finding) -> Item:
    return {"state": finding.state, "check": finding.check, "message": finding.message}
