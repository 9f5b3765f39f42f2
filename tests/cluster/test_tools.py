"""Guards that helm is the pinned one and that a missing program is said with what to type."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.cluster import tools
from tests.cluster.errors import ClusterError
from tests.support import debian_programs
from tests.support.debian_programs import ProgramMissingError


@pytest.fixture
def module(tmp_path: Path) -> Path:
    shutil.copytree(tools.HELM_MODULE, tmp_path / "helm")
    return tmp_path / "helm"


def test_helm_is_pinned_with_hashes() -> None:
    version = tools.helm_version()
    assert re.fullmatch(r"v3\.\d+\.\d+", version)
    sums = (tools.HELM_MODULE / "go.sum").read_text(encoding="utf-8")
    assert f"helm.sh/helm/v3 {version} h1:" in sums


@pytest.mark.parametrize("name", ["go.mod", "go.sum"])
def test_a_changed_module_is_another_helm(module: Path, name: str) -> None:
    before = tools._helm_target(module)
    with (module / name).open("a", encoding="utf-8") as file:
        file.write("\n")
    assert tools._helm_target(module) != before


def test_a_helm_that_is_built_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "/nowhere")  # a build would find no Go to start
    built = tools._helm_target(tools.HELM_MODULE)
    built.parent.mkdir(parents=True)
    built.touch()
    assert tools.helm_path() == built


def test_a_module_without_helm_is_said_so(module: Path) -> None:
    (module / "go.mod").write_text("module other\n", encoding="utf-8")
    with pytest.raises(ClusterError, match="has no line like"):
        tools.helm_version(module)


def test_a_program_that_cannot_be_had_is_said_with_the_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(debian_programs, "_SYSTEM", ())
    with pytest.raises(ClusterError, match="apt-get install -y prometheus"):
        tools.promtool_path()
    with pytest.raises(ProgramMissingError):
        debian_programs.unpacked("prometheus", "prometheus")
