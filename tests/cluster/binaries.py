"""Builds the programs of a Kubernetes release once and keeps them outside the checkout.

Called by the provider `machine` and by `python -m tests.cluster build`. What it returns is whole:
a build that was broken off goes on where it was, and two builds of one release wait for each other.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import time
from pathlib import Path

from tests.cluster.errors import ClusterError
from tests.cluster.places import cache_folder
from tests.cluster.progress import Progress
from tests.cluster.toolchain import go_program
from tests.cluster.versions import PACKAGES, Release

_SHOWN_CHARACTERS = 2000


def programs_folder(release: Release) -> Path:
    """Return where the programs of `release` are, or will be once they are built."""
    return cache_folder() / "programs" / release.key


def is_built(release: Release) -> bool:
    """Return whether nothing of `release` is left to build."""
    return programs_folder(release).is_dir()


def build(release: Release, say: Progress) -> Path:
    """Return the folder with the programs of `release`, built if they are not there yet.

    The first build takes some ten minutes on two cores, and says what it is at. ClusterError when
    there is no Go and none can be had, or when a build fails.
    """
    folder = programs_folder(release)
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.with_name(folder.name + ".partial")
    with folder.with_name(folder.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            go = go_program(release.go_version, say)
            partial.mkdir(exist_ok=True)
            say(f"building Kubernetes {release.version}, once: about ten minutes on two cores")
            for number, (name, package) in enumerate(PACKAGES.items(), 1):
                count = f"{number}/{len(PACKAGES)}"
                _build_one(go, release, package, partial / name, say, count)
            partial.rename(folder)
    return folder


def _build_one(
    go: str, release: Release, package: str, target: Path, say: Progress, count: str
) -> None:
    if target.exists():
        say(f"{count} {target.name} is built already")
        return
    begun = time.monotonic()
    fresh = target.with_suffix(".new")
    # The lowest priority: whoever works on the machine meanwhile comes first.
    command = ["nice", "-n", "19", go, "build", f"-p={os.cpu_count() or 1}"]
    command += [*release.build_flags, f"-o={fresh}", package]
    say(f"{count} {target.name} …")
    done = subprocess.run(
        command, cwd=release.folder, env=go_environ(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ClusterError(f"building {package} failed: {done.stderr.strip()[-_SHOWN_CHARACTERS:]}")
    fresh.rename(target)
    size = target.stat().st_size / 1e6
    say(f"{count} {target.name}: {time.monotonic() - begun:.0f} s, {size:.0f} MB")


def go_environ() -> dict[str, str]:
    """Return our environment with what every build needs: static programs, the installed Go."""
    environ = {name: value for name, value in os.environ.items() if name != "GOFLAGS"}
    return environ | {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local"}
