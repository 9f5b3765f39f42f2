"""Guards the probe server as a kubelet and a Prometheus see it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Counter
from radar_audit_runtime.probes import Check, Probes


class Part:
    """A part with two checks whose answers the test chooses."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.spool: Check = lambda: True
        self.hub_answers = True
        checks: dict[str, Check] = {"spool": self.spool_check, "hub": self.hub}
        self.probes = Probes("collector", "1.2.3", self.registry, checks)
        self.address = ""

    def spool_check(self) -> bool | Awaitable[bool]:
        return self.spool()

    async def hub(self) -> bool:
        return self.hub_answers

    async def get(self, path: str, accept: str = "*/*") -> tuple[int, str]:
        async with (
            aiohttp.ClientSession(headers={"Accept": accept}) as session,
            session.get(self.address + path) as answer,
        ):
            return answer.status, await answer.text()


@pytest.fixture
async def part() -> AsyncIterator[Part]:
    part = Part()
    part.address = f"http://127.0.0.1:{await part.probes.start('127.0.0.1', 0)}"
    yield part
    await part.probes.stop()


async def test_ready_while_every_check_passes(part: Part) -> None:
    assert await part.get("/readyz") == (200, "ok\n")


async def test_unready_names_the_failing_checks_and_stays_alive(part: Part) -> None:
    part.hub_answers = False
    part.spool = lambda: False
    assert await part.get("/readyz") == (503, "failing: spool, hub\n")
    assert await part.get("/livez") == (200, "ok\n")


async def test_a_check_that_breaks_is_a_failing_check(part: Part) -> None:
    def broken() -> bool:
        raise RuntimeError("CANARY")

    part.spool = broken
    status, text = await part.get("/readyz")
    assert (status, text) == (503, "failing: spool\n")


@pytest.mark.parametrize("accept", ["*/*", "application/openmetrics-text; version=1.0.0"])
async def test_metrics_say_the_version_and_have_no_created_series(part: Part, accept: str) -> None:
    Counter("seen", "Things seen", registry=part.registry).inc(2)
    status, text = await part.get("/metrics", accept)
    assert status == 200
    assert 'radar_audit_build_info{component="collector",version="1.2.3"} 1.0' in text
    assert "seen_total 2.0" in text
    assert "_created" not in text


async def test_stop_without_start_is_harmless() -> None:
    await Probes("hub", "1", CollectorRegistry(), {}).stop()
