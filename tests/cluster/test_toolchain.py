"""Guards which Go builds the programs, and that a downloaded one is what it should be."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from tests.cluster import toolchain
from tests.cluster.errors import ClusterError
from tests.cluster.progress import Progress


def a_go(folder: Path, version: str) -> None:
    folder.mkdir(parents=True)
    (folder / "go").write_text(f"#!/bin/sh\necho go{version}\n")
    (folder / "go").chmod(0o755)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder first on PATH; no other Go is found, and the proxy does not answer."""
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("GOPROXY", "http://127.0.0.1:1")
    monkeypatch.setattr(toolchain, "_INSTALLED", tmp_path / "none")
    return tmp_path / "bin"


def test_a_go_that_is_new_enough_is_taken_from_the_path(path: Path) -> None:
    a_go(path, "1.30.1")
    assert toolchain.go_program("1.26.0", Progress()) == str(path / "go")


def test_an_older_go_is_passed_over_for_the_downloaded_one(path: Path, tmp_path: Path) -> None:
    a_go(path, "1.9.7")
    cached = tmp_path / "cache" / "radar-audit" / "cluster" / "go" / "1.26.8" / "bin"
    a_go(cached, "1.26.8")
    assert toolchain.go_program("1.26.0", Progress()) == str(cached / "go")


def test_a_download_that_fails_says_what_to_install(path: Path) -> None:
    with pytest.raises(ClusterError, match=r"Go 1\.26\.8 cannot be downloaded"):
        toolchain.go_program("1.26.0", Progress())


def test_a_go_newer_than_the_one_we_know_is_asked_for(path: Path) -> None:
    with pytest.raises(ClusterError, match=r"install Go 2\.0\.0 or newer"):
        toolchain.go_program("2.0.0", Progress())


def test_the_hash_is_over_names_and_contents_in_order(tmp_path: Path) -> None:
    # As golang.org/x/mod's dirhash computes it.
    for name, files in {"a": ["x", "y"], "b": ["y", "x"]}.items():
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for file in files:
                archive.writestr(f"m@v1/{file}", f"content of {file}")
    assert toolchain.content_hash(tmp_path / "a") == toolchain.content_hash(tmp_path / "b")
    with zipfile.ZipFile(tmp_path / "a", "a") as archive:
        archive.writestr("m@v1/z", "")
    assert toolchain.content_hash(tmp_path / "a") != toolchain.content_hash(tmp_path / "b")


def test_unpacked_programs_can_be_run(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "zip", "w") as archive:
        for name in ("bin/go", "pkg/tool/linux_amd64/link", "src/fmt/print.go"):
            archive.writestr(f"golang.org/toolchain@v0.0.1-go1.linux-amd64/{name}", "text")
    toolchain.unpack(tmp_path / "zip", tmp_path / "go")
    assert os.access(tmp_path / "go" / "bin" / "go", os.X_OK)
    assert os.access(tmp_path / "go" / "pkg" / "tool" / "linux_amd64" / "link", os.X_OK)
    assert sorted(path.name for path in (tmp_path / "go").iterdir()) == ["bin", "pkg", "src"]


def test_the_first_proxy_is_asked() -> None:
    assert toolchain.proxy({"GOPROXY": "off"}) == "https://proxy.golang.org"
    assert toolchain.proxy({"GOPROXY": "https://a.example/,direct"}) == "https://a.example"
    assert (
        toolchain.proxy({"GOPROXY": "https://a.example|https://b.example"}) == "https://a.example"
    )
