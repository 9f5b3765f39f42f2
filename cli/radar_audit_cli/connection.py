"""Which hub a command talks to, and as whom.

Owns the options that every talking command shares, and the order in which a
value is looked for: option, then environment, then context; a context that is
named by `--context` comes before the environment. Called by the commands.
Never sends a context's token to another address than the context's own.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import IO, TYPE_CHECKING, Any

import click
from radar_audit_events.ids import is_opaque_id

from .addresses import checked_token, checked_url
from .completing import complete_context
from .contexts import Context, config_path, read_contexts
from .errors import ArgumentError, LoginError
from .lazy import load

if TYPE_CHECKING:
    from .hub_client import HubClient

# Loaded when a command connects: help and completion need no HTTP library.
_OPEN_CLIENT = "radar_audit_cli.hub_client:open_client"
_MAX_STDIN_BYTES = 4096  # a token is far shorter; nothing longer is read


@dataclass(frozen=True, slots=True)
class Connection:
    """What a command was told about the hub; `resolve` makes an address and a token of it."""

    context: str | None = None
    url: str | None = None
    org: str | None = None
    token_stdin: bool = False
    ca_file: str | None = None
    insecure_http: bool = False
    verbose: bool = False

    def client(self) -> HubClient:
        """Return a client of the hub. Raises ArgumentError or LoginError; sends nothing yet."""
        target = resolve(self, os.environ, read_token_from_stdin)
        client: HubClient = load(_OPEN_CLIENT)(
            target.url,
            target.token,
            org=target.org,
            ca_file=target.ca_file,
            log=_log if self.verbose else None,
        )
        return client

    def require_stdin_free(self, file: IO[bytes]) -> None:
        """Raise ArgumentError if both the token and `file` are to come from standard input."""
        if self.token_stdin and file is sys.stdin.buffer:
            raise ArgumentError(
                "the token and the file cannot both come from standard input",
                hint="name a file, or give the token by RADAR_AUDIT_TOKEN or a context",
            )


@dataclass(frozen=True, slots=True)
class Target:
    """A hub's address, the token for it, and the org if one was named."""

    url: str
    token: str = field(repr=False)
    org: str | None
    ca_file: str | None


def _log(line: str) -> None:
    click.echo(line, err=True)


def read_token_from_stdin() -> str:
    """Read the first line of standard input as a token. Raises LoginError."""
    line = sys.stdin.buffer.readline(_MAX_STDIN_BYTES).decode("utf-8", "replace")
    return checked_token(line, "standard input")


@dataclass(frozen=True, slots=True)
class _Layer:
    """Values from one place: options, environment or context; None where it says nothing."""

    place: str
    url: str | None = None
    org: str | None = None
    token: str | None = field(default=None, repr=False)
    ca_file: str | None = None


def resolve(
    asked: Connection, environment: Mapping[str, str], read_token: Callable[[], str]
) -> Target:
    """Return where to connect. Raises ArgumentError, LoginError, or CliError of the context file.

    `read_token` is called only where `--token-stdin` is given. The context file
    is read only if the options and the environment leave something open.
    """
    options = _Layer("an option", asked.url, asked.org, None, asked.ca_file)
    values = {name: environment.get(f"RADAR_AUDIT_{name.upper()}") or None for name in _VARIABLES}
    variables = _Layer("RADAR_AUDIT_TOKEN", **values)
    name = asked.context or environment.get("RADAR_AUDIT_CONTEXT")
    is_complete = (asked.url or variables.url) and (asked.token_stdin or variables.token)
    context = None if is_complete and not name else _context(environment, name)
    own = _Layer("the context")
    if context is not None:
        own = _Layer("the context", context.url, context.org, context.token, context.ca_file)
    # Who names a context on the command line means it: variables only fill what it leaves open.
    layers = [options, own, variables] if asked.context else [options, variables, own]
    url_text = next((layer.url for layer in layers if layer.url), None)
    if url_text is None:
        raise ArgumentError(
            "no hub is named",
            hint="radar-audit context add NAME --url URL, or set RADAR_AUDIT_URL, or use --url",
        )
    is_own = context is not None and url_text.strip().rstrip("/") == context.url
    is_allowed = asked.insecure_http or (is_own and context is not None and context.insecure_http)
    url = checked_url(url_text, insecure_http=is_allowed)
    if not is_own:
        layers.remove(own)  # a context's token, org and CA belong to its own address
    token = read_token() if asked.token_stdin else _token(layers, url, is_withheld=not is_own)
    org = next((layer.org for layer in layers if layer.org), None)
    if org is not None and not is_opaque_id("org", org):
        raise ArgumentError(f"{org!r} is no organization's id: one begins with org_")
    return Target(url, token, org, next((layer.ca_file for layer in layers if layer.ca_file), None))


_VARIABLES = ("url", "org", "token", "ca_file")


def _context(environment: Mapping[str, str], name: str | None) -> Context | None:
    contexts = read_contexts(config_path(environment))
    if name:
        return contexts.get(name)
    return contexts.named.get(contexts.current) if contexts.current else None


def _token(layers: list[_Layer], url: str, *, is_withheld: bool) -> str:
    for layer in layers:
        if layer.token:
            return checked_token(layer.token, layer.place)
    because = " (a context's token is sent to its own address only)" if is_withheld else ""
    raise LoginError(
        f"there is no token for {url}{because}",
        hint="radar-audit context add NAME --url URL --token-stdin, or set RADAR_AUDIT_TOKEN",
    )


_Command = Callable[..., Any]


def connection_options(command: _Command) -> _Command:
    """Add the options of Connection to a command, which gets them as `connection`."""

    @wraps(command)
    def gathered(*args: Any, **values: Any) -> Any:
        connection = Connection(**{key: values.pop(key) for key in _KEYS})
        return command(*args, connection=connection, **values)

    return _with(gathered, reversed(_OPTIONS))


def _with(command: _Command, options: Iterable[Callable[[_Command], _Command]]) -> _Command:
    for option in options:
        command = option(command)
    return command


_KEYS = ("context", "url", "org", "token_stdin", "ca_file", "insecure_http", "verbose")
_OPTIONS = (
    click.option("--context", help="Named hub to use.", shell_complete=complete_context),
    click.option("--url", metavar="URL", help="The hub's address."),
    click.option("--org", metavar="ID", help="Organization (default: the token's own)."),
    click.option("--token-stdin", is_flag=True, help="Read the token from standard input."),
    click.option("--ca-file", metavar="PEM", help="Certificates to trust for the hub."),
    click.option("--insecure-http", is_flag=True, help="Allow http:// to another machine."),
    click.option("-v", "--verbose", is_flag=True, help="Log each request to standard error."),
)
