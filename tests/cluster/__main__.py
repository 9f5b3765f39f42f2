"""`python -m tests.cluster`: build, start, show, use and end the clusters that tests run against.

Owns the command line behind `make cluster-up`, `cluster-down` and `cluster-status`. Progress goes
to standard error, answers to standard output. See docs/cluster.md.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from tests.cluster import choice, machine, workload
from tests.cluster.binaries import build, is_built, programs_folder
from tests.cluster.errors import ClusterError
from tests.cluster.images import small_archives
from tests.cluster.needs import missing_packages, prepare
from tests.cluster.pin import pin
from tests.cluster.places import cache_folder
from tests.cluster.progress import Progress
from tests.cluster.provider import Component
from tests.cluster.toolchain import go_program
from tests.cluster.tools import helm_path, prometheus_path, promtool_path
from tests.cluster.versions import MODULES, chosen_minor, minors, release
from tests.cluster.webhook import AuditWebhook

_OK = 0
_ERROR = 1


def main(arguments: list[str]) -> int:
    """Do what `arguments` say; return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options, Progress()))
    except ClusterError as error:
        sys.stderr.write(f"cluster: {error}\n")
        return _ERROR


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    preparing = commands.add_parser("prepare", help="install what building and running need")
    preparing.add_argument("--kubernetes", choices=minors(), default=chosen_minor())
    preparing.set_defaults(run=_prepare)

    building = commands.add_parser("build", help="build the programs of a version, once")
    building.add_argument("--kubernetes", choices=minors(), default=chosen_minor())
    building.set_defaults(run=_build)

    tooling = commands.add_parser("tools", help="have helm, promtool and prometheus; say where")
    tooling.set_defaults(run=_tools)

    starting = commands.add_parser("up", help="start a cluster and wait until it is ready")
    choice.add_place(starting)
    starting.add_argument("--kubernetes", choices=minors(), default=chosen_minor())
    starting.add_argument("--kind-image", help="node image, with --provider kind")
    starting.add_argument("--audit-webhook", metavar="URL", help="send audit events there")
    starting.add_argument("--audit-webhook-ca", type=Path, metavar="FILE", help="its authority")
    starting.add_argument("--audit-webhook-token-file", type=Path, metavar="FILE")
    starting.set_defaults(run=_up)

    ending = commands.add_parser("down", help="end a cluster; nothing of it stays")
    choice.add_place(ending)
    ending.set_defaults(run=_down)

    showing = commands.add_parser("status", help="say what is built and what runs")
    showing.set_defaults(run=_status)

    running = commands.add_parser("run", help="run a command in the cluster's network")
    choice.add_place(running)
    running.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- COMMAND …")
    running.set_defaults(run=_run)

    for name, doing in (("stop", _stop), ("start", _start)):
        controlling = commands.add_parser(name, help=f"{name} a component")
        choice.add_place(controlling)
        controlling.add_argument("component", type=Component, choices=list(Component))
        controlling.set_defaults(run=doing)
        if name == "stop":
            controlling.add_argument(
                "--gently", action="store_true", help="by SIGTERM instead of SIGKILL"
            )

    pinning = commands.add_parser("pin", help="write the Go module of an exact version")
    pinning.add_argument("version", help="as 1.34.4")
    pinning.set_defaults(run=_pin)
    return parser


def _prepare(options: argparse.Namespace, say: Progress) -> int:
    prepare(say)
    wanted = release(options.kubernetes)
    if not is_built(wanted):
        say(f"Go: {go_program(wanted.go_version, say)}")
    return _OK


def _build(options: argparse.Namespace, say: Progress) -> int:
    sys.stdout.write(f"{build(release(options.kubernetes), say)}\n")
    return _OK


def _tools(options: argparse.Namespace, say: Progress) -> int:
    for path in (helm_path(), promtool_path(), prometheus_path()):
        sys.stdout.write(f"{path}\n")
    return _OK


def _up(options: argparse.Namespace, say: Progress) -> int:
    webhook = None
    if options.audit_webhook is not None:
        authority, token = options.audit_webhook_ca, options.audit_webhook_token_file
        webhook = AuditWebhook(
            options.audit_webhook,
            authority and authority.read_bytes(),
            token and token.read_text(encoding="utf-8").strip(),
        )
    cluster = choice.up(
        options.provider, options.name, release(options.kubernetes), say,
        webhook=webhook, kind_image=options.kind_image,
    )  # fmt: skip
    busybox = cluster.load_image(small_archives(cache_folder() / "images")[0])
    try:
        workload.apply(cluster, busybox, say)
    except ClusterError as error:
        raise ClusterError(f"{error}\nIt runs on, to be looked at; end it with `down`") from None
    say(f"{cluster.name} is up: Kubernetes {cluster.server_version()}")
    sys.stdout.write(f"{cluster.kubeconfig}\n")
    return _OK


def _down(options: argparse.Namespace, say: Progress) -> int:
    choice.down(options.provider, options.name)
    say(f"{options.name} is gone")
    return _OK


def _status(options: argparse.Namespace, say: Progress) -> int:
    for minor in minors():
        each = release(minor)
        state = programs_folder(each) if is_built(each) else "not built"
        sys.stdout.write(f"Kubernetes {each.version}: {state}\n")
    missing = ", ".join(missing_packages()) or "none"
    sys.stdout.write(f"missing Debian packages: {missing}\n")
    for name in machine.names():
        found = machine.find(name)
        state = "left over, `down` removes it"
        if found is not None:
            ready = "ready" if found.is_ready() else f"not ready{found.complaint()}"
            state = f"{ready}, kubeconfig {found.kubeconfig}, audit log {found.audit_log()}"
        sys.stdout.write(f"cluster {name}: {state}\n")
    return _OK


def _run(options: argparse.Namespace, say: Progress) -> int:
    argv = options.argv[1:] if options.argv[:1] == ["--"] else options.argv
    if not argv:
        raise ClusterError("say what to run, as `run -- kubectl get pods -A`")
    cluster = choice.find(options.provider, options.name)
    command = cluster.in_network(argv)
    environ = os.environ | {"KUBECONFIG": str(cluster.kubeconfig)}
    environ["PATH"] = f"{Path(cluster.kubectl_program).parent}:{environ.get('PATH', '')}"
    os.execvpe(command[0], command, environ)


def _stop(options: argparse.Namespace, say: Progress) -> int:
    cluster = choice.find(options.provider, options.name)
    ended = cluster.stop(options.component, kill=not options.gently, wait_seconds=120)
    say(f"the {options.component} {'has ended' if ended else 'still runs'}")
    return _OK if ended else _ERROR


def _start(options: argparse.Namespace, say: Progress) -> int:
    choice.find(options.provider, options.name).start(options.component)
    say(f"the {options.component} is started")
    return _OK


def _pin(options: argparse.Namespace, say: Progress) -> int:
    minor = options.version.rpartition(".")[0]
    pin(options.version, MODULES / f"v{minor}")
    say(f"wrote {MODULES / f'v{minor}'}")
    return _OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
