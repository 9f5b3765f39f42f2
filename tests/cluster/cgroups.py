"""The control groups of a cluster: where they are made, how they are entered, that they go again.

Each cluster lives in a group of its own in every hierarchy, and sees that group as the root (a
cgroup namespace), so clusters do not meet and nothing of the machine's groups changes. Called by
the provider `machine`. Never touches a group, or a process in one, that is not the named cluster's.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.errors import ClusterError

_PREFIX = "radar-audit-"
_LEAF = "init"  # in version 2 a group with children holds no processes
_WAIT_SECONDS = 10.0


@dataclass(frozen=True)
class Hierarchy:
    """One mounted hierarchy: where, its mount options as `mount -o` takes them, its version."""

    mounted: Path
    options: str
    version: int

    def group(self, name: str) -> Path:
        """Return the folder of the cluster `name`."""
        return self.mounted / (_PREFIX + name)


def hierarchies(mountinfo: str) -> tuple[Hierarchy, ...]:
    """Return the hierarchies that a cluster needs, from the text of /proc/self/mountinfo.

    Those of version 1 where a controller is mounted as one, else the one of version 2.
    """
    first: dict[str, Hierarchy] = {}
    second: list[Hierarchy] = []
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        mounted = Path(before.split(" ")[4])
        if kind == "cgroup":
            chosen = _first_version_options(options)
            first.setdefault(chosen, Hierarchy(mounted, chosen, 1))
        elif kind == "cgroup2":
            second.append(Hierarchy(mounted, "", 2))
    if any(not options.startswith("none,") for options in first):
        return tuple(first.values())
    return tuple(second[:1])


def _first_version_options(options: str) -> str:
    words = options.split(",")
    named = [word for word in words if word.startswith("name=")]
    if named:
        return f"none,{named[0]}"
    general = {"rw", "ro", "xattr", "noprefix", "clone_children", "seclabel"}
    return ",".join(word for word in words if word not in general and "=" not in word)


def own_hierarchies() -> tuple[Hierarchy, ...]:
    """Return the machine's hierarchies; ClusterError when there are none."""
    found = hierarchies(Path("/proc/self/mountinfo").read_text(encoding="utf-8"))
    if not found:
        raise ClusterError("no cgroup hierarchy is mounted; mount one on /sys/fs/cgroup")
    return found


def create(name: str) -> None:
    """Make the cluster's group in every hierarchy; ClusterError where that is not allowed."""
    for hierarchy in own_hierarchies():
        group = hierarchy.group(name)
        try:
            group.mkdir(exist_ok=True)
            if hierarchy.version == 2:
                (group / _LEAF).mkdir(exist_ok=True)
            for needed in ("cpuset.cpus", "cpuset.mems"):
                # In version 1 a new cpuset is empty and takes no process.
                if hierarchy.version == 1 and (group / needed).exists():
                    (group / needed).write_bytes((hierarchy.mounted / needed).read_bytes())
        except OSError as error:
            raise ClusterError(
                f"cannot make the control group {group} ({error.strerror}); a cluster needs"
                " writable cgroups: run it as root, in a container with `--privileged`"
            ) from error


def enter(name: str) -> None:
    """Move the calling process into the cluster's groups."""
    for hierarchy in own_hierarchies():
        (hierarchy.group(name) / "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")


def open_controllers(name: str) -> None:
    """Let a running cluster make groups with limits: nothing to do in version 1.

    In version 2 the processes move to a leaf first, since only then may controllers be handed on.
    """
    for hierarchy in own_hierarchies():
        if hierarchy.version == 2:
            group = hierarchy.group(name)
            for pid in (group / "cgroup.procs").read_text(encoding="ascii").split():
                (group / _LEAF / "cgroup.procs").write_text(pid, encoding="ascii")
            _hand_on(hierarchy.mounted)
            _hand_on(group)


def _hand_on(group: Path) -> None:
    controllers = (group / "cgroup.controllers").read_text(encoding="ascii").split()
    for controller in controllers:
        with contextlib.suppress(OSError):  # handed on already, or not possible for this one
            (group / "cgroup.subtree_control").write_text(f"+{controller}", encoding="ascii")


def remove(name: str) -> bool:
    """End what still runs in the cluster's groups, and remove them; return whether there were any.

    Every process in there is the cluster's. ClusterError when one does not end.
    """
    until = time.monotonic() + _WAIT_SECONDS
    mounted = hierarchies(Path("/proc/self/mountinfo").read_text(encoding="utf-8"))
    groups = [hierarchy.group(name) for hierarchy in mounted]
    found = [group for group in groups if group.is_dir()]
    for group in found:
        while group.is_dir():
            for folder, _, _ in os.walk(group, topdown=False):
                _end_members(Path(folder))
                with contextlib.suppress(OSError):  # a process that is just ending
                    Path(folder).rmdir()
            if group.is_dir():
                if time.monotonic() > until:
                    raise ClusterError(f"the control group {group} still holds processes")
                time.sleep(0.05)
    return bool(found)


def _end_members(group: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        for pid in (group / "cgroup.procs").read_text(encoding="ascii").split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
