"""Guards Secrets and grants: rotation is noticed, a bad one names itself, no value leaks."""

from __future__ import annotations

import json
import logging

import pytest
from radar_audit_events.policy_answers import DestinationState, DestinationTestAnswer
from radar_audit_events.policy_wire import OwnerDocument

from tests.support.agent_api import CLUSTER
from tests.support.crd_checker import BUILD_SECONDS
from tests.support.operator_world import OWN, OperatorWorld, alerts, changed, policy, secret

pytestmark = pytest.mark.timeout(BUILD_SECONDS)
OWNER = f"k8s:{CLUSTER}:{OWN}:main"
URL = "https://hooks.example.com/canary-one"


def sent_url(document: OwnerDocument) -> str | None:
    assert document.notifications is not None
    slack = document.notifications.destinations[0].slack
    assert slack is not None
    return slack.url


async def test_a_rotated_secret_reaches_the_hub_without_an_edit(world: OperatorWorld) -> None:
    await world.install()
    await world.api.apply(secret(OWN, "alerts", url=URL))
    app = await world.start()
    await world.api.apply(policy(notifications=alerts()))
    await world.until_says("True/Synced")
    await world.settle(app)
    world.forget()
    await world.api.apply(secret(OWN, "alerts", url=URL + "-two"))
    await world.until(lambda: world.events("SecretRotated") != [])
    assert [sent_url(document) for document in world.hub.puts(OWNER)] == [URL + "-two"]
    assert world.status_writes() == 1


async def test_a_missing_secret_is_named_and_found_when_it_appears(world: OperatorWorld) -> None:
    await world.install()
    await world.start()
    await world.api.apply(policy(notifications=alerts()))
    await world.until_says("False/SecretMissing")
    assert "there is no Secret alerts in this namespace" in world.message()
    assert world.says("Synced") == "True/Synced"  # the rest is in force
    await world.api.apply(secret(OWN, "alerts", other="x"))
    await world.until_says("False/SecretKeyMissing")
    await world.api.apply(secret(OWN, "alerts", url="not an address"))
    await world.until_says("False/SecretInvalid")
    await world.api.apply(secret(OWN, "alerts", url=URL))
    await world.until_says("True/Synced")


async def test_a_secret_that_goes_leaves_the_last_one_in_force(world: OperatorWorld) -> None:
    await world.install()
    await world.api.apply(secret(OWN, "alerts", url=URL))
    await world.start()
    await world.api.apply(policy(notifications=alerts()))
    await world.until_says("True/Synced")
    await world.api.delete("secrets", OWN, "alerts")
    await world.until_says("False/SecretMissing")
    assert sent_url(world.hub.puts(OWNER)[-1]) is None  # which says: keep what you have


async def test_without_the_right_to_watch_rotation_is_noticed_by_the_comparison(
    world: OperatorWorld,
) -> None:
    await world.install()
    await world.api.apply(secret(OWN, "alerts", url=URL))
    app = await world.start()
    assert app.active is not None
    await world.api.apply(policy(notifications=alerts()))
    await world.until_says("True/Synced")
    app.active._watches._wanted = dict  # type: ignore[method-assign] # as with a Role of `get` alone
    await world.until(lambda: app.active is not None and not app.active._watches._running)
    app.active._intake.forget_secrets(OWN)
    await world.settle(app)
    await world.api.apply(secret(OWN, "alerts", url=URL + "-two"))
    await world.compare(app)
    await world.until(lambda: sent_url(world.hub.puts(OWNER)[-1]) == URL + "-two")


async def test_a_secret_that_may_not_be_read_is_named(world: OperatorWorld) -> None:
    await world.install()
    app = await world.start()
    await world.until(lambda: world.hub_says() == "True/Connected")
    await world.settle(app)
    world.api.faults.forbidden.add("secrets")
    await world.api.apply(policy(notifications=alerts()))
    await world.until_says("False/SecretForbidden")
    assert "its Role must name it" in world.message()


async def test_no_value_of_a_secret_is_in_a_log_status_event_or_metric(
    world: OperatorWorld, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await world.install()
    await world.api.apply(secret(OWN, "alerts", url=URL))
    app = await world.start()
    await world.api.apply(policy(notifications=alerts(query="nokey:(")))
    await world.until_says("False/InvalidQuery")
    world.hub.faults.status = 500
    await world.api.apply(policy(notifications=alerts()))
    await world.until_says("False/HubUnreachable", "Synced")
    world.hub.faults.status = 0
    await world.until_says("True/Synced")
    await world.settle(app)
    kept = {name: each for name, each in world.api.objects.items() if name != "secrets"}
    seen = json.dumps([list(each.values()) for each in kept.values()])
    seen += caplog.text + repr(app.active.memories if app.active else "")
    seen += repr(world.hub.puts())
    assert "canary-one" not in seen
    assert "rhc_stand_in" not in seen
    assert sent_url(world.hub.puts(OWNER)[-1]) == URL


async def test_a_policy_of_another_namespace_needs_a_grant_and_loses_it(
    world: OperatorWorld,
) -> None:
    await world.install()
    team = {"kind": "Namespace", "metadata": {"name": "pay", "labels": {"team": "pay"}}}
    await world.api.apply(team)
    await world.api.apply(secret("pay", "alerts", url=URL))
    app = await world.start()
    await world.api.apply(policy("main", "pay", notifications=alerts()))
    await world.until(lambda: world.says(namespace="pay") == "False/NotGranted")
    labels = {"namespaceSelector": {"matchLabels": {"team": "pay"}}}
    await world.api.apply(world.audit_hub(grants=[{**labels, "allow": ["Notifications"]}]))
    await world.until(lambda: world.says(namespace="pay") == "True/Synced")
    owner = f"k8s:{CLUSTER}:pay:main"
    sent = world.hub.puts(owner)[-1].notifications
    assert sent is not None
    assert sent.only_namespace == "pay"
    team["metadata"] = {"name": "pay", "labels": {}}
    await world.api.apply(team)
    await world.until(lambda: world.says(namespace="pay") == "False/NotGranted")
    assert owner in world.hub.state.owners  # nothing is released by an edge
    assert app.active is not None
    world.hub.state.release_gap_ms = 0
    for _ in range(2):
        await world.compare(app)
    assert owner not in world.hub.state.owners


async def test_namespaces_that_cannot_be_read_grant_nothing_and_say_so(
    world: OperatorWorld,
) -> None:
    labels = {"namespaceSelector": {"matchLabels": {"team": "pay"}}}
    await world.install(grants=[{**labels, "allow": ["Retention"]}])
    world.api.faults.forbidden.add("namespaces")
    await world.start()
    await world.api.apply(policy("main", "pay"))
    await world.until(lambda: world.says(namespace="pay") == "False/NotGranted")
    assert "cannot be read" in world.message(namespace="pay")


async def test_a_test_is_sent_once_per_value_of_its_annotation(world: OperatorWorld) -> None:
    await world.install()
    await world.api.apply(secret(OWN, "alerts", url=URL))
    app = await world.start()
    wanted = policy(notifications=alerts())
    await world.api.apply(changed(wanted, test_send="sec"))
    await world.until(lambda: "lastTest" in world.status())
    await world.settle(app)
    assert world.hub.tests == [(OWNER, "sec")]
    assert world.status()["lastTest"]["delivered"] is True
    world.hub.test_answer = DestinationTestAnswer(
        delivered=False, latency_ms=3, receiver_status=404, error="the receiver answered 404"
    )
    await world.api.apply(changed(wanted, test_send="sec/2"))
    await world.until(lambda: world.status()["lastTest"]["request"] == "sec/2")
    await world.until(lambda: world.events("TestFailed") != [])
    await world.api.apply(changed(wanted, test_send="nowhere"))
    await world.until(lambda: world.status()["lastTest"]["request"] == "nowhere")
    assert "there is sec" in world.status()["lastTest"]["message"]
    assert len(world.hub.tests) == 2


async def test_deliveries_are_copied_at_each_comparison(world: OperatorWorld) -> None:
    await world.install()
    await world.api.apply(secret(OWN, "alerts", url=URL))
    app = await world.start()
    await world.api.apply(policy(notifications=alerts()))
    await world.until_says("True/NeverUsed", "DestinationsReady")
    await world.until(lambda: len(world.hub.heartbeats) == 1)
    at = "2026-11-25T12:00:00Z"
    failing = DestinationState(
        name="sec", state="failing", last_error_at=at, last_error="timed out", pending=4
    )
    world.hub.state.deliveries[OWNER, "sec"] = failing
    assert app.active is not None
    await world.compare(app)
    await world.until_says("False/DeliveryFailing")
    assert world.status()["destinations"][0]["pending"] == 4
    good = DestinationState(name="sec", state="delivering", last_delivery_at=at)
    world.hub.state.deliveries[OWNER, "sec"] = good
    await world.compare(app)
    await world.until_says("True/Synced")
    assert world.status()["lastDeliveryTime"] == at
