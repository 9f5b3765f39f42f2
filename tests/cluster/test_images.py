"""Guards the images: their form, that the same input gives the same bytes, what is in them."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.errors import ClusterError
from tests.cluster.images import BUSYBOX_IMAGE, PAUSE_IMAGE, small_archives
from tests.cluster.kubeconfig import registry_name
from tests.cluster.oci import Image, LayerWriter, write_archive, write_layer
from tests.cluster.python_image import PARTS, _forget_old, shared_libraries, split_closure

_LDD = """\
/usr/bin/python3:
\tlinux-vdso.so.1 (0x00007ffd5a5f2000)
\tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007f5264000000)
\tlibgone.so.1 => not found
\t/lib64/ld-linux-x86-64.so.2 (0x00007f5264a34000)
/usr/lib/python3.11/lib-dynload/_ssl.so:
\tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007f5264100000)
\tstatically linked
"""


def contents(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as opened:
        return {entry.name: file.read() for entry in opened if (file := opened.extractfile(entry))}


def blob(files: dict[str, bytes], descriptor: dict[str, Any]) -> bytes:
    content = files["blobs/" + descriptor["digest"].replace(":", "/")]
    assert descriptor["size"] == len(content)
    assert descriptor["digest"] == "sha256:" + hashlib.sha256(content).hexdigest()
    return content


def fill(writer: LayerWriter) -> None:
    writer.text("/etc/app/settings", "one\n")
    writer.link("/bin/app", "../etc/app/settings")
    writer.folder("/tmp", 0o1777)
    writer.text("/etc/app/settings", "a second time is left out\n")


@pytest.fixture
def busybox(tmp_path: Path) -> Path:
    program = tmp_path / "busybox"
    program.write_text("#!/bin/sh\necho sh\necho busybox\necho cat\n")
    program.chmod(0o755)
    return program


def test_every_part_of_an_archive_is_named_by_its_digest(tmp_path: Path) -> None:
    layer = write_layer(tmp_path / "layer", fill)
    image = Image("localhost/x/y:7", (layer,), ("/bin/app",), {"A": "b"}, "65532")
    files = contents(write_archive(tmp_path / "archive", image))
    index = json.loads(files["index.json"])
    manifest = json.loads(blob(files, index["manifests"][0]))
    config = json.loads(blob(files, manifest["config"]))
    assert blob(files, manifest["layers"][0]) == layer.path.read_bytes()
    assert config["rootfs"]["diff_ids"] == [manifest["layers"][0]["digest"]]
    assert config["config"]["Entrypoint"] == ["/bin/app"]
    assert config["config"]["Env"] == ["A=b"]
    assert config["config"]["User"] == "65532"
    names = index["manifests"][0]["annotations"]
    assert names["io.containerd.image.name"] == "localhost/x/y:7"
    assert names["org.opencontainers.image.ref.name"] == "7"


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    made = []
    for name in ("a", "b"):
        layer = write_layer(tmp_path / f"{name}.layer", fill)
        made.append(write_archive(tmp_path / name, Image("localhost/x:1", (layer,))).read_bytes())
    assert made[0] == made[1]


def test_a_layer_holds_the_folders_above_its_files_with_open_modes(tmp_path: Path) -> None:
    with tarfile.open(write_layer(tmp_path / "layer", fill).path) as opened:
        entries = {entry.name: entry for entry in opened}
    assert list(entries) == ["etc", "etc/app", "etc/app/settings", "bin", "bin/app", "tmp"]
    assert entries["etc"].mode == 0o755
    assert entries["tmp"].mode == 0o1777
    assert entries["bin/app"].linkname == "../etc/app/settings"
    assert {(entry.uid, entry.gid, entry.mtime) for entry in entries.values()} == {(0, 0, 0)}


def test_a_tree_is_added_without_what_is_refused_and_without_following_links(
    tmp_path: Path,
) -> None:
    tree = tmp_path / "tree"
    (tree / "kept" / "inner").mkdir(parents=True)
    (tree / "refused").mkdir()
    (tree / "kept" / "inner" / "file").write_text("text")
    (tree / "refused" / "file").write_text("text")
    (tree / "outside").symlink_to("/etc")
    layer = write_layer(
        tmp_path / "layer", lambda w: w.tree("/app", tree, lambda path: path != "refused")
    )
    with tarfile.open(layer.path) as opened:
        entries = {entry.name: entry for entry in opened}
    assert list(entries) == [
        "app",
        "app/kept",
        "app/kept/inner",
        "app/kept/inner/file",
        "app/outside",
    ]
    assert entries["app/outside"].issym()


def test_the_small_images_have_the_programs_of_busybox(tmp_path: Path, busybox: Path) -> None:
    archives = small_archives(tmp_path / "images", busybox)
    assert [archive.name for archive in archives] == [BUSYBOX_IMAGE, PAUSE_IMAGE]
    files = contents(archives[0].path)
    manifest = json.loads(blob(files, json.loads(files["index.json"])["manifests"][0]))
    (tmp_path / "layer").write_bytes(blob(files, manifest["layers"][0]))
    with tarfile.open(tmp_path / "layer") as opened:
        links = {entry.name: entry.linkname for entry in opened if entry.issym()}
    assert links == {"bin/cat": "busybox", "bin/sh": "busybox"}


def test_a_busybox_that_does_not_run_is_said_so(tmp_path: Path) -> None:
    broken = tmp_path / "busybox"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    with pytest.raises(ClusterError, match="install Debian's busybox-static"):
        small_archives(tmp_path / "images", broken)


def test_the_python_image_holds_what_the_parts_need_and_no_test_library() -> None:
    ours, others = split_closure(PARTS)
    names = {found.name.lower() for found in others}
    assert {found.name for found in ours} >= {*PARTS, "radar-audit-events", "radar-audit-runtime"}
    assert {"aiohttp", "msgspec", "sqlalchemy", "greenlet"} <= names
    assert not {"pytest", "hypothesis", "mypy", "ruff"} & names


def test_a_part_that_is_not_installed_is_said_so() -> None:
    with pytest.raises(ClusterError, match="radar-audit-nothing is not installed"):
        split_closure(["radar-audit-nothing"])


def test_shared_libraries_are_the_files_that_ldd_found() -> None:
    assert shared_libraries(_LDD) == {
        Path("/lib/x86_64-linux-gnu/libm.so.6"),
        Path("/lib64/ld-linux-x86-64.so.2"),
    }


def test_an_image_keeps_its_name_in_a_registry() -> None:
    name = registry_name("registry.example.com/tests/", BUSYBOX_IMAGE)
    assert name == "registry.example.com/tests/radar-audit/busybox:1"


def test_only_the_last_used_images_are_kept(tmp_path: Path) -> None:
    images = [tmp_path / f"python-{number}.oci.tar" for number in range(6)]
    other = tmp_path / "busybox-1.oci.tar"
    for age, path in enumerate([*images, other]):
        path.touch()
        os.utime(path, (0, 1000 - age))
    _forget_old(tmp_path, [images[5]])
    assert sorted(tmp_path.iterdir()) == sorted([images[5], *images[:3], other])
