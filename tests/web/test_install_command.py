"""What the page of a cluster says to type is what the collector's program takes."""

from __future__ import annotations

import shlex
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from radar_audit_collector.main import main
from radar_audit_hub.web.settings.installing import install_command, installing

from tests.support.browsers import COOKIE
from tests.support.hub_builder import ORG, HubUnderTest, running_hub, settings_for
from tests.support.pages import Elements, Reader, member, reader
from tests.support.visitor import SESSION

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


def test_a_second_token_takes_the_place_of_the_first() -> None:
    """`kubectl create secret` alone is refused where the Secret is there already."""
    lines = install_command(HUB).replace("\\\n", "").splitlines()
    (line,) = (one for one in lines if "create secret" in one)
    made, pipe, applied = line.partition(" | ")
    assert {"--dry-run=client", "-o", "yaml"} <= set(shlex.split(made))
    assert (pipe, applied) == (" | ", "kubectl apply -f -")


@pytest.mark.parametrize(
    ("public_url", "is_reached"),
    [
        ("http://127.0.0.1:8080", False),
        ("https://127.9.9.9", False),
        ("http://[::1]:8080", False),
        ("http://localhost:8080", False),
        ("https://hub.localhost", False),
        ("https://audit.acme.com", True),
        ("https://10.0.0.1:8080", True),
    ],
)
def test_a_loopback_address_is_no_way_for_collectors(public_url: str, is_reached: bool) -> None:
    told = installing(settings_for("sqlite:///log.db", public_url=public_url), "cl_1")
    assert (told.command is not None) == is_reached
    assert (told.instead is None) == is_reached
    assert is_reached or "hub.publicUrl" in str(told.instead)


def test_the_hubs_own_cluster_has_its_own_way() -> None:
    settings = settings_for("sqlite:///log.db", public_url=HUB)
    settings = replace(
        settings,
        kubernetes=replace(settings.kubernetes, login=True, collectors=("radar/radar",)),
        bootstrap=replace(settings.bootstrap, cluster_id="cl_own"),
    )
    assert "helm get notes" in str(installing(settings, "cl_own").instead)
    assert installing(settings, "cl_other").command == install_command(HUB)


@pytest.fixture
async def known(sqlite_url: str) -> AsyncIterator[HubUnderTest]:
    """A hub that collectors elsewhere reach."""
    async with running_hub(sqlite_url, migrated=True, public_url=HUB) as running:
        yield running


def _by_https(person: Reader) -> Reader:
    """Give a person's session the name that it has at a hub which is known by https."""
    return replace(person, cookies={SESSION: person.cookies[COOKIE]})


async def _new_cluster(owner: Reader) -> str:
    """Connect a cluster by the pages; return the address of its page."""
    await owner.post(f"/orgs/{ORG}/clusters/new", name="prod", environment="production", labels="")
    links = [one["href"] for one in Elements(await owner.text(f"/orgs/{ORG}/clusters")).all("a")]
    (address,) = [one for one in links if "/clusters/cl_" in one]
    return address


async def test_the_page_of_a_hub_on_loopback_shows_no_command(hub: HubUnderTest) -> None:
    owner = await reader(hub)
    page = await owner.text(await _new_cluster(owner))
    assert "radar-values" not in page
    assert "Set hub.publicUrl" in page


async def test_the_page_says_that_an_upgrade_is_the_admins_work(hub: HubUnderTest) -> None:
    owner = await reader(hub)
    page = await owner.text(await _new_cluster(owner))
    assert "upgrade the chart there" in page
    assert "The operator brings it" not in page


async def test_only_who_may_connect_a_cluster_is_shown_what_to_type(known: HubUnderTest) -> None:
    address = await _new_cluster(_by_https(await reader(known)))
    for role in ("owner", "member"):
        assert "radar-values" in await _by_https(await member(known, role)).text(address)
    for role in ("auditor", "viewer"):
        page = await _by_https(await member(known, role)).text(address)
        assert "radar-values" not in page
        assert "an owner or a member of the organization installs the collector" in page
