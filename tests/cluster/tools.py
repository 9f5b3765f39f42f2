"""The programs that tests of the chart run besides a cluster: helm, promtool and prometheus.

Owns how each is come by: helm is built once from its Go module (modules/helm, with the hashes of
go.sum), the other two are Debian's. Called by tests/chart, tests/e2e and `__main__`. Everything is
kept in the cache folder outside the checkout; nothing is installed and no service is started.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import subprocess
from pathlib import Path

from tests.cluster.binaries import go_environ
from tests.cluster.errors import ClusterError
from tests.cluster.places import cache_folder
from tests.cluster.progress import Progress
from tests.cluster.toolchain import go_program
from tests.cluster.versions import MODULES
from tests.support.debian_programs import ProgramMissingError, unpacked

HELM_MODULE = MODULES / "helm"
BUILD_SECONDS = 1200  # for the timeout of a test that may be the first to need helm
_PACKAGE = "helm.sh/helm/v3/cmd/helm"
_VERSION_VARIABLE = "helm.sh/helm/v3/internal/version.version"
_KUBERNETES_PACKAGES = ("helm.sh/helm/v3/pkg/chartutil", "helm.sh/helm/v3/pkg/lint/rules")
_SHOWN_CHARACTERS = 2000


def helm_path() -> Path:
    """Return helm of the pinned version, built if it is not there yet (two minutes on two cores).

    ClusterError when there is no Go and none can be had, or when the build fails.
    """
    built = _helm_target(HELM_MODULE)
    if built.exists():
        return built
    say = Progress()
    built.parent.mkdir(parents=True, exist_ok=True)
    with built.with_name(built.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # those who run at the same time wait for one build
        if not built.exists():
            go = go_program(_line(r"^go (\S+)$", HELM_MODULE), say)
            say(f"building helm {helm_version()}, once: two minutes on two cores")
            _build(go, built)
            say("helm is built")
    return built


def helm_version(module: Path = HELM_MODULE) -> str:
    """Return the version that the committed go.mod pins, as "v3.22.0"."""
    return _line(r"^\s*(?:require )?helm\.sh/helm/v3 (v\S+)", module)


def promtool_path() -> Path:
    """Return Debian's promtool. ClusterError with the command to type when it cannot be had."""
    return _debian("promtool")


def prometheus_path() -> Path:
    """Return Debian's prometheus. ClusterError with the command to type when it cannot be had."""
    return _debian("prometheus")


def _helm_target(module: Path) -> Path:
    """Return where helm is kept: another go.mod, go.sum or flag gives another place."""
    digest = hashlib.sha256(" ".join(_flags(module)).encode())
    for name in ("go.mod", "go.sum"):
        digest.update((module / name).read_bytes())
    return cache_folder() / "tools" / f"helm-{helm_version(module)}-{digest.hexdigest()[:16]}"


def _flags(module: Path) -> tuple[str, ...]:
    # As helm's own releases: without a cluster it renders for the Kubernetes of its client-go.
    minor = _line(r"^\s*k8s\.io/client-go v0\.(\d+)\.", module)
    variables = {_VERSION_VARIABLE: helm_version(module)}
    for package in _KUBERNETES_PACKAGES:
        variables |= {f"{package}.k8sVersionMajor": "1", f"{package}.k8sVersionMinor": minor}
    linker = " ".join(["-s -w", *(f"-X {name}={value}" for name, value in variables.items())])
    return ("-mod=readonly", "-buildvcs=false", "-trimpath", f"-ldflags={linker}")


def _build(go: str, target: Path) -> None:
    fresh = target.with_name(target.name + ".new")
    # The lowest priority: whoever works on the machine meanwhile comes first.
    command = ["nice", "-n", "19", go, "build", f"-p={os.cpu_count() or 1}"]
    command += [*_flags(HELM_MODULE), f"-o={fresh}", _PACKAGE]
    done = subprocess.run(
        command, cwd=HELM_MODULE, env=go_environ(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ClusterError(f"building helm failed: {done.stderr.strip()[-_SHOWN_CHARACTERS:]}")
    fresh.rename(target)


def _debian(name: str) -> Path:
    try:
        return unpacked(name, "prometheus")
    except ProgramMissingError as error:
        raise ClusterError(str(error)) from error


def _line(pattern: str, module: Path) -> str:
    found = re.search(pattern, (module / "go.mod").read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise ClusterError(f"{module / 'go.mod'} has no line like {pattern}")
    return found[1]
