"""What the page of a cluster says to type is what the collector's program takes."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from radar_audit_collector.main import main
from radar_audit_hub.web.settings.clusters import install_command

from tests.support.hub_builder import ORG, HubUnderTest
from tests.support.pages import Elements, member, reader

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


async def test_only_who_may_connect_a_cluster_is_shown_what_to_type(hub: HubUnderTest) -> None:
    owner = await reader(hub)
    await owner.post(f"/orgs/{ORG}/clusters/new", name="prod", environment="production", labels="")
    links = [one["href"] for one in Elements(await owner.text(f"/orgs/{ORG}/clusters")).all("a")]
    (address,) = [one for one in links if "/clusters/cl_" in one]
    for role in ("owner", "member"):
        assert "radar-values" in await (await member(hub, role)).text(address)
    for role in ("auditor", "viewer"):
        page = await (await member(hub, role)).text(address)
        assert "radar-values" not in page
        assert "an owner or a member of the organization installs the collector" in page
