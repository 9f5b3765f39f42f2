"""Guards the form of image archives, and that the same input gives the same bytes."""

from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path
from typing import Any

from scripts.images.oci import Image, LayerWriter, image_id, write_archive, write_layer


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


def test_every_part_of_an_archive_is_named_by_its_digest(tmp_path: Path) -> None:
    layer = write_layer(tmp_path / "layer", fill)
    image = Image("localhost/x/y:7", (layer,), ("/bin/app",), {"A": "b"}, "65532", {"l": "m"})
    files = contents(write_archive(tmp_path / "archive", image))
    index = json.loads(files["index.json"])
    manifest = json.loads(blob(files, index["manifests"][0]))
    config = json.loads(blob(files, manifest["config"]))
    assert blob(files, manifest["layers"][0]) == layer.path.read_bytes()
    assert config["rootfs"]["diff_ids"] == [manifest["layers"][0]["digest"]]
    assert config["config"]["Entrypoint"] == ["/bin/app"]
    assert config["config"]["Env"] == ["A=b"]
    assert config["config"]["User"] == "65532"
    assert config["config"]["Labels"] == {"l": "m"}
    assert manifest["config"]["digest"] == image_id(image)
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
