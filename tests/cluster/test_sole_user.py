"""Guards that one run at a time uses the clusters of a family, and that it ends what is left."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cluster import machine
from tests.cluster.errors import ClusterError


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_a_second_run_is_told_which_process_it_has_to_wait_for() -> None:
    with machine.sole_user("e2e"):
        with pytest.raises(ClusterError, match=f"process {os.getpid()} uses the clusters e2e-"):
            machine.sole_user("e2e").__enter__()
        with machine.sole_user("other"):
            pass
    with machine.sole_user("e2e"):
        pass


def test_what_an_earlier_run_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    running = tmp_path / "radar-audit" / "cluster" / "running"
    for name in ("e2e-left", "main"):
        (running / name / "log").mkdir(parents=True)
    with machine.sole_user("e2e"):
        assert machine.names() == ("main",)
