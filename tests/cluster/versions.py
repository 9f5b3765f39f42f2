"""Which Kubernetes versions can be built, with which flags, and under which key they are kept.

Owns what can be told from the committed go.mod and go.sum. `binaries` builds by it, `__main__`
lists it. Never runs anything.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.errors import ClusterError

MODULES = Path(__file__).parent / "modules"
VARIABLE = "RADAR_AUDIT_CLUSTER_KUBERNETES"
DEFAULT_MINOR = "1.34"
_VERSION_PACKAGES = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
_KUBERNETES = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kubectl",
    "kube-proxy",
)
# Program -> Go package, the long builds first: what they compile serves the others.
PACKAGES = {name: f"k8s.io/kubernetes/cmd/{name}" for name in _KUBERNETES} | {
    "etcd": "go.etcd.io/etcd/server/v3"
}


@dataclass(frozen=True)
class Release:
    """One Kubernetes version: "1.34", its exact version "1.34.4", and its module's folder."""

    minor: str
    version: str
    folder: Path

    @property
    def go_version(self) -> str:
        """The oldest Go that builds it, as "1.24.0"."""
        return _line(r"^go (\S+)$", _text(self.folder / "go.mod"))

    @property
    def build_flags(self) -> tuple[str, ...]:
        """The flags of `go build`: reproducible, stripped, and telling their version."""
        told = {
            "gitVersion": f"v{self.version}",
            "gitMajor": self.version.split(".")[0],
            "gitMinor": self.version.split(".")[1],
            "gitTreeState": "clean",
            "gitCommit": "radar-audit",
            "buildDate": "1970-01-01T00:00:00Z",
        }
        variables = [
            f"-X {package}.{name}={value}"
            for package in _VERSION_PACKAGES
            for name, value in told.items()
        ]
        linker = " ".join(["-s", "-w", *variables])
        return ("-mod=readonly", "-buildvcs=false", "-trimpath", f"-ldflags={linker}")

    @property
    def key(self) -> str:
        """The name of its programs' folder; another go.mod, go.sum or flag gives another."""
        digest = hashlib.sha256()
        for part in (
            (self.folder / "go.mod").read_bytes(),
            (self.folder / "go.sum").read_bytes(),
            "\0".join([*self.build_flags, *PACKAGES.values()]).encode(),
        ):
            digest.update(len(part).to_bytes(8, "big") + part)
        return f"{self.version}-{digest.hexdigest()[:16]}"


def minors(modules: Path = MODULES) -> tuple[str, ...]:
    """Return the versions that have a module, as ("1.34", "1.36")."""
    names = (path.parent.name.removeprefix("v") for path in modules.glob("v*/go.mod"))
    return tuple(sorted(names, key=lambda name: [int(part) for part in name.split(".")]))


def chosen_minor(environ: Mapping[str, str] = os.environ) -> str:
    """Return the version that the environment asks for, else the default."""
    return environ.get(VARIABLE) or DEFAULT_MINOR


def release(minor: str, modules: Path = MODULES) -> Release:
    """Return the release of `minor` ("1.34"); ClusterError when there is none."""
    folder = modules / f"v{minor}"
    if minor not in minors(modules):
        known = ", ".join(minors(modules))
        raise ClusterError(f"Kubernetes {minor} is not among the pinned versions: {known}")
    version = _line(r"^\s*k8s\.io/kubernetes v(\S+)", _text(folder / "go.mod"))
    return Release(minor, version, folder)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _line(pattern: str, text: str) -> str:
    found = re.search(pattern, text, re.MULTILINE)
    if found is None:
        raise ClusterError(f"the go.mod has no line like {pattern}")
    return found[1]
