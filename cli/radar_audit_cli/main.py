"""The program `radar-audit`: its commands, and what an error becomes.

Owns the list of commands, the one place that prints errors and the exit code.
Called by the console script. Loads nothing but click until a command runs.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from .errors import CliError, ExitCode
from .lazy import LazyGroup
from .streams import prepare_streams, quiet_stdout
from .text import visible

_COMMANDS = "radar_audit_cli.commands"
_TABLE = {
    "query": (f"{_COMMANDS}.query:query", "Find events."),
    "tail": (f"{_COMMANDS}.tail:tail", "Show the last events and follow new ones."),
    "export": (f"{_COMMANDS}.export:export", "Write all matching events to a file."),
    "show": (f"{_COMMANDS}.show:show", "Show one event in full."),
    "facets": (f"{_COMMANDS}.facets:facets", "Count actions, actors and target types."),
    "orgs": (f"{_COMMANDS}.orgs:orgs", "Make, change and delete organizations."),
    "members": (f"{_COMMANDS}.members:members", "List members, change roles, remove."),
    "invitations": (
        f"{_COMMANDS}.invitations:invitations",
        "Invite people, and accept an invitation.",
    ),
    "clusters": (f"{_COMMANDS}.clusters:clusters", "Connect and manage clusters."),
    "pats": (f"{_COMMANDS}.pats:pats", "Make and revoke personal access tokens."),
    "destinations": (
        f"{_COMMANDS}.destinations:destinations",
        "Say where alerts go, and see what arrived.",
    ),
    "inbox": (f"{_COMMANDS}.inbox:inbox", "See the notices that are meant for you."),
    "billing": (f"{_COMMANDS}.billing:billing", "Show and change the plan."),
    "sso": (f"{_COMMANDS}.sso:sso", "Set up single sign-on."),
    "audit": (f"{_COMMANDS}.audit:audit", "Record events of another control plane."),
    "doctor": (f"{_COMMANDS}.doctor:doctor", "Check the way from Radar's pod to the log."),
    "whoami": (f"{_COMMANDS}.whoami:whoami", "Show whose token this is."),
    "context": (f"{_COMMANDS}.context:context", "Name hubs and choose among them."),
    "completion": (f"{_COMMANDS}.completion:completion", "Print a shell's completion script."),
}


@click.group(
    "radar-audit",
    cls=LazyGroup,
    table=_TABLE,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 ok, 1 error, 2 usage or cancelled, 3 verification failed, "
    "4 needs login, 5 nothing matched (with --exit-code), 8 partial export.",
)
@click.version_option(package_name="radar-audit-cli", prog_name="radar-audit")
def cli() -> None:
    """Read the audit log of Radar from a hub, and administer what it tells of.

    Name a hub once with `radar-audit context add`, or set RADAR_AUDIT_URL and
    RADAR_AUDIT_TOKEN.
    """


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; errors are printed, never raised."""
    try:
        result = cli.main(list(arguments), prog_name="radar-audit", standalone_mode=False)
    except CliError as exc:
        _print_error(exc)
        return exc.exit_code
    except click.ClickException as exc:
        exc.show()
        return exc.exit_code
    except click.Abort:
        return ExitCode.USAGE_OR_CANCELLED
    except OSError as exc:
        # Commands name the file or hub that failed; what is left is the writing of results.
        # (A reader that went away is no error to tell: click ends quietly with 1.)
        quiet_stdout()
        _print_error(CliError(f"the result cannot be written: {exc.strerror}"))
        return ExitCode.ERROR
    return result if isinstance(result, int) else ExitCode.OK


def _print_error(error: CliError) -> None:
    request = f" (request {error.request_id})" if error.request_id else ""
    lines = [f"radar-audit: {visible(error.message + request)}"]
    if error.excerpt:
        lines += [f"  {line}" for line in error.excerpt.split("\n")]
    if error.hint:
        lines.append(f"hint: {visible(error.hint)}")
    click.echo("\n".join(lines), err=True)


def main() -> None:
    """Run the program's own command line and exit."""
    prepare_streams()
    sys.exit(run(sys.argv[1:]))
