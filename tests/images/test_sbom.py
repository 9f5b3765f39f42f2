"""Guards the SBOMs: valid SPDX 2.3 that names exactly what is in an image."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from scripts.images.closure import IMAGES, normal_name, split_closure
from scripts.images.errors import ImageError
from scripts.images.lock import locked_closure
from scripts.images.sbom import sbom

BASE = "docker.io/library/python:3.13-slim-trixie@sha256:" + "a" * 64
_LOCK = """
[[package]]
name = "radar-audit-x"
version = "1"
dependencies = [
    { name = "sound", extra = ["loud"] },
    { name = "old", marker = "python_full_version < '3.12'" },
    { name = "arm", marker = "platform_machine == 'aarch64'" },
]
[[package]]
name = "sound"
version = "2"
sdist = { url = "https://example.com/sound.tar.gz", hash = "sha256:aa" }
[package.optional-dependencies]
loud = [{ name = "horn" }]
[[package]]
name = "horn"
version = "3"
[[package]]
name = "old"
version = "4"
[[package]]
name = "arm"
version = "5"
"""


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    (tmp_path / "uv.lock").write_text(_LOCK)
    return tmp_path / "uv.lock"


@pytest.mark.parametrize("part", IMAGES)
@pytest.mark.parametrize("base", ["", BASE])
def test_a_document_is_valid_spdx(part: str, base: str, tmp_path: Path) -> None:
    path = tmp_path / f"{part}.spdx.json"
    path.write_text(sbom(part, "3.13" if base else "", base), encoding="utf-8")
    document = parse_file(str(path))
    assert not validate_full_spdx_document(document, "SPDX-2.3")
    assert (document.packages[0].name, document.packages[0].version) == (
        f"radar-audit-{part}",
        "0.1.0",
    )


@pytest.mark.parametrize("part", IMAGES)
def test_a_document_names_what_is_in_the_image(part: str) -> None:
    ours, others = split_closure(IMAGES[part])
    installed = {(normal_name(each.name), each.version) for each in (*ours, *others)}
    told = json.loads(sbom(part))["packages"][1:]
    assert {(each["name"], each["versionInfo"]) for each in told} == installed
    for package in told:
        if not package["name"].startswith("radar-audit-"):
            assert len(package["checksums"][0]["checksumValue"]) == 64
            (purl,) = (each["referenceLocator"] for each in package["externalRefs"])
            assert purl == f"pkg:pypi/{package['name']}@{package['versionInfo']}"


def test_every_licence_is_known() -> None:
    told = [package for part in IMAGES for package in json.loads(sbom(part))["packages"]]
    unclear = {each["name"] for each in told if each["licenseDeclared"] == "NOASSERTION"}
    # Jinja2 says "BSD License", of which there are several: it is BSD-3-Clause.
    assert unclear <= {"jinja2"}, "look the licence up, and name the package here with it"


def test_nothing_under_the_gpl_is_shipped() -> None:
    told = [package for part in IMAGES for package in json.loads(sbom(part))["packages"]]
    assert not [each["name"] for each in told if "GPL" in each["licenseDeclared"]]


def test_the_same_lock_gives_the_same_document_and_the_time_that_is_asked_for() -> None:
    assert sbom("hub", environ={}) == sbom("hub", environ={})
    later = json.loads(sbom("hub", environ={"SOURCE_DATE_EPOCH": "1767225600"}))
    assert later["creationInfo"]["created"] == "2026-01-01T00:00:00Z"


def test_the_lock_is_read_for_another_python_and_another_machine(lock: Path) -> None:
    def names(python: str, machine: str) -> list[str]:
        found = locked_closure(["radar-audit-x"], python, machine, lock)
        return [each.name for each in found]

    assert names("3.11", "x86_64") == ["horn", "old", "radar-audit-x", "sound"]
    assert names("3.13", "aarch64") == ["arm", "horn", "radar-audit-x", "sound"]
    sound = locked_closure(["radar-audit-x"], lock=lock)[-1]
    assert (sound.url, sound.sha256) == ("https://example.com/sound.tar.gz", "aa")
    assert sound.needs == (("horn", "3"),)


def test_a_part_that_is_not_locked_is_said_so(lock: Path) -> None:
    with pytest.raises(ImageError, match="0 versions of radar-audit-y, not one"):
        locked_closure(["radar-audit-y"], lock=lock)
