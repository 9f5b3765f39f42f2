"""The program `radar-audit-collector`: its commands, its options and its exit codes.

Owns argument parsing and what people see on a terminal. Called by the console
script. Never shows a token, argv or a query string.

Exit codes: 0 done, 1 an error, 2 wrong usage or settings, 5 `check` found nothing
that would be recorded.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from radar_audit_events.redact import redact_text
from radar_audit_runtime.logs import configure
from radar_audit_runtime.settings import SettingsError, load
from radar_audit_runtime.tasks import harden_process, run_until_signal

from .app import App
from .capture.gateway.config import RelayConfig
from .errors import CollectorError
from .hub_client import HubToken
from .inspect_commands import check, show_dead_letters, show_spool
from .radar_values.options import add_radar_values
from .settings import PREFIX, CollectorSettings, load_settings

PROGRAM = "radar-audit-collector"
OK, ERROR, USAGE = 0, 1, 2
_CLOSE_SECONDS = 10.0  # beside the drain: what closing sockets and files may take

_logger = logging.getLogger(__name__)
_EPILOG = f"""\
Settings come from variables {PREFIX}* and, if given, from a TOML file
(--config); the variables win. `run` needs these two, and a source:
  {PREFIX}HUB_URL   https://audit.example.com
  {PREFIX}TOKEN     the cluster token (or {PREFIX}TOKEN_FILE)
  {PREFIX}LOGFILE_PATH, or {PREFIX}WEBHOOK_ENABLED, or the gateway

Examples:
  {PROGRAM} run
  grep exec audit.log | {PROGRAM} check
  {PROGRAM} spool dead-letters -o json
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program with `arguments` (null: the process's own) and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.command(options))
    except SettingsError as exc:
        for problem in exc.problems:
            _tell(problem)
        return USAGE
    except BrokenPipeError:
        # The reader (`head`, say) went away; Python would complain once more at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ERROR
    except CollectorError as exc:
        _tell(str(exc))
        return ERROR
    except OSError as exc:
        what = "" if exc.filename is None else f"{exc.filename}: "
        _tell(f"{what}{exc.strerror or exc}")
        return ERROR


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Notices pod terminals opened through Radar and ships them to the hub.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {_version()}")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings in TOML")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    run = commands.add_parser("run", help="capture, keep and ship until SIGTERM")
    run.set_defaults(command=_run)

    gateway = commands.add_parser(
        "gateway",
        help="the same as `run`, with the gateway as its one source",
        description="Relays Radar's traffic to the API server on a loopback port, and captures, "
        "keeps and ships until SIGTERM. Runs as a sidecar in Radar's pod.",
    )
    gateway.set_defaults(command=_gateway)

    checking = commands.add_parser(
        "check",
        help="say why audit lines are or are not recorded",
        description="Reads lines of an audit log and says for each why it is or is not recorded. "
        "Exit code 0: at least one is recorded; 5: none is.",
    )
    checking.add_argument("file", nargs="?", default="-", help="a file, or - for standard input")
    checking.add_argument("-o", "--output", choices=("text", "json"), default="text")
    checking.set_defaults(command=_check)

    spool = commands.add_parser("spool", help="look into the spool")
    looks = spool.add_subparsers(title="commands", metavar="COMMAND", required=True)
    show = looks.add_parser("show", help="how much waits for the hub, and what was lost")
    show.add_argument("-o", "--output", choices=("text", "json"), default="text")
    show.set_defaults(command=_spool_show)
    letters = looks.add_parser("dead-letters", help="events that the hub refused, and why")
    letters.add_argument("-o", "--output", choices=("text", "json"), default="text")
    letters.add_argument("--limit", type=int, default=100, help="newest ones shown (default 100)")
    letters.set_defaults(command=_spool_dead_letters)
    add_radar_values(commands, _version())
    return parser


def _run(options: argparse.Namespace) -> int:
    return _live(load_settings(os.environ, options.config))


def _gateway(options: argparse.Namespace) -> int:
    return _live(load_settings(os.environ, options.config).with_gateway_only())


def _live(settings: CollectorSettings) -> int:
    relay_config = _relay_config(settings)
    harden_process()
    configure("collector", settings.log_level, sys.stderr, redact_text)
    if not settings.sources:
        _logger.warning("no source is switched on", extra={"set": f"{PREFIX}LOGFILE_PATH"})
    if settings.is_hub_in_clear:
        _logger.warning(
            "token and events go to the hub over plain http, so others can read them",
            extra={"set": f"{PREFIX}HUB_URL", "to": "an address that begins with https://"},
        )
    token_file = os.environ.get(f"{PREFIX}TOKEN_FILE")
    token = HubToken(settings.token, Path(token_file) if token_file else None)
    app = App(settings, token, _version(), relay_config)
    failures: list[CollectorError] = []

    async def live() -> None:
        try:
            await app.run()
        except CollectorError as exc:
            _logger.critical("the collector ends", extra={"cause": str(exc)})
            failures.append(exc)

    drain_seconds = settings.drain_seconds + _CLOSE_SECONDS
    if relay_config is not None:
        drain_seconds += settings.gateway.drain_seconds + _CLOSE_SECONDS
    code = run_until_signal(live, app.drain, drain_seconds)
    return ERROR if failures else code


def _relay_config(settings: CollectorSettings) -> RelayConfig | None:
    """Return what the relay is told, null without a gateway. Raises SettingsError."""
    if not settings.gateway.enabled:
        return None
    try:
        return settings.gateway.relay_config(os.environ)
    except ValueError as exc:
        raise SettingsError([str(exc)]) from None


def _check(options: argparse.Namespace) -> int:
    settings = _settings_without_hub(os.environ, options.config)
    return check(options.file, options.output, settings.classify_rules(None))


def _spool_show(options: argparse.Namespace) -> int:
    settings = _settings_without_hub(os.environ, options.config)
    show_spool(settings.spool_dir, options.output)
    return OK


def _spool_dead_letters(options: argparse.Namespace) -> int:
    settings = _settings_without_hub(os.environ, options.config)
    show_dead_letters(settings.spool_dir, options.output, max(1, options.limit))
    return OK


def _settings_without_hub(environ: Mapping[str, str], file: Path | None) -> CollectorSettings:
    """Load the settings for a command that talks to no hub, so that it needs no token."""
    given = {k: v for k, v in environ.items() if not k.startswith(f"{PREFIX}TOKEN")}
    unused = {f"{PREFIX}HUB_URL": "https://unused.invalid", f"{PREFIX}TOKEN": "unused"}
    return load(CollectorSettings, PREFIX, {**given, **unused}, file)


def _version() -> str:
    return version("radar-audit-collector")


def _tell(sentence: str) -> None:
    print(f"{PROGRAM}: {sentence}", file=sys.stderr)  # noqa: T201 - this is for a person
