"""The program `radar-audit-operator`: its commands, its options and its exit codes.

Owns argument parsing and what people see on a terminal. Called by the console script. Never shows
a token or a Secret. Exit codes: 0 done, 1 an error or a failed check, 2 wrong usage or settings.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from radar_audit_events.redact import redact_text
from radar_audit_runtime.logs import configure
from radar_audit_runtime.settings import SettingsError
from radar_audit_runtime.tasks import harden_process, run_until_signal

from .app import App, own_namespace
from .check import Finding, findings
from .cluster import Cluster
from .errors import ClusterUnreachableError, OperatorError
from .handlers.watching import QuietKopf
from .settings import PREFIX, OperatorSettings, load_settings

PROGRAM = "radar-audit-operator"
OK, ERROR, USAGE = 0, 1, 2
_DRAIN_SECONDS = 15.0
_logger = logging.getLogger(__name__)
_EPILOG = f"""\
Settings come from variables {PREFIX}* and, if given, from a TOML file (--config); the variables
win. In a pod none is needed. Outside of one: KUBECONFIG and {PREFIX}NAMESPACE.

Examples:
  {PROGRAM} run
  {PROGRAM} check
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program with `arguments` (null: the process's own) and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        settings = load_settings(os.environ, options.config)
        return int(options.command(settings))
    except SettingsError as error:
        for problem in error.problems:
            _tell(problem)
        return USAGE
    except OperatorError as error:
        _tell(str(error))
        return ERROR


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Turns AuditHub and AuditPolicy objects into settings of the hub.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {_version()}")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings in TOML")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    run = commands.add_parser("run", help="reconcile until SIGTERM")
    run.set_defaults(command=_run)
    checking = commands.add_parser(
        "check",
        help="say whether the operator could work here",
        description="Looks for the kinds, the rights and the hubs. Writes nothing.",
    )
    checking.set_defaults(command=_check)
    return parser


def _run(settings: OperatorSettings) -> int:
    app = App(settings, _version(), os.environ.get("KUBECONFIG") or None)
    harden_process()
    configure("operator", settings.log_level, sys.stderr, redact_text)
    _quiet_libraries()
    failures: list[OperatorError] = []

    async def live() -> None:
        try:
            await app.run()
        except OperatorError as error:
            _logger.critical("the operator ends", extra={"cause": str(error)})
            failures.append(error)

    code = run_until_signal(live, app.drain, _DRAIN_SECONDS)
    return ERROR if failures else code


def _check(settings: OperatorSettings) -> int:
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr)
    return asyncio.run(_report(settings))


async def _report(settings: OperatorSettings) -> int:
    agent = f"{PROGRAM}/{_version()}"
    cluster = Cluster(agent, _ignore, os.environ.get("KUBECONFIG") or None)
    await cluster.open()
    bad = 0
    try:
        async for found in findings(cluster, settings, own_namespace(settings), agent):
            print(_line(found))  # noqa: T201 - this is for a person
            bad += bool(found.wrong) and not found.is_hint
    except ClusterUnreachableError as error:
        _tell(str(error))
        return ERROR
    finally:
        await cluster.close()
    return ERROR if bad else OK


def _line(found: Finding) -> str:
    mark = "ok" if not found.wrong else "hint" if found.is_hint else "wrong"
    return f"{mark:5}  {found.what}" + (f": {found.wrong}" if found.wrong else "")


def _quiet_libraries() -> None:
    """Keep Kopf to warnings, and its objects' bodies (DEBUG) out of the log at any level."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(_OnlyOurNoise())
    for name in ("kopf", "kopf.objects", "aiohttp", "kubernetes"):
        logging.getLogger(name).setLevel(logging.WARNING)


class _OnlyOurNoise(logging.Filter):
    """Applies the quiet rule to Kopf's records alone."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not record.name.startswith("kopf") or QuietKopf().filter(record)


def _ignore(verb: str, resource: str) -> None:
    """Count nothing: a check has no metrics."""


def _version() -> str:
    return version(PROGRAM)


def _tell(sentence: str) -> None:
    print(f"{PROGRAM}: {sentence}", file=sys.stderr)  # noqa: T201 - this is for a person
