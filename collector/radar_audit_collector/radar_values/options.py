"""The options of `radar-values`, and the command's import when it runs.

Owns the command's arguments. Called by the program's `main` for its parser; loads
nothing but argparse and the defaults, so that a sidecar's start never pays for YAML.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Iterable

from . import defaults

# Written out here, too, so that the parser loads no module of the command.
_COMMAND = "radar_audit_collector.radar_values.command"
_DESCRIPTION = """\
Prints the values that put the gateway into the pod of Radar's own chart. With --merge they
are put into the values that this Radar has now, so that nothing of them is lost:

  helm get values radar -n radar -o yaml > before.yaml
  radar-audit-collector radar-values --merge before.yaml > radar-values.yaml
  diff before.yaml radar-values.yaml
  helm upgrade radar CHART --version INSTALLED -n radar -f radar-values.yaml --wait

Entries are told apart by name; order and foreign keys are kept, and merging twice changes
nothing. Comments in FILE are not kept: YAML has no place for them once it is read.
"""


def add_radar_values(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], release: str
) -> None:
    """Add the command to the program's `commands`; `release` is the tag of the default image."""
    parser = commands.add_parser(
        "radar-values",
        help="print the values of Radar's chart that bring the gateway",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--merge", metavar="FILE", help="values that Radar has now (-: standard input)"
    )
    parser.add_argument(
        "--replace", action="store_true", help="put ours in the place of an older one in FILE"
    )
    parser.add_argument(
        "--remove", action="store_true", help="take our entries out of FILE again (with --merge)"
    )
    _add_wishes(parser, release)
    parser.add_argument(
        "-o",
        "--output",
        choices=("yaml",),
        default="yaml",
        help="form of the result (default yaml)",
    )
    parser.set_defaults(command=_run)


def _add_wishes(parser: argparse.ArgumentParser, release: str) -> None:
    parser.add_argument(
        "--image",
        default=f"ghcr.io/radar-audit/radar-audit-collector:{release}",
        help="image with a tag or digest (default %(default)s)",
    )
    parser.add_argument(
        "--hub-url",
        default="http://radar-audit-hub.radar-audit.svc:8080",
        help="where Radar's pod reaches the hub (default %(default)s)",
    )
    parser.add_argument(
        "--service-account",
        default=defaults.SERVICE_ACCOUNT,
        metavar="NAMESPACE/NAME",
        help="Radar's ServiceAccount (default %(default)s)",
    )
    parser.add_argument(
        "--audience",
        default=defaults.AUDIENCE,
        help="audience of the pod's own token to the hub (default %(default)s)",
    )
    parser.add_argument(
        "--token-secret",
        metavar="NAME",
        help="Secret of Radar's namespace with a cluster token (rhc_...), in place of the pod's "
        "own token; for a hub outside of this cluster",
    )
    parser.add_argument(
        "--token-secret-key",
        default=defaults.TOKEN_SECRET_KEY,
        metavar="KEY",
        help="its key (default %(default)s)",
    )
    parser.add_argument(
        "--failure-policy",
        choices=("open", "required"),
        default=defaults.FAILURE_POLICY,
        help="what becomes of a terminal that cannot be recorded (default %(default)s)",
    )
    _add_sidecar(parser)
    parser.add_argument(
        "--pod-exec",
        action="store_true",
        help="also set rbac.podExec, which lets Radar open terminals; --remove leaves it",
    )


def _add_sidecar(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--identity",
        choices=("cloud", "impersonated", "any"),
        default=defaults.IDENTITY,
        help="who counts as a person (default %(default)s)",
    )
    parser.add_argument(
        "--log-level",
        choices=("debug", "info", "warning", "error"),
        default=defaults.LOG_LEVEL,
        help="of the gateway's log (default %(default)s)",
    )
    parser.add_argument(
        "--requests",
        default=_written(defaults.REQUESTS),
        metavar="RESOURCE=QUANTITY,...",
        help="what the gateway's container asks for, or none (default %(default)s)",
    )
    parser.add_argument(
        "--limits",
        default=_written(defaults.LIMITS),
        metavar="RESOURCE=QUANTITY,...",
        help="what the gateway's container may use at most, or none (default %(default)s)",
    )


def _written(quantities: Iterable[tuple[str, str]]) -> str:
    return ",".join(f"{resource}={quantity}" for resource, quantity in quantities)


def _run(options: argparse.Namespace) -> int:
    return int(importlib.import_module(_COMMAND).run(options))
