"""Builds the images of the parts as OCI archives, without Docker and without a registry.

Called by `make images` (through `__main__`) and by the e2e tests of the chart. The same checkout
and the same Python give the same image id. For this machine's architecture and with this machine's
Python alone: releases are built from the Dockerfile beside it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from scripts.images.closure import IMAGES, split_closure
from scripts.images.errors import ImageError
from scripts.images.layers import (
    ENVIRON,
    PREFIX,
    USER,
    packages_layer,
    parts_layer,
    python_layer,
)
from scripts.images.oci import Image, image_id, write_archive

REGISTRY = "localhost/radar-audit"
_KINDS = ("python-*.oci.tar", "python-*.layer", "packages-*.layer", "parts-*.layer")
_KEPT = 8


@dataclass(frozen=True)
class Built:
    """An image in a file: its full name, and its id ("sha256:…")."""

    part: str
    name: str
    id: str
    path: Path


def build(part: str, layers: Path, output: Path, tag: str | None = None) -> Built:
    """Write the image of `part` ("collector", "hub", "operator") into `output` and return it.

    `layers` is a folder that keeps layers for the next build. Without a `tag` it is the hash of
    what is in the image. ImageError when there is no such image or a package is not installed.
    """
    if part not in IMAGES:
        raise ImageError(f"there is no image {part}; there are {', '.join(IMAGES)}")
    for folder in (layers, output):
        folder.mkdir(parents=True, exist_ok=True)
    ours, others = split_closure(IMAGES[part])
    (main,) = (each for each in ours if each.name == IMAGES[part][0])
    made = (
        python_layer(layers),
        packages_layer(layers, others),
        parts_layer(layers, ours),
    )
    forget_old(layers, (layer.path for layer in made))
    digest = hashlib.sha256("".join(layer.digest for layer in made).encode()).hexdigest()
    image = Image(
        f"{REGISTRY}/{part}:{tag or digest[:12]}",
        made,
        (f"{PREFIX}/bin/{main.name}",),
        ENVIRON,
        USER,
        {
            "org.opencontainers.image.title": main.name,
            "org.opencontainers.image.version": main.version,
            "org.opencontainers.image.licenses": "Apache-2.0",
        },
    )
    path = write_archive(output / f"{part}.oci.tar", image)
    return Built(part, image.name, image_id(image), path)


def forget_old(folder: Path, used: Iterable[Path]) -> None:
    """Note that `used` were, and keep only the last few used of each kind in `folder`."""
    for path in used:
        path.touch()
    for kind in _KINDS:
        found = sorted(folder.glob(kind), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in found[_KEPT:]:
            path.unlink(missing_ok=True)
