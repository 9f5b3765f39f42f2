"""Guards the small images of the test cluster, and the names images have in a registry."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from tests.cluster.errors import ClusterError
from tests.cluster.images import BUSYBOX_IMAGE, PAUSE_IMAGE, small_archives
from tests.cluster.kubeconfig import registry_name


def links(archive: Path) -> dict[str, str]:
    """Return the links in the one layer of an image."""
    with tarfile.open(archive) as opened:
        files = {entry.name: file.read() for entry in opened if (file := opened.extractfile(entry))}

    def blob(digest: str) -> bytes:
        return files["blobs/" + digest.replace(":", "/")]

    manifest = json.loads(blob(json.loads(files["index.json"])["manifests"][0]["digest"]))
    (layer,) = manifest["layers"]
    with tarfile.open(fileobj=io.BytesIO(blob(layer["digest"]))) as opened:
        return {entry.name: entry.linkname for entry in opened if entry.issym()}


@pytest.fixture
def busybox(tmp_path: Path) -> Path:
    program = tmp_path / "busybox"
    program.write_text("#!/bin/sh\necho sh\necho busybox\necho cat\n")
    program.chmod(0o755)
    return program


def test_the_small_images_have_the_programs_of_busybox(tmp_path: Path, busybox: Path) -> None:
    archives = small_archives(tmp_path / "images", busybox)
    assert [archive.name for archive in archives] == [BUSYBOX_IMAGE, PAUSE_IMAGE]
    assert links(archives[0].path) == {"bin/cat": "busybox", "bin/sh": "busybox"}


def test_a_busybox_that_does_not_run_is_said_so(tmp_path: Path) -> None:
    broken = tmp_path / "busybox"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    with pytest.raises(ClusterError, match="install Debian's busybox-static"):
        small_archives(tmp_path / "images", broken)


def test_an_image_keeps_its_name_in_a_registry() -> None:
    name = registry_name("registry.example.com/tests/", BUSYBOX_IMAGE)
    assert name == "registry.example.com/tests/radar-audit/busybox:1"
