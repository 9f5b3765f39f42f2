"""Guards what an image holds: its part's closure and no more, made the same way each time."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from scripts.images.build import build, forget_old
from scripts.images.closure import IMAGES, split_closure
from scripts.images.errors import ImageError
from scripts.images.layers import packages_layer, parts_layer, shared_libraries
from tests.cluster.python_image import PARTS

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


def names_of(part: str) -> set[str]:
    ours, others = split_closure(IMAGES[part])
    return {found.name.lower() for found in (*ours, *others)}


@pytest.mark.parametrize(
    "part, has, lacks",
    [
        ("collector", {"aiohttp", "msgspec"}, {"sqlalchemy", "alembic", "kopf", "kubernetes"}),
        ("hub", {"sqlalchemy", "asyncpg", "click"}, {"kopf", "kubernetes"}),
        ("operator", {"kopf", "kubernetes"}, {"sqlalchemy", "alembic", "jinja2"}),
    ],
)
def test_an_image_holds_its_own_closure(part: str, has: set[str], lacks: set[str]) -> None:
    names = names_of(part)
    assert names >= has | {f"radar-audit-{part}", "radar-audit-events", "radar-audit-runtime"}
    assert not names & lacks
    assert not names & {"pytest", "hypothesis", "mypy", "ruff", "pip", "setuptools"}
    others = {f"radar-audit-{each}" for each in IMAGES} - {f"radar-audit-{part}"}
    assert not names & others


def test_the_image_of_the_tests_holds_every_part_that_they_run() -> None:
    ours, _ = split_closure(PARTS)
    assert {found.name for found in ours} >= {*PARTS, "radar-audit-events", "radar-audit-runtime"}


def test_the_hubs_image_has_the_command_line_in_it(tmp_path: Path) -> None:
    ours, _ = split_closure(IMAGES["hub"])
    with tarfile.open(parts_layer(tmp_path, ours).path) as opened:
        found = {entry.name: entry.mode for entry in opened}
    for program in ("radar-audit-hub", "radar-audit"):
        assert found[f"usr/local/bin/{program}"] == 0o755


def test_the_layers_of_a_part_are_the_same_bytes_each_time(tmp_path: Path) -> None:
    ours, others = split_closure(IMAGES["collector"])
    (tmp_path / "other").mkdir()
    made = [
        (packages_layer(folder, others).digest, parts_layer(folder, ours).digest)
        for folder in (tmp_path, tmp_path / "other")
    ]
    assert made[0] == made[1]


def test_a_module_is_compiled_and_is_not_looked_at_again(tmp_path: Path) -> None:
    ours, _ = split_closure(IMAGES["collector"])
    content = io.BytesIO(parts_layer(tmp_path, ours).path.read_bytes())
    with tarfile.open(fileobj=content) as opened:
        compiled = [
            file.read(8)
            for entry in opened
            if entry.name.endswith(".pyc") and (file := opened.extractfile(entry))
        ]
        sources = [entry for entry in opened.getnames() if entry.endswith(".py")]
    assert len(compiled) == len(sources) > 50
    assert {flags[4:] for flags in compiled} == {b"\x01\0\0\0"}  # by hash, unchecked (PEP 552)


def test_a_part_that_is_not_installed_is_said_so() -> None:
    with pytest.raises(ImageError, match="radar-audit-nothing is not installed"):
        split_closure(["radar-audit-nothing"])


def test_an_image_that_there_is_not_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no image server; there are collector, hub, operator"):
        build("server", tmp_path, tmp_path)


def test_shared_libraries_are_the_files_that_ldd_found() -> None:
    assert shared_libraries(_LDD) == {
        Path("/lib/x86_64-linux-gnu/libm.so.6"),
        Path("/lib64/ld-linux-x86-64.so.2"),
    }


def test_only_the_last_used_layers_are_kept(tmp_path: Path) -> None:
    layers = [tmp_path / f"parts-{number}.layer" for number in range(10)]
    other = tmp_path / "busybox.layer"
    for age, path in enumerate([*layers, other]):
        path.touch()
        os.utime(path, (0, 1000 - age))
    forget_old(tmp_path, [layers[9]])
    assert sorted(tmp_path.iterdir()) == sorted([layers[9], *layers[:7], other])
