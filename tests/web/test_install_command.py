"""What the page of a cluster says to type is what the collector's program takes."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from radar_audit_collector.main import main
from radar_audit_hub.web.settings.clusters import install_command

HUB = "https://audit.acme.com"


def test_collector_takes_the_command_that_the_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("before.yaml").write_text("replicaCount: 1\n", encoding="utf-8")
    lines = install_command(HUB).replace("\\\n", "").splitlines()
    (line,) = (one for one in lines if one.startswith("radar-audit-collector "))
    asked = shlex.split(line.partition(" > ")[0])[1:]
    assert main(asked) == 0
    merged = capsys.readouterr().out
    assert "replicaCount: 1" in merged
    assert HUB in merged
