"""A spool, a deliverer and a server that answers as the hub does, wired together.

Owns the wiring that the tests of delivery share. Called by tests only.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
from prometheus_client import CollectorRegistry
from radar_audit_collector.deliver import Deliverer, DeliveryLimits
from radar_audit_collector.hub_client import HubAddress, HubClient, HubToken
from radar_audit_collector.identity import Identity
from radar_audit_collector.metrics import Metrics
from radar_audit_collector.spool import Spool
from radar_audit_collector.spool_records import NewEvent
from radar_audit_events.wire import WireEvent

from tests.support.hub_shaped import TOKEN, HubShaped, running_hub

QUICK = DeliveryLimits(
    batch_events=10,
    linger_seconds=0,
    retry_max_seconds=0.05,
    token_retry_seconds=0.05,
    skew_retry_seconds=0.05,
)


def event(number: int, claimed_org: str | None = None) -> NewEvent:
    wire = WireEvent(
        action="pod.exec_started",
        session_id=f"s{number:05}",
        created_at="2026-11-24T10:00:00.000Z",
        actor_user_id="user_x",
        metadata={"namespace": "demo", "pod": "web"},
    )
    return NewEvent(1_000 + number, claimed_org, msgspec.json.encode(wire))


def names(count: int) -> list[str]:
    return [f"s{number:05}" for number in range(count)]


@dataclass
class Line:
    hub: HubShaped
    spool: Spool
    deliverer: Deliverer
    metrics: Metrics
    identity: Identity

    def counted(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"radar_audit_collector_{name}", labels) or 0

    async def emptied(self) -> None:
        await self.hub.until(lambda: self.spool.stats.events == 0)
        await asyncio.sleep(0)  # the depth is published one turn before the sender goes on
        await asyncio.sleep(0)


@asynccontextmanager
async def line(
    tmp_path: Path,
    *,
    limits: DeliveryLimits = QUICK,
    org_id: str | None = "org_x",
    token: HubToken | None = None,
    timeout_seconds: float = 5.0,
) -> AsyncIterator[Line]:
    async with running_hub() as hub:
        metrics = Metrics(CollectorRegistry())
        spool = Spool(tmp_path / "spool", 64 * 1024 * 1024, on_lost=metrics.lose)
        await spool.open()
        identity = Identity(spool, org_id)
        client = HubClient(
            HubAddress(hub.url, None, timeout_seconds, "test"), token or HubToken(TOKEN)
        )
        await client.open()
        deliverer = Deliverer(spool, client, identity, metrics, "collector-1", limits)
        running = asyncio.create_task(deliverer.run())
        try:
            yield Line(hub, spool, deliverer, metrics, identity)
            assert not running.done()
        finally:
            running.cancel()
            await asyncio.wait([running])
            await client.close()
            await spool.close()
