"""Writes container images as OCI archives from plain files, without Docker and without a registry.

Called by `build`, and by the tests for the images of their clusters. The same input gives the
same bytes: owners are 0:0 and times are 0. Never follows a link, never runs anything.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

_LAYER = "application/vnd.oci.image.layer.v1.tar"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_EPOCH = "1970-01-01T00:00:00Z"


@dataclass(frozen=True)
class Layer:
    """An uncompressed layer on disk and its SHA-256 (hexadecimal)."""

    path: Path
    digest: str


@dataclass(frozen=True)
class Image:
    """What an image runs: its full name ("localhost/NAME:TAG"), its layers, its defaults."""

    name: str
    layers: tuple[Layer, ...]
    entrypoint: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


class LayerWriter:
    """Adds files to one layer; folders above them are made (0755) as they are needed."""

    def __init__(self, archive: tarfile.TarFile) -> None:
        """Write to `archive`, which the caller closes."""
        self._archive = archive
        self._names: set[str] = set()

    def file(self, target: str, source: Path, mode: int | None = None) -> None:
        """Add the content of `source` as `target` (an absolute path), with `mode` or its own."""
        entry = self._entry(target, source.stat().st_mode & 0o777 if mode is None else mode)
        if entry is not None:
            entry.size = source.stat().st_size
            with source.open("rb") as content:
                self._archive.addfile(entry, content)

    def text(self, target: str, text: str, mode: int = 0o644) -> None:
        """Add a file with `text`."""
        content = text.encode()
        entry = self._entry(target, mode)
        if entry is not None:
            entry.size = len(content)
            self._archive.addfile(entry, io.BytesIO(content))

    def link(self, target: str, to: str) -> None:
        """Add a symbolic link from `target` to `to`."""
        entry = self._entry(target, 0o777)
        if entry is not None:
            entry.type = tarfile.SYMTYPE
            entry.linkname = to
            self._archive.addfile(entry)

    def folder(self, target: str, mode: int = 0o755) -> None:
        """Add a folder."""
        entry = self._entry(target, mode)
        if entry is not None:
            entry.type = tarfile.DIRTYPE
            self._archive.addfile(entry)

    def tree(self, target: str, source: Path, keep: Callable[[str], bool]) -> None:
        """Add the files under `source` whose relative path `keep` accepts, in the order of names.

        `keep` is asked for folders too, and a folder it refuses is not entered.
        """
        for path in sorted(source.iterdir()):
            self._branch(target, path, path.name, keep)

    def _branch(self, target: str, path: Path, relative: str, keep: Callable[[str], bool]) -> None:
        if not keep(relative):
            return
        if path.is_symlink():
            self.link(f"{target}/{relative}", str(path.readlink()))
        elif path.is_dir():
            for inner in sorted(path.iterdir()):
                self._branch(target, inner, f"{relative}/{inner.name}", keep)
        elif path.is_file():
            self.file(f"{target}/{relative}", path)

    def _entry(self, target: str, mode: int) -> tarfile.TarInfo | None:
        name = target.strip("/")
        if name in self._names:
            return None
        above = name.rpartition("/")[0]
        if above and above not in self._names:
            self.folder("/" + above)
        self._names.add(name)
        entry = tarfile.TarInfo(name)
        entry.mode = mode
        return entry


def write_layer(path: Path, fill: Callable[[LayerWriter], None]) -> Layer:
    """Write the layer that `fill` adds files to; whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    with tarfile.open(partial, "w", format=tarfile.PAX_FORMAT) as archive:
        fill(LayerWriter(archive))
    partial.rename(path)
    return read_layer(path)


def read_layer(path: Path) -> Layer:
    """Return the layer that was written at `path` before."""
    with path.open("rb") as content:
        return Layer(path, hashlib.file_digest(content, "sha256").hexdigest())


def write_archive(path: Path, image: Image) -> Path:
    """Write `image` as an OCI archive that `ctr images import` and `skopeo` take; return `path`."""
    config = _json(_config(image))
    layers = [
        _descriptor(_LAYER, layer.digest, layer.path.stat().st_size) for layer in image.layers
    ]
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": _described(_CONFIG, config),
            "layers": layers,
        }
    )
    names = {
        "io.containerd.image.name": image.name,
        "org.opencontainers.image.ref.name": image.name.rpartition(":")[2],
    }
    index = _json(
        {
            "schemaVersion": 2,
            "mediaType": _INDEX,
            "manifests": [_described(_MANIFEST, manifest) | {"annotations": names}],
        }
    )
    partial = path.with_name(path.name + ".partial")
    with tarfile.open(partial, "w", format=tarfile.PAX_FORMAT) as archive:
        _add(archive, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
        _add(archive, "index.json", index)
        blobs = {hashlib.sha256(blob).hexdigest(): blob for blob in (manifest, config)}
        for digest, blob in blobs.items():
            _add(archive, f"blobs/sha256/{digest}", blob)
        for digest, layer in {layer.digest: layer for layer in image.layers}.items():
            with layer.path.open("rb") as content:
                size = layer.path.stat().st_size
                _add_stream(archive, f"blobs/sha256/{digest}", content, size)
    partial.rename(path)
    return path


def image_id(image: Image) -> str:
    """Return the image's id, as "sha256:…": equal ids are equal files and equal defaults."""
    return "sha256:" + hashlib.sha256(_json(_config(image))).hexdigest()


def _config(image: Image) -> dict[str, Any]:
    defaults: dict[str, Any] = {"WorkingDir": "/"}
    if image.entrypoint:
        defaults["Entrypoint"] = list(image.entrypoint)
    if image.environ:
        defaults["Env"] = [f"{name}={value}" for name, value in image.environ.items()]
    if image.user:
        defaults["User"] = image.user
    if image.labels:
        defaults["Labels"] = dict(image.labels)
    machine = platform.machine()
    return {
        "architecture": _ARCHITECTURES.get(machine, machine),
        "os": "linux",
        "created": _EPOCH,
        "config": defaults,
        "rootfs": {
            "type": "layers",
            "diff_ids": [f"sha256:{layer.digest}" for layer in image.layers],
        },
    }


def _described(media_type: str, blob: bytes) -> dict[str, Any]:
    return _descriptor(media_type, hashlib.sha256(blob).hexdigest(), len(blob))


def _descriptor(media_type: str, digest: str, size_bytes: int) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": size_bytes}


def _json(document: Mapping[str, Any] | Iterable[Any]) -> bytes:
    return json.dumps(document, sort_keys=True).encode()


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    _add_stream(archive, name, io.BytesIO(content), len(content))


def _add_stream(archive: tarfile.TarFile, name: str, content: BinaryIO, size_bytes: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.mode = 0o644
    entry.size = size_bytes
    archive.addfile(entry, content)
