"""Where the test clusters keep things: built programs, images, and one folder for each cluster.

Owns names and paths. Everything lies in the cache folder outside the checkout (XDG_CACHE_HOME,
else ~/.cache). Never reads or writes a file.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.errors import ClusterError


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of all that the test clusters keep."""
    given = environ.get("XDG_CACHE_HOME") or str(Path(environ.get("HOME", "/root")) / ".cache")
    return Path(given).resolve() / "radar-audit" / "cluster"


@dataclass(frozen=True)
class Layout:
    """The files of one cluster of the provider `machine`; `programs` holds its binaries."""

    name: str
    folder: Path
    programs: Path

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", self.name):
            raise ClusterError(
                f"the cluster's name {self.name!r} is not lower-case letters, digits and dashes"
                " (at most 32)"
            )

    @property
    def group(self) -> str:
        """The name of its control group: another folder, another group."""
        return f"{self.name}-{hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:8]}"

    @property
    def control(self) -> Path:
        """The socket on which the cluster's first process takes commands."""
        return self.folder / "control"

    @property
    def note(self) -> Path:
        """What later commands must know of the cluster, as JSON."""
        return self.folder / "cluster.json"

    @property
    def plan(self) -> Path:
        """What the cluster's first process does before it takes commands, as JSON."""
        return self.folder / "plan.json"

    @property
    def certificates(self) -> Path:
        """Keys, certificates and kubeconfigs."""
        return self.folder / "certificates"

    @property
    def configs(self) -> Path:
        """The configuration files, filled in for this cluster."""
        return self.folder / "conf"

    @property
    def logs(self) -> Path:
        """One log of each component, and the audit log."""
        return self.folder / "log"

    @property
    def audit_log(self) -> Path:
        """The API server's audit log, one JSON object a line."""
        return self.logs / "audit.log"

    @property
    def webhook(self) -> Path:
        """The kubeconfig of the audit webhook, where there is one."""
        return self.folder / "audit-webhook.kubeconfig"

    @property
    def data(self) -> Path:
        """What etcd, containerd and the kubelet keep."""
        return self.folder / "data"

    @property
    def sysctls(self) -> Path:
        """Stand-ins of the machine-wide kernel settings that a kubelet wants to change."""
        return self.folder / "sysctl"

    def kubeconfig(self, name: str) -> Path:
        """Return the kubeconfig of a component or of "admin"."""
        return self.certificates / f"{name}.kubeconfig"

    def program(self, name: str) -> str:
        """Return the path of a built program."""
        return str(self.programs / name)


def layout(name: str, programs: Path, environ: Mapping[str, str] = os.environ) -> Layout:
    """Return the layout of the cluster `name`; ClusterError when the name is no use."""
    return Layout(name, cache_folder(environ) / "running" / name, programs)
