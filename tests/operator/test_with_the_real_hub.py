"""Guards that the operator and the hub mean the same: an AuditPolicy takes effect in the log."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_asyncio
import trustme

from tests.support.agent_api import AgentApi
from tests.support.api_server import ApiServer
from tests.support.crd_checker import BUILD_SECONDS, CrdChecker
from tests.support.hub_builder import ORG, HubUnderTest, running_hub
from tests.support.log_rows import DAY_MS, make_event
from tests.support.operator_world import (
    OWN,
    WAIT_SECONDS,
    OperatorWorld,
    alerts,
    changed,
    policy,
    secret,
)
from tests.support.policy_agents import AGENT_SCOPES, collector_beat
from tests.support.tls_front import tls_front

pytestmark = pytest.mark.timeout(BUILD_SECONDS)
CLUSTER = "cl_1"
OWNER = f"k8s:{CLUSTER}:{OWN}:main"


@dataclass
class Served:
    """The hub in the place of the stand-in: where it is, and nothing to count."""

    url: str
    asked: list[Any] = field(default_factory=list)
    sent: list[Any] = field(default_factory=list)

    async def stop(self) -> None:
        """Leave it to its own context."""


@dataclass
class Both:
    """The operator's world and the hub itself."""

    world: OperatorWorld
    hub: HubUnderTest
    token: str

    async def shown(self) -> Any:
        """Return what an owner of the org sees of the policy."""
        return (await self.hub.get("policy")).json


@pytest_asyncio.fixture
async def both(checker: CrdChecker, tmp_path: Path) -> AsyncIterator[Both]:
    authority = trustme.CA()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    bundle = base64.b64encode(authority.cert_pem.bytes()).decode()
    async with (
        running_hub(f"sqlite:///{tmp_path / 'hub.db'}", migrated=False) as hub,
        tls_front(hub.port, tls) as port,
    ):
        token = await hub.add_cluster(ORG, CLUSTER, AGENT_SCOPES)
        api = ApiServer(checker)
        await api.start()
        served = Served(f"https://127.0.0.1:{port}")
        world = OperatorWorld(api, cast("AgentApi", served), tmp_path, bundle)
        try:
            await world.install(organization=ORG, clusterId=CLUSTER)
            await api.apply(secret(OWN, "hub-token", token=token))
            await world.start()
            yield Both(world, hub, token)
        finally:
            await world.close()


async def test_a_policy_is_in_force_in_the_log(both: Both) -> None:
    world, hub = both.world, both.hub
    now_ms = hub.clock.now_ms
    await hub.append(
        *(
            make_event(n, created_at_ms=now_ms - age * DAY_MS, cluster_id=CLUSTER)
            for n, age in enumerate((1, 20, 40))
        )
    )
    await world.api.apply(policy(retention={"maxAge": "30d", "shrinkDelay": "0h"}))
    await world.until_says("True/Synced")
    assert world.status()["retention"]["effective"] == "30d"
    assert len((await hub.get("?action=pod.*")).json["events"]) == 2
    (key,) = [key for key in (await both.shown())["keys"] if key["key"] != "org"]
    assert (key["holder"]["owner_id"], key["effective_hours"]) == (OWNER, 720)


async def test_a_shorter_age_is_shown_with_what_it_would_delete(both: Both) -> None:
    world, hub = both.world, both.hub
    await hub.append(
        make_event(1, created_at_ms=hub.clock.now_ms - 60 * DAY_MS, cluster_id=CLUSTER)
    )
    await world.api.apply(policy())
    await world.until_says("True/Synced")
    status = world.status()["retention"]
    assert status["pending"]["wouldDelete"] == 1
    assert world.says("RetentionEffective") == "False/ShrinkPending"


async def test_a_dry_run_says_what_its_alerts_would_have_sent(both: Both) -> None:
    world, hub = both.world, both.hub
    now_ms = hub.clock.now_ms
    await hub.append(
        *(
            make_event(
                n, action="pod.exec_started", created_at_ms=now_ms - n * 1000, cluster_id=CLUSTER
            )
            for n in range(1, 4)
        )
    )
    await world.api.apply(secret(OWN, "alerts", url="https://hooks.example.com/x"))
    await world.api.apply(policy(mode="DryRun", notifications=alerts()))
    await world.until_says("True/DryRun")
    (ready,) = [one for one in world.status()["conditions"] if one["type"] == "Ready"]
    assert "would have sent 3 to each destination (shells 3)" in ready["message"]
    assert OWNER not in [owner["owner_id"] for owner in (await both.shown())["owners"]]


async def test_wrong_query_secret_and_deletion_mean_the_same_to_both(both: Both) -> None:
    world = both.world
    await world.api.apply(secret(OWN, "alerts", url="https://hooks.example.com/canary"))
    await world.api.apply(policy(notifications=alerts(query="nope:x")))
    await world.until(lambda: world.says("Accepted") == "False/InvalidQuery")
    await world.api.apply(policy(notifications=alerts(query="namespace:prod")))
    await world.until_says("True/Synced")
    assert [owner["owner_id"] for owner in (await both.shown())["owners"]][-1] == OWNER
    assert b"canary" not in (await both.hub.get("policy")).body
    await world.api.delete("auditpolicies", OWN, "main")

    async def is_gone() -> bool:
        return OWNER not in [owner["owner_id"] for owner in (await both.shown())["owners"]]

    for _ in range(1000):
        if await is_gone():
            break
        await world.settle(next(app for app, _ in world._running))
    assert await is_gone()


async def test_capture_settings_are_applied_once_the_collectors_say_so(both: Both) -> None:
    world, hub = both.world, both.hub
    asked = world.audit_hub(organization=ORG, clusterId=CLUSTER, capture={"attach": True})
    await world.api.apply(asked)
    beat = collector_beat()
    answer: Any = {"capture": None}
    async with asyncio.timeout(WAIT_SECONDS):
        while answer["capture"] is None:
            sent = await hub.send("POST", "/api/agent/heartbeat", token=both.token, json=beat)
            answer = sent.json
    assert answer["capture"]["attach"] is True
    await world.api.apply(changed(asked, sync_now="1"))
    await world.until(lambda: world.hub_says("CaptureApplied").startswith("False"))
    beat["capture_hash"] = answer["capture_etag"]
    await hub.send("POST", "/api/agent/heartbeat", token=both.token, json=beat)
    await world.api.apply(changed(asked, sync_now="2"))
    await world.until(lambda: world.hub_says("CaptureApplied").startswith("True"))
