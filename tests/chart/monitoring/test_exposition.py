"""Guards what a scrape gets: promtool has nothing to say, and no caller can add series at will."""

from __future__ import annotations

import os
from pathlib import Path

import aiohttp
import pytest
from prometheus_client import CollectorRegistry
from radar_audit_runtime.probes import Probes

from scripts import metrics_docs
from tests.chart.monitoring.metric_names import sample_names
from tests.chart.monitoring.promtool import run
from tests.support.hub_builder import HubUnderTest, running_hub

_ROUND = 60


async def scrape(component: str, registry: CollectorRegistry) -> str:
    """Return what the probe server of a part answers to Prometheus."""
    probes = Probes(component, "1.2.3", registry, {})
    port = await probes.start("127.0.0.1", 0)
    try:
        async with (
            aiohttp.ClientSession() as client,
            client.get(f"http://127.0.0.1:{port}/metrics") as answer,
        ):
            return await answer.text()
    finally:
        await probes.stop()


@pytest.mark.parametrize("part", sorted(metrics_docs.bare_registries()))
async def test_promtool_has_nothing_to_say_of_a_parts_metrics(part: str) -> None:
    text = await scrape(part, metrics_docs.bare_registries()[part])
    done = run("check", "metrics", stdin=text)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    assert "_created" not in text
    assert f'radar_audit_build_info{{component="{part}",version="1.2.3"}} 1.0' in text
    shown = {line.split("{")[0].split(" ")[0] for line in text.splitlines() if line[0] != "#"}
    assert shown <= sample_names()


async def test_no_caller_of_the_hub_can_add_series_at_will(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'hub.db'}"
    async with running_hub(url, migrated=False) as hub:
        await strange_requests(hub, "first")
        before = series(hub)
        await strange_requests(hub, "second")
        assert series(hub) == before
        told = await scrape("hub", hub.hub.metrics.registry)
    assert "first" not in told
    assert run("check", "metrics", stdin=told).returncode == 0


def series(hub: HubUnderTest) -> set[str]:
    return {
        f"{sample.name}{sorted(sample.labels.items())}"
        for metric in hub.hub.metrics.registry.collect()
        for sample in metric.samples
    }


async def strange_requests(hub: HubUnderTest, word: str) -> None:
    """Ask for what is there and what is not, with names, methods and tokens that nobody knows."""
    for number in range(_ROUND):
        name = f"{word}-{number}-{os.urandom(3).hex()}"
        await hub.get(f"/{name}")
        await hub.get(f"/api/orgs/{name}/audit", params={"actor": name})
        await hub.get(f"/api/orgs/{name}/audit", token=f"rhp_{name}")
        await hub.get(f"/api/orgs/org_x/audit/{name}")
        await hub.get("", params={"q": f"actor:{name}"})
        await hub.get("", params={name: name})
        await hub.send(word.upper() + str(number), "/api/orgs/org_x/audit")
        await hub.send("POST", "/api/ingest/events", token=f"rhc_{name}", json={name: name})
