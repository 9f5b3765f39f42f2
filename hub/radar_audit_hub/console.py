"""What the server's command shows: results as text or JSON, errors as a sentence and a hint.

Owns the wording on the terminal. Called by `main.py`. Secrets appear here once, on standard
output, in the answer to the command that made them; nowhere else.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import IO, Any

import click

from .billing.by_hand import PlanChange
from .bootstrap import NewMember, NewOrg
from .retention.job import PurgeReport
from .store.control import Member, Org

_ONCE = "The tokens are shown this once; the hub keeps only their hashes."


class CommandError(click.ClickException):
    """Ends the command with exit code 1, a sentence and perhaps a hint, on standard error."""

    def __init__(self, sentence: str, hint: str = "") -> None:
        """Keep what `show` prints."""
        super().__init__(sentence)
        self.hint = hint

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the sentence and the hint."""
        click.echo(f"error: {self.message}", err=True)
        if self.hint:
            click.echo(f"hint: {self.hint}", err=True)


class SettingsRefusedError(CommandError):
    """Ends the command with exit code 2: its settings are wrong."""

    exit_code = 2


def show_new_org(new: NewOrg, output: str) -> None:
    """Print a new org with its secrets."""
    pat = new.owner.pat
    assert pat is not None  # `create_org` always makes one
    if output == "json":
        show_json(
            {
                "created": True,
                "org": _org(new.org),
                "owner": _member(new.owner),
                "pat": {
                    "id": pat.id,
                    "name": pat.name,
                    "expires_at": pat.expires_at,
                    "token": pat.token,
                },
                "cluster": {
                    "id": new.cluster.id,
                    "name": new.cluster.name,
                    "environment": new.cluster.environment,
                    "token": new.cluster_token,
                },
            }
        )
        return
    click.echo(f"Created the organization {new.org.name} ({new.org.id}, plan {new.org.plan}).\n")
    show_table(
        (
            ("owner", f"{new.owner.email} ({new.owner.user_id})"),
            ("cluster", f"{new.cluster.name} ({new.cluster.id})"),
            ("RADAR_AUDIT_TOKEN", pat.token),
            ("RADAR_AUDIT_COLLECTOR_TOKEN", new.cluster_token),
        )
    )
    click.echo(f"\n{_ONCE}\nThe first is for the command radar-audit, the second for a collector.")


def show_existing_org(org: Org, output: str) -> None:
    """Print that nothing was done because the org is there already."""
    if output == "json":
        show_json({"created": False, "org": _org(org)})
    else:
        click.echo(f"The organization {org.name} ({org.id}) exists already; nothing was changed.")


def show_new_member(new: NewMember, output: str) -> None:
    """Print a new member, with the token's secret if there is one."""
    if output == "json":
        body: dict[str, Any] = {"member": _member(new), "org_id": new.org_id}
        if new.pat is not None:
            body["pat"] = {
                "id": new.pat.id,
                "name": new.pat.name,
                "expires_at": new.pat.expires_at,
                "token": new.pat.token,
            }
        show_json(body)
        return
    click.echo(f"{new.email} ({new.user_id}) is now {new.role} of {new.org_id}.")
    _show_token(new)


def show_new_pat(new: NewMember, output: str) -> None:
    """Print a member's new token."""
    if output == "json":
        show_new_member(new, output)
        return
    click.echo(f"Made a token for {new.email} ({new.user_id}), {new.role} of {new.org_id}.")
    _show_token(new)


def _show_token(new: NewMember) -> None:
    if new.pat is not None:
        click.echo("")
        show_table((("RADAR_AUDIT_TOKEN", new.pat.token),))
        click.echo("\nThe token is shown this once; the hub keeps only its hash.")


def show_members(members: Sequence[Member], output: str) -> None:
    """Print an org's members."""
    if output == "json":
        show_json([_member(member) for member in members])
        return
    show_table((("EMAIL", "ROLE", "USER"), *((m.email, m.role, m.user_id) for m in members)))


def show_link(url: str, output: str) -> None:
    """Print a one-time link to sign in: a secret."""
    if output == "json":
        show_json({"url": url, "minutes": 10})
        return
    click.echo(url)
    click.echo("It works once, within 10 minutes; whoever opens it is signed in.", err=True)


def show_plan(changed: PlanChange, output: str) -> None:
    """Print which plan an org is on now, and which one it was on."""
    if output == "json":
        show_json(
            {
                "org_id": changed.org_id,
                "previous_plan": changed.previous_plan,
                "plan": changed.plan,
            }
        )
    elif changed.plan == changed.previous_plan:
        click.echo(f"{changed.org_id} is on the plan {changed.plan} already.")
    else:
        click.echo(
            f"{changed.org_id} is on the plan {changed.plan} now, after {changed.previous_plan}."
        )


def show_purge(report: PurgeReport, output: str, *, dry_run: bool) -> None:
    """Print what was deleted, or would be."""
    if output == "json":
        show_json({"dry_run": dry_run, "rows": report.total, "orgs": report.rows})
        return
    verb = "would be deleted" if dry_run else "deleted"
    for org_id, rows in report.rows.items():
        click.echo(f"{org_id}: {rows} expired events {verb}")
    click.echo(f"{report.total} expired events {verb}")


def show_json(value: object) -> None:
    """Print a value as indented JSON."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def show_table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows with their columns aligned."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  " + "  ".join(cells).rstrip())


def _org(org: Org) -> dict[str, Any]:
    return {"id": org.id, "name": org.name, "plan": org.plan}


def _member(member: Member | NewMember) -> dict[str, Any]:
    return {"user_id": member.user_id, "email": member.email, "role": member.role}
