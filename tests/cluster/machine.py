"""The provider `machine`: a real Kubernetes of one node, on this machine, in namespaces.

Owns the order in which a cluster comes up and goes. Everything of it lives in its own network,
mount, process and cgroup namespaces: nothing listens on the machine, and `down` leaves nothing
behind but the built programs. Needs root, no Docker and no registry.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import json
import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tests.cluster import cgroups, control
from tests.cluster.binaries import build
from tests.cluster.certificates import write_certificates
from tests.cluster.components import (
    FIXED_FOLDERS,
    command,
    component_names,
    preparations,
    write_configs,
)
from tests.cluster.errors import ClusterError
from tests.cluster.images import Archive, small_archives
from tests.cluster.mountpoints import held, let_go
from tests.cluster.needs import prepare, search_path, snapshotter
from tests.cluster.network import NODE_NAME
from tests.cluster.places import Layout, cache_folder, layout
from tests.cluster.processes import KnownProcess, known
from tests.cluster.progress import Progress
from tests.cluster.provider import Cluster, Component
from tests.cluster.versions import Release
from tests.cluster.webhook import AuditWebhook

PROVIDER = "machine"
_ROOT = Path(__file__).parents[2]
_STEP_SECONDS = 60.0
_KILL_SECONDS = 20.0
_POLL_SECONDS = 0.05
_CONTAINERD = "run/containerd/containerd.sock"


class MachineCluster(Cluster):
    """A cluster that runs on this machine; made by `up` and found again by `find`."""

    provider = PROVIDER
    can_control = True

    def __init__(self, place: Layout, first: KnownProcess, webhook: AuditWebhook | None) -> None:
        """Take the cluster whose files are at `place` and whose first process is `first`."""
        self.name = place.name
        self.kubeconfig = place.kubeconfig("admin")
        self.kubectl_program = place.program("kubectl")
        self.layout = place
        self._first = first
        self._webhook = webhook

    def in_network(self, argv: Sequence[str]) -> list[str]:
        """Run `argv` in the cluster's network namespace, and for the rest on the machine."""
        return ["nsenter", f"--target={self._first.pid}", "--net", "--", *argv]

    def in_node(self, argv: Sequence[str]) -> list[str]:
        """Run `argv` as if on the node: with its mounts, processes and network."""
        target = f"--target={self._first.pid}"
        return ["nsenter", target, "--mount", "--net", "--pid", "--uts", "--ipc", "--", *argv]

    def load_image(self, archive: Archive) -> str:
        """Import the archive into the node's containerd."""
        options = ["--namespace=k8s.io", "images", "import", "--digests=false"]
        with archive.path.open("rb") as content:
            done = subprocess.run(
                self.in_node(["ctr", *options, "-"]),
                stdin=content, capture_output=True, text=True, check=False,
            )  # fmt: skip
        if done.returncode:
            raise ClusterError(f"the import of {archive.path} failed: {done.stderr.strip()[-500:]}")
        return archive.name

    def audit_log(self) -> Path:
        """Return the file that the API server appends to."""
        return self.layout.audit_log

    def stop(self, component: Component, *, kill: bool = True, wait_seconds: float = 10) -> bool:
        """Stop a component by its pid."""
        signal_name = "KILL" if kill else "TERM"
        return control.stop(self.layout.control, component, signal_name, wait_seconds)

    def start(self, component: Component) -> None:
        """Start a component with the command line of the first start."""
        self._start(component)

    def down(self) -> None:
        """End the cluster and remove its folder."""
        remove(self.name)

    def projected_file(self, namespace: str, pod: str, volume: str, name: str) -> str:
        """Return the text of a file in a projected volume of a pod, as the kubelet wrote it."""
        told = json.loads(self.kubectl("-n", namespace, "get", "pod", pod, "-o", "json"))
        folder = f"/var/lib/kubelet/pods/{told['metadata']['uid']}/volumes/kubernetes.io~projected"
        reading = self.in_node(["cat", f"{folder}/{volume}/{name}"])
        return subprocess.run(reading, capture_output=True, text=True, check=True).stdout

    def complaint(self) -> str:
        """Return which processes ended, with the end of their logs."""
        try:
            ended = [
                process
                for process in control.processes(self.layout.control).values()
                if process.ended is not None
            ]
        except ClusterError as error:
            return f"; {error}"
        return "".join(
            f"; {process.name} ended ({process.ended}): {_tail(self._log(process.name))}"
            for process in ended
        )

    def bring_up(self, archives: Sequence[Archive], say: Progress) -> None:
        """Start every component and wait until the node is ready."""
        for name in component_names():
            if name == "kubelet":
                self._await_part(self._containerd_listens, "containerd is not up")
                for archive in archives:
                    self.load_image(archive)
                say("images are imported")
            if name == "kube-controller-manager":
                # Started earlier, it would sleep for seconds before it tries again.
                self._await_part(self.is_ready, "the API server is not ready")
                say("the API server is ready")
            self._start(name)
        role = ["--clusterrole=system:node-proxier", "--user=system:kube-proxy"]
        self.kubectl("create", "clusterrolebinding", "radar-audit-test-kube-proxy", *role)
        self._await_part(self._nodes_are_ready, "the node is not ready")
        say("the node is ready")

    def _await_part(self, holds: Callable[[], bool], otherwise: str) -> None:
        """Wait for a part of a cluster that starts, in vain as soon as any process has ended."""

        def checked() -> bool:
            told = self.complaint()
            if told:
                raise ClusterError(otherwise + told)
            return holds()

        self._await(checked, otherwise, _STEP_SECONDS)

    def _start(self, name: str) -> None:
        argv = command(name, self.layout, self._webhook)
        control.start(self.layout.control, name, argv, self._log(name))

    def _log(self, name: str) -> Path:
        return self.layout.logs / f"{name}.log"

    def _containerd_listens(self) -> bool:
        try:
            mode = Path(f"/proc/{self._first.pid}/root/{_CONTAINERD}").stat().st_mode
        except FileNotFoundError:
            return False
        return stat.S_ISSOCK(mode)


def up(name: str, release: Release, webhook: AuditWebhook | None, say: Progress) -> MachineCluster:
    """Start the cluster `name`, built first where that was never done, and wait until it is ready.

    ClusterError when one of that name runs, when the machine lacks something, or when a part does
    not come up; nothing is left running then, but its logs are kept.
    """
    prepare(say)
    place = layout(name, build(release, say))
    with _alone(name):
        if find(name) is not None:
            raise ClusterError(f"the cluster {name} runs already; `make cluster-down` ends it")
        _remove(name)
        say(f"starting Kubernetes {release.version} as {name}")
        try:
            cluster = _begin(place, webhook)
            cluster.bring_up(small_archives(cache_folder() / "images"), say)
        except BaseException:
            say(f"it did not come up; its logs are kept in {_keep_logs(place)}")
            _remove(name)
            raise
        return cluster


def find(name: str) -> MachineCluster | None:
    """Return the running cluster `name`, or None."""
    note = _read_note(name)
    if note is None or note["first"] is None:
        return None
    first = KnownProcess(**note["first"])
    place = layout(name, Path(note["programs"]))
    webhook = AuditWebhook(**note["webhook"]) if note["webhook"] else None
    return MachineCluster(place, first, webhook) if first.is_alive() else None


def names() -> tuple[str, ...]:
    """Return the names of the clusters that run, or that left something behind."""
    folder = cache_folder() / "running"
    return tuple(sorted(path.name for path in folder.iterdir())) if folder.is_dir() else ()


def remove(name: str) -> None:
    """End the cluster `name` if it runs, and remove its cgroups, folders and files."""
    with _alone(name):
        _remove(name)


@contextlib.contextmanager
def sole_user(family: str) -> Iterator[None]:
    """Keep every name `family`-… for the caller, and first end what an earlier user left behind.

    ClusterError when another process uses them now. It is the kernel that frees them at the end of
    the process, so nothing is left to clear when that was killed.
    """
    with (_locks() / f"{family}.user").open("a+", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise ClusterError(
                f"process {lock.read()} uses the clusters {family}-… now; wait until it has ended,"
                " or give this run another XDG_CACHE_HOME"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        for name in names():
            if name.startswith(f"{family}-"):
                remove(name)
        yield


def _locks() -> Path:
    folder = cache_folder() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextlib.contextmanager
def _alone(name: str) -> Iterator[None]:
    """Let nobody else start or end the cluster `name` meanwhile."""
    with (_locks() / name).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _keep_logs(place: Layout) -> Path:
    target = cache_folder() / "failed" / place.name
    shutil.rmtree(target, ignore_errors=True)
    if place.logs.is_dir():
        shutil.copytree(place.logs, target)
    return target


def _remove(name: str) -> None:
    note = _read_note(name)
    place = layout(name, Path())
    if note is not None:
        for role in ("first", "parent"):
            if note[role] and not KnownProcess(**note[role]).kill(_KILL_SECONDS):
                raise ClusterError(
                    f"process {note[role]['pid']} of the cluster {name} does not end"
                )
    # Also without a note: somebody may have emptied the cache folder under a cluster.
    if cgroups.remove(place.group) or note is not None:
        for folder in FIXED_FOLDERS:
            let_go(folder)
    if place.folder.exists():
        _check_unmounted(place.folder)
        shutil.rmtree(place.folder)


def _begin(place: Layout, webhook: AuditWebhook | None) -> MachineCluster:
    """Write the cluster's files and start its first process; return when that takes commands."""
    place.folder.mkdir(mode=0o700, parents=True)
    note: dict[str, Any] = {
        "programs": str(place.programs),
        # Its authority and its token are in the file below, where the API server reads them.
        "webhook": webhook and asdict(replace(webhook, authority=None, token=None)),
        "parent": None,
        "first": None,
    }
    _write_note(place, note)
    write_certificates(place.certificates, dt.datetime.now(dt.UTC))
    write_configs(place, snapshotter(place.folder))
    if webhook is not None:
        webhook.write(place.webhook)
    cgroups.create(place.group)
    plan = {
        "group": place.group,
        "held": [str(folder) for folder in FIXED_FOLDERS],
        "hostname": NODE_NAME,
        "control": str(place.control),
        "commands": preparations(place, cgroups.own_hierarchies()),
    }
    place.plan.write_text(json.dumps(plan), encoding="utf-8")
    with held(FIXED_FOLDERS):
        parent = known(_spawn(place))
        note["parent"] = asdict(parent)
        _write_note(place, note)
        first = _await_first(place, parent)
    note["first"] = asdict(first)
    _write_note(place, note)
    cgroups.open_controllers(place.group)
    return MachineCluster(place, first, webhook)


def _spawn(place: Layout) -> int:
    """Start `machine_init`, which outlives us, and return its pid."""
    log = str(place.logs / "machine.log")
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, log, flags, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    argv = [sys.executable, "-m", "tests.cluster.machine_init", "enter", str(place.plan)]
    environ = {"PATH": search_path(), "HOME": "/root", "PYTHONPATH": str(_ROOT), "LANG": "C.UTF-8"}
    return os.posix_spawn(argv[0], argv, environ, file_actions=actions, setsid=True)


def _await_first(place: Layout, parent: KnownProcess) -> KnownProcess:
    until = time.monotonic() + _STEP_SECONDS
    while parent.is_alive() and time.monotonic() < until:
        with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
            return known(control.first_process(place.control))
        time.sleep(_POLL_SECONDS)
    raise ClusterError(
        f"the cluster's first process did not come up: {_tail(place.logs / 'machine.log')}"
    )


def _read_note(name: str) -> dict[str, Any] | None:
    try:
        text = layout(name, Path()).note.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    note: dict[str, Any] = json.loads(text)
    return note


def _write_note(place: Layout, note: dict[str, Any]) -> None:
    fresh = place.note.with_suffix(".new")
    fresh.write_text(json.dumps(note), encoding="utf-8")
    fresh.replace(place.note)


def _check_unmounted(folder: Path) -> None:
    """Refuse to delete through a mount: it would empty what is mounted."""
    mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    inside = [line.split(" ")[4] for line in mounts if line.split(" ")[4].startswith(f"{folder}/")]
    if inside:
        raise ClusterError(f"{inside[0]} is still mounted; unmount it, then try again")


def _tail(log: Path) -> str:
    if not log.exists():
        return ""
    return log.read_text(encoding="utf-8", errors="replace")[-1500:]
