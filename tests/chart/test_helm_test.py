"""Guards the program that `helm test` runs in a pod: it passes only if the hub stores and knows."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.chart.rendering import CHART, Helm
from tests.cluster.tools import BUILD_SECONDS
from tests.support.hub_builder import ORG, HubUnderTest, running_hub

PROGRAM = CHART / "files" / "helm-test" / "post_and_read_back.py"
POD = "radar-audit-test"


@pytest_asyncio.fixture
async def hub(tmp_path: Path) -> AsyncIterator[HubUnderTest]:
    async with running_hub(f"sqlite:///{tmp_path}/hub.db", migrated=False) as running:
        running.clock.now_ms = int(time.time() * 1000)
        yield running


async def run(tmp_path: Path, url: str, token: str, reader: str = "") -> tuple[int, str, str]:
    """Run the program as the pod does, with no more than the pod's variables."""
    environ = {"HUB_URL": url, "POD": POD, "NAMESPACE": "radar-audit"}
    for name, text in {"TOKEN_FILE": token, "READER_TOKEN_FILE": reader}.items():
        if text:
            file = tmp_path / name
            await asyncio.to_thread(file.write_text, text)
            environ |= {name: str(file), "ORG_ID": ORG}
    pipe = asyncio.subprocess.PIPE
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-I", str(PROGRAM), env=environ, stdout=pipe, stderr=pipe
    )
    out, err = await started.communicate()
    assert started.returncode is not None
    return started.returncode, out.decode(), err.decode()


async def test_it_passes_once_the_terminal_is_stored_and_found(
    hub: HubUnderTest, tmp_path: Path
) -> None:
    token = await hub.add_cluster()
    code, out, err = await run(tmp_path, hub.url, token, hub.owner)
    assert (code, err) == (0, "")
    assert "found in the log" in out
    events = (await hub.get("")).json["events"]
    assert [each["action"] for each in events] == ["pod.exec_ended", "pod.exec_started"]
    assert {each["target_id"] for each in events} == {f"cl_1/radar-audit/{POD}"}
    assert all(each["id"] in out for each in events)


async def test_without_a_readers_token_the_store_is_asked_by_a_repeat(
    hub: HubUnderTest, tmp_path: Path
) -> None:
    code, out, _ = await run(tmp_path, hub.url, await hub.add_cluster())
    assert code == 0
    assert "posted and read back" in out
    assert "found in the log" not in out


async def test_it_fails_with_what_the_hub_says(hub: HubUnderTest, tmp_path: Path) -> None:
    code, _, err = await run(tmp_path, hub.url, "rhc_wrong")
    assert code == 1
    assert f"{hub.url}/api/ingest/events answers: 401" in err
    assert "rhc_wrong" not in err


async def test_it_fails_where_the_hub_takes_no_event(hub: HubUnderTest, tmp_path: Path) -> None:
    hub.clock.now_ms -= 3_600_000  # the hub's clock is behind: what comes is ahead of it
    code, _, err = await run(tmp_path, hub.url, await hub.add_cluster())
    assert code == 1
    assert "clock_skew" in err


async def test_a_reader_of_another_log_finds_nothing(hub: HubUnderTest, tmp_path: Path) -> None:
    await hub.add_org("org_other")
    stranger = await hub.add_person("org_other")
    code, _, err = await run(tmp_path, hub.url, await hub.add_cluster(), stranger)
    assert code == 1
    assert "404" in err


@pytest.mark.timeout(BUILD_SECONDS)
def test_the_pod_gives_it_what_it_reads(helm: Helm) -> None:
    text = PROGRAM.read_text(encoding="utf-8")
    rendered = helm.render("existing-secrets")
    pod = rendered.one("Pod", POD)["spec"]
    (container,) = pod["containers"]
    assert rendered.one("ConfigMap", POD)["data"][PROGRAM.name] == text
    names = {each["name"] for each in container["env"]}
    assert all(name in text for name in names)
    assert names == {"HUB_URL", "TOKEN_FILE", "POD", "NAMESPACE", "READER_TOKEN_FILE", "ORG_ID"}


@pytest.mark.timeout(BUILD_SECONDS)
def test_there_is_no_pod_where_none_is_wanted(helm: Helm) -> None:
    assert not helm.render({"tests": {"enabled": False}}).of("Pod")
