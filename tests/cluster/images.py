"""The small images of a test cluster: a busybox for test pods, and the pod sandbox's.

Both are one layer, made from Debian's statically linked busybox. The provider `machine` imports
them; `workload` runs the first. Never fetches an image.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from scripts.images.layers import add_accounts
from scripts.images.oci import Image, Layer, LayerWriter, write_archive, write_layer
from tests.cluster.errors import ClusterError

BUSYBOX_IMAGE = "localhost/radar-audit/busybox:1"
PAUSE_IMAGE = "localhost/radar-audit/pause:1"
BUSYBOX = Path("/bin/busybox")
_PATH = "/bin:/usr/bin:/sbin:/usr/sbin"


@dataclass(frozen=True)
class Archive:
    """An image as a file, and the name it has once a cluster has taken it."""

    name: str
    path: Path


def add_busybox(writer: LayerWriter, busybox: Path = BUSYBOX) -> None:
    """Add busybox and a link for each of its programs; ClusterError when it is not to be run."""
    writer.file("/bin/busybox", busybox, 0o755)
    for program in _programs(busybox):
        if program != "busybox":
            writer.link(f"/bin/{program}", "busybox")


def small_archives(folder: Path, busybox: Path = BUSYBOX) -> tuple[Archive, ...]:
    """Write the small images into `folder` and return them."""
    folder.mkdir(parents=True, exist_ok=True)

    def fill(writer: LayerWriter) -> None:
        add_accounts(writer)
        add_busybox(writer, busybox)

    layer = write_layer(folder / "busybox.layer", fill)
    return (
        _archive(folder, BUSYBOX_IMAGE, layer, ("/bin/sh",)),
        # Holds a pod's namespaces; the runtime ends it with SIGKILL.
        _archive(folder, PAUSE_IMAGE, layer, ("/bin/sleep", "2147483647")),
    )


def _archive(folder: Path, name: str, layer: Layer, entrypoint: tuple[str, ...]) -> Archive:
    path = folder / (name.rpartition("/")[2].replace(":", "-") + ".oci.tar")
    image = Image(name, (layer,), entrypoint, {"PATH": _PATH})
    return Archive(name, write_archive(path, image))


def _programs(busybox: Path) -> list[str]:
    try:
        told = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise ClusterError(f"{busybox} cannot be run; install Debian's busybox-static") from error
    return sorted(told.stdout.split())
