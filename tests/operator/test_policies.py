"""Guards what becomes of a policy: apply, edit, break, mend, delete; one write per change."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.agent_api import CLUSTER
from tests.support.crd_checker import BUILD_SECONDS
from tests.support.operator_world import OWN, OperatorWorld, alerts, changed, policy, secret

pytestmark = pytest.mark.timeout(BUILD_SECONDS)
OWNER = f"k8s:{CLUSTER}:{OWN}:main"


async def test_a_policy_is_in_force_at_the_hub_and_ready(world: OperatorWorld) -> None:
    await world.install()
    await world.start()
    await world.api.apply(policy())
    await world.until_says("True/Synced")
    status = world.status()
    assert world.hub.state.owners[OWNER].document.retention is not None
    assert status["retention"]["effective"] == "30d"
    assert status["ownerId"] == OWNER
    assert {each["observedGeneration"] for each in status["conditions"]} == {1}
    await world.until(lambda: world.events("Synced") != [])


async def test_a_change_costs_one_put_and_one_write(world: OperatorWorld) -> None:
    await world.install()
    app = await world.start()
    await world.api.apply(policy())
    await world.until_says("True/Synced")
    await world.settle(app)
    world.forget()
    await world.api.apply(policy(retention={"maxAge": "29d", "shrinkDelay": "0h"}))
    await world.until(lambda: world.status()["observedGeneration"] == 2)
    await world.settle(app)
    assert len(world.hub.puts(OWNER)) == 1
    assert world.status_writes() == 1


async def test_a_second_start_writes_nothing(world: OperatorWorld) -> None:
    await world.install()
    first = await world.start()
    for name in ("main", "b", "c"):
        await world.api.apply(policy(name, OWN, notifications=alerts()))
    await world.api.apply(secret(OWN, "alerts", url="https://hooks.example.com/x"))
    for name in ("main", "b", "c"):
        await world.until_says("True/Synced", name=name)
    await world.settle(first)
    await world.until(lambda: len(world.hub.heartbeats) == 1)
    await world.end(first)
    accepted = world.hub.state.accepted
    world.forget()
    second = await world.start()
    await world.until(lambda: len(world.hub.heartbeats) == 2)
    await world.settle(second)
    assert world.status_writes() == 0
    assert world.hub.state.accepted == accepted


async def test_an_invalid_query_is_named_and_mended(world: OperatorWorld) -> None:
    await world.install()
    await world.api.apply(secret(OWN, "alerts", url="https://hooks.example.com/x"))
    await world.start()
    await world.api.apply(policy(notifications=alerts(query="nokey:(")))
    await world.until_says("False/InvalidQuery")
    assert "notifications.rules.shells.query" in world.message("Accepted")
    assert world.says("Stalled") == "True/InvalidQuery"
    await world.api.apply(policy(notifications=alerts(query="namespace:prod")))
    await world.until_says("True/Synced")
    assert world.says("Stalled") == ""


async def test_an_unknown_action_is_named(world: OperatorWorld) -> None:
    await world.install()
    await world.start()
    await world.api.apply(policy(notifications=alerts(actions=["pod.exec_begun"])))
    await world.until_says("False/UnknownAction")
    assert "pod.exec_begun" in world.message()


async def test_a_deleted_policy_is_released_at_once_and_never_blocked(world: OperatorWorld) -> None:
    await world.install()
    await world.start()
    await world.api.apply(policy())
    await world.until_says("True/Synced")
    await world.api.delete("auditpolicies", OWN, "main")
    await world.until(lambda: OWNER not in world.hub.state.owners)


async def test_a_hold_that_outlives_its_policy_is_told(world: OperatorWorld) -> None:
    await world.install()
    await world.start()
    holds = [
        {"name": "case-7", "reason": "litigation"},
        {"name": "old", "reason": "x", "released": True},
    ]
    await world.api.apply(policy(retention={"maxAge": "30d", "holds": holds}))
    await world.until_says("True/Held", "RetentionEffective")
    await world.api.delete("auditpolicies", OWN, "main")
    await world.until(lambda: world.events("HoldOutlivesPolicy") != [])
    assert "case-7 goes on" in world.events("HoldOutlivesPolicy")[0]


async def test_retain_leaves_the_document_at_the_hub(world: OperatorWorld) -> None:
    await world.install()
    await world.start()
    await world.api.apply(policy(retention={"maxAge": "30d"}, deletionPolicy="Retain"))
    await world.until_says("True/Synced")
    await world.api.delete("auditpolicies", OWN, "main")
    await world.until(lambda: world.hub.state.owners[OWNER].is_detached)


async def test_a_policy_deleted_and_made_again_is_another_owner_of_that_name(
    world: OperatorWorld,
) -> None:
    await world.install()
    await world.start()
    await world.api.apply(policy())
    await world.until_says("True/Synced")
    await world.api.delete("auditpolicies", OWN, "main")
    again = await world.api.apply(policy(retention={"maxAge": "20d"}))
    await world.until_says("True/Synced")
    await world.until(
        lambda: world.hub.state.owners[OWNER].document.uid == again["metadata"]["uid"]
    )


async def test_dry_run_changes_nothing_at_the_hub_and_says_what_would_be(
    world: OperatorWorld,
) -> None:
    world.hub.state.event_hours = [10, 200, 300, 900]
    await world.install()
    app = await world.start()
    await world.api.apply(policy(mode="DryRun", retention={"maxAge": "7d"}))
    await world.until_says("True/DryRun")
    await world.settle(app)
    assert world.status()["retention"]["wouldDelete"] == 3
    assert OWNER not in world.hub.state.owners
    assert "lastSyncTime" not in world.status()
    await world.api.apply(policy(mode="Enforce", retention={"maxAge": "7d"}))
    await world.until_says("True/Synced")
    await world.until(lambda: OWNER in world.hub.state.owners)


async def test_a_shorter_age_waits_and_going_back_cancels_it(world: OperatorWorld) -> None:
    world.hub.state.event_hours = [200, 300]
    await world.install()
    await world.start()
    await world.api.apply(policy())
    await world.until_says("True/AsRequested", "RetentionEffective")
    await world.api.apply(policy(retention={"maxAge": "7d"}))
    await world.until_says("False/ShrinkPending", "RetentionEffective")
    pending = world.status()["retention"]["pending"]
    assert (pending["effective"], pending["wouldDelete"]) == ("7d", 2)
    assert world.status()["retention"]["effective"] == "30d"
    assert world.says() == "True/Synced"
    await world.api.apply(policy())
    await world.until_says("True/AsRequested", "RetentionEffective")
    assert "pending" not in world.status()["retention"]


async def test_more_than_the_plan_is_clamped_and_ready(world: OperatorWorld) -> None:
    await world.install()
    await world.start()
    await world.api.apply(policy(retention={"maxAge": "365d"}))
    await world.until_says("False/ClampedToPlan", "RetentionEffective")
    assert world.says() == "True/Synced"
    assert "365d is asked for, the plan keeps 30d at most" in world.message()


async def test_suspend_sends_nothing_and_releases_nothing(world: OperatorWorld) -> None:
    await world.install()
    app = await world.start()
    await world.api.apply(policy())
    await world.until_says("True/Synced")
    await world.settle(app)
    world.forget()
    await world.api.apply(policy(mode="Suspend", retention={"maxAge": "1d"}))
    await world.until_says("True/Suspended")
    await world.settle(app)
    assert world.hub.puts(OWNER) == []
    document = world.hub.state.owners[OWNER].document
    assert document.retention is not None
    assert document.retention.max_age_hours == 720
    await world.api.delete("auditpolicies", OWN, "main")
    await world.until(lambda: OWNER not in world.hub.state.owners)


async def test_the_loser_names_the_winner_and_is_promoted_when_it_goes(
    world: OperatorWorld,
) -> None:
    await world.install()
    await world.api.apply(secret(OWN, "alerts", url="https://hooks.example.com/x"))
    await world.start()
    await world.api.apply(policy("first", OWN))
    await world.until_says("True/Synced", name="first")
    await world.api.apply(
        policy("second", OWN, retention={"maxAge": "20d"}, notifications=alerts())
    )
    await world.until_says("False/Conflicted", name="second")
    assert f"k8s:{CLUSTER}:{OWN}:first" in world.message(name="second")
    assert world.says("DestinationsReady", "second") == "True/NeverUsed"
    await world.api.delete("auditpolicies", OWN, "first")
    await world.until(lambda: world.hub.state.keys[f"cluster/{CLUSTER}"].holder is not None)
    sync = changed(
        policy("second", OWN, retention={"maxAge": "20d"}, notifications=alerts()), sync_now="1"
    )
    await world.api.apply(sync)
    await world.until_says("False/ShrinkPending", "RetentionEffective", "second")
    await world.until(lambda: world.events("Promoted") != [])


async def test_of_two_claimants_at_once_one_holds_and_nothing_oscillates(
    world: OperatorWorld,
) -> None:
    await world.install()
    for name in ("a", "b", "c"):
        await world.api.apply(policy(name, OWN, retention={"maxAge": "20d"}))
    app = await world.start()
    await world.until(lambda: all(world.says(name=name) for name in ("a", "b", "c")))
    await world.until(lambda: len(world.hub.heartbeats) == 1)
    await world.settle(app)
    world.forget()
    said = sorted(world.says("RetentionEffective", name) for name in ("a", "b", "c"))
    assert said == ["False/Conflicted", "False/Conflicted", "False/ShrinkPending"]
    await world.settle(app)
    assert world.status_writes() == 0


async def test_sync_now_sends_again_and_is_handled_once(world: OperatorWorld) -> None:
    await world.install()
    app = await world.start()
    await world.api.apply(policy())
    await world.until_says("True/Synced")
    await world.settle(app)
    del world.hub.state.owners[OWNER]  # drift that no event tells of
    world.forget()
    await world.api.apply(changed(policy(), sync_now="please"))
    await world.until(lambda: world.status().get("lastHandledSync") == "please")
    await world.settle(app)
    assert OWNER in world.hub.state.owners
    assert len(world.hub.puts(OWNER)) == 1


async def test_a_hand_edited_status_is_repaired(world: OperatorWorld) -> None:
    await world.install()
    app = await world.start()
    await world.api.apply(policy())
    await world.until_says("True/Synced")
    await world.settle(app)
    raw = world.api.get("auditpolicies", OWN, "main")
    forged = {**raw, "status": {**raw["status"], "organization": "org_forged"}}
    await world.api._store("auditpolicies", forged, raw)
    await world.until(lambda: world.status()["organization"] != "org_forged")


async def test_many_edits_at_once_end_with_the_last_one(world: OperatorWorld) -> None:
    await world.install()
    world.hub.faults.delay_seconds = 0.05
    app = await world.start()
    for days in range(10, 31):
        await world.api.apply(policy(retention={"maxAge": f"{days}d"}))
        await asyncio.sleep(0)
    await world.until(lambda: world.status().get("observedGeneration") == 21)
    await world.settle(app)
    generations = [document.generation for document in world.hub.puts(OWNER)]
    assert generations == sorted(generations)
    assert generations[-1] == 21
    assert len(generations) < 21
