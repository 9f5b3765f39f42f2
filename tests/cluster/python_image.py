"""Makes an image that runs all parts of this project, with a shell, for pods of tests.

The layers are those of scripts/images, but for busybox. Called by tests that run a part in a pod;
what `make images` builds is tested by tests/e2e/test_chart.py.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from scripts.images.build import forget_old
from scripts.images.closure import split_closure
from scripts.images.layers import ENVIRON, USER, packages_layer, parts_layer, python_layer
from scripts.images.oci import Image, write_archive, write_layer
from tests.cluster.images import Archive, add_busybox

PYTHON_IMAGE = "localhost/radar-audit/python"
PARTS = ("radar-audit-collector", "radar-audit-hub", "radar-audit-cli")


def python_archive(folder: Path) -> Archive:
    """Write the image with all parts into `folder` and return it.

    It has no entry point of its own: a pod says `python3 -m radar_audit_collector`. Its user is
    65532. The tag is the hash of its layers, so a changed part has another name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ours, others = split_closure(PARTS)
    layers = (
        python_layer(folder),
        write_layer(folder / "shell.layer", add_busybox),
        packages_layer(folder, others),
        parts_layer(folder, ours),
    )
    digest = hashlib.sha256("".join(layer.digest for layer in layers).encode()).hexdigest()
    name = f"{PYTHON_IMAGE}:{digest[:12]}"
    path = folder / f"python-{digest[:12]}.oci.tar"
    if not path.exists():
        write_archive(path, Image(name, layers, environ=ENVIRON, user=USER))
    forget_old(folder, [path, *(layer.path for layer in layers)])
    return Archive(name, path)
