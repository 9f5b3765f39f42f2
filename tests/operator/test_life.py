"""Guards the operator's life: two replicas, a restarted API server, kills, what it sees beside."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from typing import Any

import pytest
from radar_audit_events.policy_answers import CollectorState
from radar_audit_events.policy_wire import CaptureSettings, capture_etag
from radar_audit_operator import lease
from radar_audit_operator.app import App
from radar_audit_operator.permissions import PERMISSIONS

from tests.support.agent_api import CLUSTER
from tests.support.crd_checker import BUILD_SECONDS
from tests.support.operator_world import (
    OWN,
    SETTINGS,
    OperatorWorld,
    alerts,
    policy,
    secret,
    with_lease,
)

pytestmark = pytest.mark.timeout(BUILD_SECONDS)
_TURNS, _MANY = 5, 60  # short forms of the e2e tests
OWNER = f"k8s:{CLUSTER}:{OWN}:main"


async def test_one_of_two_replicas_works_and_the_other_takes_over(
    world: OperatorWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No pause of this machine is to be the holder's silence, and yet a free Lease is seen at once.
    monkeypatch.setattr(lease, "_RENEW_PART", 300.0)
    await world.install()
    first = await world.start(with_lease("one", seconds=60))
    await world.until(lambda: first.active is not None and first.active.is_ready())
    second = await world.start(with_lease("two", seconds=60))
    await world.until(second._is_connected)
    await world.api.apply(policy())
    await world.until_says("True/Synced")
    assert second.active is None
    await world.end(first)  # gives the Lease up
    await world.until(lambda: second.active is not None and second.active.is_ready())
    await world.api.apply(policy(retention={"maxAge": "29d"}))
    await world.until(lambda: world.status()["observedGeneration"] == 2)


async def test_a_lost_lease_is_standing_by_and_no_end(world: OperatorWorld) -> None:
    await world.install()
    app = await world.start(with_lease("one"))
    await world.until(lambda: app.active is not None and app.active.is_ready())
    held = world.api.get("leases", OWN, "radar-audit-operator")
    taken = {**held, "spec": {**held["spec"], "holderIdentity": "thief"}}
    await world.api._store("leases", taken, held)
    await world.until(lambda: app.active is None)
    await world.until(lambda: app.active is not None and app.active.is_ready())  # it fell silent


async def test_an_api_server_that_restarts_ends_nothing(world: OperatorWorld) -> None:
    await world.install()
    await world.api.apply(secret(OWN, "alerts", url="https://hooks.example.com/x"))
    app = await world.start()
    await world.api.apply(policy(notifications=alerts()))
    await world.until_says("True/Synced")
    await world.settle(app)
    puts = len(world.hub.puts(OWNER))
    await world.api.stop()
    await asyncio.sleep(0.2)
    await world.api.start()
    await world.api.apply(policy(retention={"maxAge": "28d"}, notifications=alerts()))
    await world.until(lambda: world.status()["observedGeneration"] == 2)
    assert len(world.hub.puts(OWNER)) == puts + 1


async def test_expired_watches_and_missed_deletions_are_made_good(world: OperatorWorld) -> None:
    await world.install()
    app = await world.start()
    await world.api.apply(policy())
    await world.until_says("True/Synced")
    gone = world.api.objects["auditpolicies"].pop((OWN, "main"))  # and no event tells of it
    world.api.faults.expired_watches = 2
    world.api.cut_watches()
    await world.api.apply(policy("other", OWN))
    await world.until(lambda: "other" in str(world.hub.state.owners))
    await world.compare(app)
    await world.until(lambda: OWNER not in world.hub.state.owners)
    assert gone["metadata"]["name"] == "main"


async def test_a_list_that_cannot_be_read_releases_nobody(world: OperatorWorld) -> None:
    await world.install()
    world.hub.state.release_gap_ms = 0
    app = await world.start()
    await world.api.apply(policy())
    await world.until_says("True/Synced")
    await world.until(lambda: len(world.hub.heartbeats) == 1)
    world.api.faults.forbidden.add("auditpolicies")
    for _ in range(3):
        await world.compare(app)
    assert [beat.is_complete for beat in world.hub.heartbeats] == [True, False, False, False]
    assert OWNER in world.hub.state.owners


async def test_a_mass_release_is_blocked_and_told(world: OperatorWorld) -> None:
    await world.install()
    app = await world.start()
    for name in ("main", "b", "c", "d"):
        await world.api.apply(policy(name, OWN))
    await world.until(lambda: all(world.says(name=name) for name in ("main", "b", "c", "d")))
    await world.end(app)
    world.hub.state.release_gap_ms = 0
    for name in ("b", "c", "d"):  # an older etcd: the objects are gone, nobody deleted them
        del world.api.objects["auditpolicies"][OWN, name]
    await world.start()
    await world.until(lambda: world.events("MassReleaseBlocked") != [])
    assert len(world.hub.state.owners) == 5


async def test_killed_at_any_moment_it_converges_with_one_change_in_all(
    world: OperatorWorld,
) -> None:
    """Each await of a reconcile may be the last: the next start begins anew and changes nothing."""
    await world.install()
    await world.api.apply(secret(OWN, "alerts", url="https://hooks.example.com/x"))
    luck = random.Random(6)
    for turn in range(_TURNS):
        raw = policy(retention={"maxAge": f"{20 + turn}d"}, notifications=alerts())
        await world.api.apply(raw)
        app = App(SETTINGS, "0.1.0", world.api.write_kubeconfig(world.folder))
        running = asyncio.create_task(app.run())
        await asyncio.sleep(luck.uniform(0.05, 0.6))
        if app.active is not None:  # no draining: tasks just end where they are
            for task in tuple(app.active._tasks._running.values()):
                task.cancel()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await app.drain()
    last = await world.start()
    await world.until(lambda: world.status().get("observedGeneration") == _TURNS)
    await world.until_says("True/Synced")
    await world.settle(last)
    document = world.hub.state.owners[OWNER].document
    assert document.generation == _TURNS
    assert world.hub.state.accepted <= _TURNS + 1  # one per generation at most, and the AuditHub's
    assert not world.api.get("auditpolicies", OWN, "main")["metadata"].get("finalizers")


async def test_capture_settings_reach_the_hub_and_collectors_are_counted(
    world: OperatorWorld,
) -> None:
    wanted = CaptureSettings(attach=True, failure_policy="required")
    capture = {"attach": True, "failurePolicy": "Required"}
    await world.install(capture=capture)
    app = await world.start()
    await world.until(lambda: world.hub_says("CaptureApplied") == "Unknown/NoCollectors")
    assert world.hub.state.owners[f"k8s:{CLUSTER}:-:main"].document.capture == wanted
    etag = capture_etag(wanted)

    def collector(name: str, *, is_healthy: bool, echo: str) -> CollectorState:
        return CollectorState(
            collector_id=name,
            version="1",
            last_seen_at="T",
            is_healthy=is_healthy,
            capture_hash=echo,
        )

    world.hub.state.collectors = [collector("a", is_healthy=False, echo=etag)]
    await world.compare(app)
    await world.until(lambda: world.hub_says("CaptureApplied") == "False/UnsafeRequired")
    world.hub.state.collectors = [
        collector("a", is_healthy=True, echo=etag),
        collector("b", is_healthy=True, echo=etag),
    ]
    await world.compare(app)
    await world.until(lambda: world.hub_says("CaptureApplied") == "True/Applied")
    assert world.hub_status()["collectors"]["summary"] == "2/2"


async def test_a_radar_pod_without_the_gateway_is_seen_and_told(world: OperatorWorld) -> None:
    await world.install()
    app = await world.start()
    env = [{"name": "KUBERNETES_SERVICE_HOST", "value": "127.0.0.1"}]
    good = {
        "containers": [{"name": "radar", "env": env}],
        "initContainers": [{"name": "radar-audit"}],
    }

    def pod(name: str, spec: dict[str, Any]) -> dict[str, Any]:
        labels = {"app.kubernetes.io/name": "radar"}
        return {
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "radar", "labels": labels},
            "spec": spec,
        }

    await world.api.apply(pod("a", good))
    await world.until(lambda: world.hub_says("GatewayPresent") == "True/AllPods")
    await world.api.apply(pod("b", {"containers": [{"name": "radar"}]}))
    await world.until(lambda: world.hub_says("GatewayPresent") == "False/GatewayMissing")
    assert world.hub_status()["radar"] == {"summary": "1/2", "withoutGateway": ["radar/b"]}
    assert world.hub_says() == "True/Connected"
    await world.until(lambda: world.events("GatewayMissing") != [])
    await world.compare(app)
    await world.until(
        lambda: any(b.radar and b.radar.without_gateway for b in world.hub.heartbeats)
    )
    await world.api.delete("pods", "radar", "b")
    await world.until(lambda: world.hub_says("GatewayPresent") == "True/AllPods")


async def test_a_requested_upgrade_is_shown(world: OperatorWorld) -> None:
    await world.install()
    world.hub.state.requested_upgrade = "1.9.0"
    await world.start()
    await world.until(lambda: world.hub_status().get("requestedUpgrade") == "1.9.0")
    await world.until(lambda: world.events("UpgradeRequested") != [])


async def test_an_event_is_not_repeated_within_its_quiet_time(world: OperatorWorld) -> None:
    await world.install()
    app = await world.start(replace(SETTINGS, event_quiet_seconds=300))
    await world.api.apply(policy(notifications=alerts()))
    await world.until_says("False/SecretMissing")
    for _ in range(3):
        await world.api.apply(secret(OWN, "alerts", url="https://hooks.example.com/x"))
        await world.until_says("True/Synced")
        await world.api.delete("secrets", OWN, "alerts")
        await world.until_says("False/SecretMissing")
    await world.settle(app)
    assert len(world.events("SecretMissing")) == 1


async def test_many_policies_converge_with_one_write_each(world: OperatorWorld) -> None:
    await world.install()
    for number in range(_MANY):
        await world.api.apply(policy(f"p{number}", OWN))
    app = await world.start()
    await world.until(lambda: all(world.says(name=f"p{n}") != "" for n in range(_MANY)))
    await world.settle(app)
    assert world.status_writes() == _MANY
    assert len(world.hub.puts()) == _MANY + 1
    assert app.active is not None
    assert len(app.active.queue) == 0


async def test_roles_hold_what_the_code_asks_for_and_nothing_else(world: OperatorWorld) -> None:
    await world.install(grants=[
        {"namespaceSelector": {"matchLabels": {"team": "pay"}}, "allow": ["Notifications"]}
    ])  # fmt: skip
    await world.api.apply(secret(OWN, "alerts", url="https://hooks.example.com/x"))
    app = await world.start(with_lease("one"))
    await world.until(lambda: app.active is not None and app.active.is_ready())
    await world.api.apply(policy(notifications=alerts()))
    await world.until_says("True/Synced")
    await world.end(app)
    second = await world.start(replace(with_lease("two"), event_quiet_seconds=0.0))
    await world.until(lambda: second.active is not None and second.active.is_ready())
    wanted = {(each.group, each.resource, verb) for each in PERMISSIONS for verb in each.verbs}
    await world.until(lambda: wanted - world.api.verbs() <= NOT_SEEN_HERE)
    assert world.api.verbs() <= wanted


# `get` of namespaces and of our kinds comes with list and watch wherever it is granted: kubectl
# users of the same role read single objects. Events are patched when a name repeats.
NOT_SEEN_HERE = {
    ("audit.radarhq.io", "auditpolicies", "get"),
    ("audit.radarhq.io", "audithubs", "get"),
    ("", "namespaces", "get"),
    ("", "events", "patch"),
}
