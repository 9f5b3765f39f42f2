"""Fixtures of the command line's tests: a hub, and two ways to run the program."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from radar_audit_cli.main import run

from tests.cli.contract_hub import TOKEN, ContractHub
from tests.cli.kubectl_stand_in import KubectlStandIn, well

PROGRAM = str(Path(sys.executable).with_name("radar-audit"))


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


Cli = Callable[..., Result]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("RADAR_AUDIT_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("TZ", "UTC")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[ContractHub]:
    with ContractHub() as running:
        monkeypatch.setenv("RADAR_AUDIT_URL", running.url)
        monkeypatch.setenv("RADAR_AUDIT_TOKEN", TOKEN)
        yield running


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Run a command line in this process."""

    def runs(*arguments: str, stdin: str = "") -> Result:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        code = run(arguments)
        captured = capfd.readouterr()
        return Result(code, captured.out, captured.err)

    return runs


@pytest.fixture
def program() -> Cli:
    """Run a command line as its own process, as people do."""

    def runs(*arguments: str, stdin: str = "") -> Result:
        done = subprocess.run(
            [PROGRAM, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return runs


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KubectlStandIn:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return KubectlStandIn(folder, well())
