"""Nothing acknowledged is lost and nothing is stored twice, whoever is killed when."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.killing import disk_filler, killer, survive

KILLS = 60  # for each database: 120 in all
_SMALL_DISK = "24m"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with little room, for the collector's data; needs root."""
    folder = tmp_path / "collector"
    folder.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={_SMALL_DISK},mode=700", "tmpfs", folder], check=True
    )
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.timeout(500)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_every_session_has_exactly_its_rows_after_many_kills(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = (
        f"sqlite:///{tmp_path}/hub.db"
        if kind == "sqlite"
        else str(request.getfixturevalue("postgres_dsn"))
    )
    end = await survive(
        tmp_path, url, killer(KILLS, 7), requests=800, life_seconds=KILLS * 0.8, seed=20261125
    )
    print(f"{kind}: killed {dict(end.harm)}, faults {dict(end.faults)}")  # noqa: T201 - figures for the reader
    assert end.found == end.expected
    assert end.seqs == list(range(len(end.seqs)))
    assert end.harm.total() == KILLS
    assert min(end.harm["hub"], end.harm["collector"]) > KILLS // 4


@pytest.mark.timeout(400)
async def test_a_full_disk_under_the_spool_loses_nothing(tmp_path: Path, small_disk: Path) -> None:
    end = await survive(
        tmp_path,
        f"sqlite:///{tmp_path}/hub.db",
        disk_filler(small_disk, 4),
        requests=600,
        life_seconds=30,
        seed=11,
    )
    print(f"full disk: {dict(end.harm)}, faults {dict(end.faults)}")  # noqa: T201 - figures for the reader
    assert end.found == end.expected
    assert end.harm["noticed"] == end.harm["filled"]
