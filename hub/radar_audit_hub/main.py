"""The program `radar-audit-hub`: its commands, options and exit codes.

Owns the command line; what a command does is in `app.py` (serve), `bootstrap.py` (init, member),
`signin/new_link.py` and `retention/job.py` (purge). Called by the console script. Never shows
the database's URL.

Exit codes: 0 done, 1 it could not be done, 2 wrong usage or settings.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import secrets
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import click
from radar_audit_events.actions import ROLES
from radar_audit_events.redact import redact_text
from radar_audit_runtime.logs import configure
from radar_audit_runtime.tasks import harden_process, run_until_signal

from . import console
from .app import HubServer
from .billing.by_hand import set_plan_by_hand
from .bootstrap import OrgOrder, add_member, add_pat, create_org, existing_org
from .command_line import COMPONENT, migrate, new_means, now_ms, only_org, run, settings_of, told
from .openapi import document
from .retention.job import Lease, Purger, expired_now, run_round
from .retention.policy import PLAN_DAYS
from .signin.new_link import create_link
from .store.control import list_members
from .store.database import Database
from .store.driver_logs import hide_statements
from .store.revision import head_revision, is_current, revisions
from .whole_log import write_log

T = TypeVar("T")
_logger = logging.getLogger(__name__)
_CLOSE_SECONDS = 10.0  # beside the drain: the joined writes and the database's connections
_EPILOG = """\
Settings come from variables RADAR_AUDIT_HUB_* and, if given, from a TOML file (--config); the
variables win. Without any, the log is kept in SQLite in the folder ./data.
"""
_output = click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True,
    help="How to print the result.",
)  # fmt: skip
_pat_days = click.option(
    "--pat-days", type=click.IntRange(1, 3650), help="Days that the token is valid [default: ever]."
)
_org_id = click.option("--org-id", help="The organization's id [default: the only one there is].")


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, epilog=_EPILOG)
@click.option("--config", type=click.Path(path_type=Path), help="A TOML file with settings.")
@click.version_option(version("radar-audit-hub"), prog_name="radar-audit-hub")
@click.pass_context
def main(context: click.Context, config: Path | None) -> None:
    """Radar Audit's server: keeps the audit log and answers for it."""
    context.obj = config


@main.command()
@click.option("--no-migrate", is_flag=True, help="Leave the schema as it is; refuse an old one.")
@click.pass_obj
def serve(config: Path | None, /, *, no_migrate: bool) -> None:
    """Run the server until SIGTERM."""
    settings = settings_of(config)
    configure(COMPONENT, settings.log_level, sys.stderr, redact_text)
    hide_statements()
    harden_process()
    # What is loaded by now lives as long as the process, and batches make many objects that die
    # together: looking through all of them as often as Python does costs a tenth of ingest.
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    if no_migrate:
        settings = replace(settings, migrate=False)
    server = HubServer(settings, now_ms=now_ms, random_bytes=secrets.token_bytes)
    failed: list[Exception] = []

    async def run() -> None:
        try:
            await server.start()
        except Exception as error:  # told as a sentence below, where it is one of the known kinds
            failed.append(error)
            return
        await asyncio.Event().wait()

    code = run_until_signal(run, server.stop, settings.drain_seconds + _CLOSE_SECONDS)
    for error in failed:
        raise told(error) from None
    sys.exit(code)


@main.command("migrate")
@click.option("--check", is_flag=True, help="Change nothing; exit 1 if the schema is not current.")
@click.option(
    "--down-to",
    metavar="REVISION",
    help="Go back to an older schema, and lose what it has no place for (`base`: everything).",
)
@click.option("--yes", is_flag=True, help="Do not ask before --down-to.")
@click.pass_obj
def migrate_command(config: Path | None, /, *, check: bool, down_to: str | None, yes: bool) -> None:
    """Bring the database's schema up to date."""
    if check and down_to:
        raise click.UsageError("--check and --down-to exclude each other")
    if down_to and down_to not in revisions():
        raise click.BadParameter(f"{down_to!r} is none of {', '.join(revisions())}")
    if down_to and not yes:
        click.confirm(f"What revision {down_to} has no place for is deleted. Go on?", abort=True)

    async def work(db: Database) -> None:
        if check:
            if not await is_current(db):
                raise console.CommandError(
                    f"the schema is not at revision {head_revision()}",
                    "run `radar-audit-hub migrate`",
                )
        elif down_to:
            await migrate(db, down_to, down=True)
        else:
            await migrate(db)

    run(config, work, current=False)
    click.echo(f"The schema is at revision {down_to or head_revision()}.")


@main.command()
@click.option("--org-id", help="Id to give to the organization (org_…) [default: a new one].")
@click.option("--org-name", default="My organization", show_default=True, help="Its name.")
@click.option(
    "--plan", type=click.Choice(list(PLAN_DAYS)), default="enterprise", show_default=True,
    help="How long it keeps events: " + ", ".join(f"{k} {v} days" for k, v in PLAN_DAYS.items()),
)  # fmt: skip
@click.option("--email", default="owner@localhost", show_default=True, help="The owner's e-mail.")
@click.option("--pat-name", default="init", show_default=True, help="Name of the owner's token.")
@_pat_days
@click.option("--cluster-id", help="Id to give to the cluster (cl_…) [default: a new one].")
@click.option("--cluster-name", default="default", show_default=True, help="The cluster's name.")
@click.option("--environment", default="production", show_default=True, help="Its environment.")
@click.option("--if-missing", is_flag=True, help="If the organization exists, leave it and exit 0.")
@_output
@click.pass_obj
def init(config: Path | None, /, *, if_missing: bool, output: str, **order: Any) -> None:
    """Create an organization.

    With it come its owner, an access token, a cluster and the cluster's token. The tokens are
    printed once. Without --org-id this is for the first organization only.
    """
    wanted = OrgOrder(owner_email=order.pop("email"), **order)

    async def work(db: Database) -> None:
        await migrate(db)
        existing = await existing_org(db, wanted.org_id)
        if existing is not None and if_missing:
            console.show_existing_org(existing, output)
            return
        if existing is not None:
            raise console.CommandError(
                f"the organization {existing.id} exists already; nothing was changed",
                "give --org-id org_… for another one, or --if-missing where this is no error; "
                "people join by `radar-audit-hub member add`",
            )
        console.show_new_org(await create_org(db, wanted, new_means()), output)

    run(config, work, current=False)


@main.group()
def member() -> None:
    """Add and list the people of an organization."""


@member.command("add")
@click.option("--email", required=True, help="The person's e-mail.")
@click.option("--role", type=click.Choice(ROLES), required=True, help="What they may do.")
@_org_id
@click.option("--pat", "pat_name", metavar="NAME", help="Also make an access token of this name.")
@_pat_days
@_output
@click.pass_obj
def member_add(config: Path | None, /, *, org_id: str | None, output: str, **facts: Any) -> None:
    """Make a person a member; with --pat the token is printed once."""

    async def work(db: Database) -> None:
        chosen = org_id or await only_org(db)
        new = await add_member(db, org_id=chosen, means=new_means(), **facts)
        console.show_new_member(new, output)

    run(config, work)


@member.command("list")
@_org_id
@_output
@click.pass_obj
def member_list(config: Path | None, /, *, org_id: str | None, output: str) -> None:
    """List the members with their roles."""

    async def work(db: Database) -> None:
        chosen = org_id or await only_org(db)
        if await existing_org(db, chosen) is None:
            raise console.CommandError(f"there is no organization {chosen}")
        async with db.read() as connection:
            console.show_members(await list_members(connection, chosen), output)

    run(config, work)


@main.group()
def pat() -> None:
    """Make personal access tokens."""


@pat.command("create")
@click.option("--email", required=True, help="The e-mail of a member.")
@click.option("--name", default="command", show_default=True, help="The token's name.")
@_org_id
@_pat_days
@_output
@click.pass_obj
def pat_create(
    config: Path | None, /, *, org_id: str | None, output: str, email: str, name: str,
    pat_days: int | None,
) -> None:  # fmt: skip
    """Make a member an access token, which is printed once.

    Whoever has the token may do what that person may.
    """

    async def work(db: Database) -> None:
        chosen = org_id or await only_org(db)
        new = await add_pat(
            db, org_id=chosen, email=email, name=name, days=pat_days, means=new_means()
        )
        console.show_new_pat(new, output)

    run(config, work)


@main.command("signin-link")
@click.option("--email", required=True, help="The e-mail of who is to sign in.")
@_output
@click.pass_obj
def signin_link(config: Path | None, /, *, email: str, output: str) -> None:
    """Print a link that signs a person in with a browser: once, within 10 minutes.

    Whoever has the link is that person.
    """
    public_url = settings_of(config).public_url

    async def work(db: Database) -> None:
        console.show_link(await create_link(db, email, public_url, new_means()), output)

    run(config, work)


@main.command()
@_org_id
@click.option(
    "--plan", "name", type=click.Choice(list(PLAN_DAYS)), required=True, help="The new plan."
)
@_output
@click.pass_obj
def plan(config: Path | None, /, *, org_id: str | None, name: str, output: str) -> None:
    """Set an organization's plan, where it is not sold through Stripe.

    After a downgrade the events that are not shown any more are deleted once the days of
    RADAR_AUDIT_HUB_DOWNGRADE_GRACE_DAYS are over.
    """
    grace_days = settings_of(config).downgrade_grace_days

    async def work(db: Database) -> None:
        means = new_means()
        changed = await set_plan_by_hand(
            db,
            org_id or await only_org(db),
            name,
            grace_days=grace_days,
            now_ms=means.now_ms,
            random_bytes=means.random_bytes,
        )
        console.show_plan(changed, output)

    run(config, work)


@main.command()
@click.option("--dry-run", is_flag=True, help="Only count what would be deleted.")
@_output
@click.pass_obj
def purge(config: Path | None, /, *, dry_run: bool, output: str) -> None:
    """Delete expired events now.

    The running server does so every few minutes.
    """
    settings = settings_of(config)

    async def work(db: Database) -> None:
        if dry_run:
            console.show_purge(await expired_now(db, now_ms()), output, dry_run=True)
            return
        purger = Purger(
            db=db,
            now_ms=now_ms,
            random_bytes=secrets.token_bytes,
            batch_rows=settings.purge_batch_rows,
            pause_seconds=settings.purge_pause_seconds,
            removed=lambda _org_id, _rows: None,
        )
        report = await run_round(purger, Lease(db, now_ms, secrets.token_hex(8)))
        if report is None:
            raise console.CommandError(
                "a running server is deleting expired events right now", "try again in two minutes"
            )
        console.show_purge(report, output, dry_run=False)

    run(config, work)


@main.command()
@click.option("--org-id", required=True, help="The organization's id; it may be deleted.")
@click.option(
    "--format", "form", type=click.Choice(["ndjson", "csv"]), default="ndjson", show_default=True,
    help="One JSON event a line, or a table.",
)  # fmt: skip
@click.pass_obj
def log(config: Path | None, /, *, org_id: str, form: str) -> None:
    """Print an organization's log, newest first.

    This is the way to the log of a deleted organization, which the API no longer has. It is
    there until the retention of the plan that the organization was on is over.
    """

    async def work(db: Database) -> None:
        await write_log(db, org_id, form, now_ms(), sys.stdout.buffer)

    run(config, work)


@main.command()
def openapi() -> None:
    """Print the OpenAPI 3.1 document of the API."""
    click.echo(document().decode(), nl=False)
