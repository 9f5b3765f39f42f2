"""What the provider `machine` needs of the machine: root, cgroups, namespaces, Debian's packages.

Called before anything is built or started. It installs the packages that miss when it is root on a
Debian, else it says the command to type. Never changes anything else.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.cluster.cgroups import own_hierarchies
from tests.cluster.errors import ClusterError
from tests.cluster.progress import Progress

# A program or file -> the Debian package that has it.
PACKAGES = {
    "containerd": "containerd",
    "runc": "runc",
    "nft": "nftables",
    "ip": "iproute2",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "mount": "mount",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "/usr/lib/cni/host-local": "containernetworking-plugins",
    "/var/lib/dpkg/info/busybox-static.list": "busybox-static",
}
SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def is_present(need: str) -> bool:
    """Return whether the program is found, or the absolute path exists."""
    if need.startswith("/"):
        return Path(need).exists()
    return shutil.which(need, path=search_path()) is not None


def search_path() -> str:
    """Return PATH with the system's folders in it: an admin's programs may be off a user's PATH."""
    return os.environ.get("PATH", "") + ":" + SYSTEM_PATH


def missing_packages(present: Callable[[str], bool] = is_present) -> tuple[str, ...]:
    """Return the Debian packages of which something is not there."""
    return tuple(sorted({PACKAGES[need] for need in PACKAGES if not present(need)}))


def prepare(say: Progress) -> None:
    """Check the machine and install the packages that miss; ClusterError with what to do else."""
    if os.geteuid() != 0:
        raise ClusterError(
            "the provider `machine` makes namespaces and cgroups and so needs root;"
            " run it as root, or use --provider kind or kubeconfig"
        )
    own_hierarchies()
    missing = missing_packages()
    if missing:
        _install(missing, say)
    still = missing_packages()
    if still:
        raise ClusterError(f"after the install {', '.join(still)} is still not to be found")


def snapshotter(folder: Path) -> str:
    """Return how containerd stacks layers in `folder`: "overlayfs", else "native" (copies)."""
    parts = {name: folder / f"overlay-{name}" for name in ("lower", "upper", "work", "merged")}
    for part in parts.values():
        part.mkdir(parents=True, exist_ok=True)
    options = f"lowerdir={parts['lower']},upperdir={parts['upper']},workdir={parts['work']}"
    trial = ["unshare", "--mount", "--propagation", "private", "mount", "-t", "overlay"]
    done = subprocess.run(
        [*trial, "-o", options, "overlay", parts["merged"]], capture_output=True, check=False
    )
    for part in parts.values():
        shutil.rmtree(part)
    return "native" if done.returncode else "overlayfs"


def install_command(packages: Iterable[str]) -> list[str]:
    """Return the command that installs `packages`."""
    return ["apt-get", "install", "-y", "-q", "--no-install-recommends", *packages]


def _install(packages: tuple[str, ...], say: Progress) -> None:
    command = install_command(packages)
    if shutil.which("apt-get") is None:
        raise ClusterError(f"install what Debian calls {' '.join(packages)}, and try again")
    environ = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    say(" ".join(command))
    for step in (["apt-get", "update", "-q"], command):
        done = subprocess.run(step, env=environ, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ClusterError(f"`{' '.join(step)}` failed: {done.stderr.strip()[-1000:]}")
