"""Guards what the operator does when the hub is away, slow, wrong or refuses: settings stay."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from radar_audit_events.policy_answers import Override

from tests.support.agent_api import CLUSTER
from tests.support.agent_state import Cluster
from tests.support.crd_checker import BUILD_SECONDS
from tests.support.operator_world import OWN, SETTINGS, OperatorWorld, policy, secret

pytestmark = pytest.mark.timeout(BUILD_SECONDS)
OWNER = f"k8s:{CLUSTER}:{OWN}:main"


async def test_after_an_outage_only_the_newest_generation_is_sent(world: OperatorWorld) -> None:
    await world.install()
    app = await world.start()
    await world.api.apply(policy())
    await world.until_says("True/Synced")
    await world.settle(app)
    await world.hub.stop()
    world.forget()
    for days in (25, 26, 27, 28, 29):
        await world.api.apply(policy(retention={"maxAge": f"{days}d"}))
    await world.until_says("False/HubUnreachable", "Synced")
    assert world.says() == "True/HubUnreachable"  # in force still, and not for long
    await world.until(lambda: world.has_seen(app))
    assert "settings still in force" in world.message()
    await world.hub.start()
    await world.until_says("True/Synced")
    assert [document.generation for document in world.hub.puts(OWNER)] == [6]


async def test_a_long_outage_makes_policies_unready_and_says_since_when(
    world: OperatorWorld,
) -> None:
    await world.install()
    await world.start(replace(SETTINGS, unready_after_seconds=0.4))
    await world.api.apply(policy())
    await world.until_says("True/Synced")
    await world.hub.stop()
    await world.api.apply(policy("other", OWN))
    await world.until_says("False/HubUnreachable")
    await world.until_says("False/HubUnreachable", name="other")
    assert "nothing of this policy is in force yet" in world.message(name="other")
    await world.until(lambda: world.hub_says() == "False/HubUnreachable")
    await world.hub.start()
    await world.until_says("True/Synced")
    await world.until_says("False/Conflicted", name="other")
    await world.until(lambda: world.hub_says() == "True/Connected")


async def test_a_lost_answer_is_repeated_without_a_second_change(world: OperatorWorld) -> None:
    await world.install()
    app = await world.start()
    await world.until(lambda: world.hub_says() == "True/Connected")
    await world.settle(app)
    accepted = world.hub.state.accepted
    world.hub.faults.lose_replies = 1
    await world.api.apply(policy())
    await world.until_says("True/Synced")
    assert world.hub.state.accepted == accepted + 1
    assert len(world.hub.puts(OWNER)) >= 2


@pytest.mark.parametrize("status", [500, 503, 429])
async def test_a_hub_in_trouble_is_asked_again(world: OperatorWorld, status: int) -> None:
    await world.install()
    world.hub.faults.status, world.hub.faults.retry_after = status, "0"
    await world.start()
    await world.api.apply(policy())
    await world.until(lambda: world.hub_says("Connected") == "False/HubUnreachable")
    world.hub.faults.status = 0
    await world.until_says("True/Synced")


async def test_an_answer_that_cannot_be_read_is_no_success(world: OperatorWorld) -> None:
    await world.install()
    world.hub.faults.garbage = True
    await world.start()
    await world.api.apply(policy())
    await world.until(lambda: world.hub_says("Connected") == "False/HubUnreachable")
    assert "cannot be read" in str(world.hub_status())
    world.hub.faults.garbage = False
    await world.until_says("True/Synced")


async def test_a_wrong_token_is_the_hubs_and_the_policies_condition(world: OperatorWorld) -> None:
    await world.install()
    await world.start()
    await world.api.apply(policy())
    await world.until_says("True/Synced")
    await world.api.apply(secret(OWN, "hub-token", token="rhc_wrong"))
    await world.until(lambda: world.hub_says() == "False/Unauthorized")
    await world.api.apply(policy(retention={"maxAge": "20d"}))
    await world.until_says("False/Unauthorized")
    await world.api.apply(secret(OWN, "hub-token", token="rhc_stand_in"))
    await world.until_says("True/Synced")
    await world.until(lambda: world.hub_says() == "True/Connected")


async def test_a_token_of_another_cluster_writes_nothing(world: OperatorWorld) -> None:
    world.hub.clusters["rhc_other"] = Cluster("org_01H8XGJWBWBAQ4", "cl_other")
    await world.install()
    await world.api.apply(secret(OWN, "hub-token", token="rhc_other"))
    await world.start()
    await world.api.apply(policy())
    await world.until_says("False/Unauthorized")
    await world.until(lambda: world.hub_says() == "False/WrongCluster")
    assert world.hub.sent == []


async def test_a_missing_token_is_looked_for_until_it_is_there(world: OperatorWorld) -> None:
    await world.api.apply({"kind": "Namespace", "metadata": {"name": OWN}})
    await world.api.apply(world.audit_hub())
    await world.start()
    await world.api.apply(policy())
    await world.until(lambda: world.hub_says() == "Unknown/NotTried")
    assert world.hub_says("Authorized") == "False/SecretMissing"
    await world.api.apply(secret(OWN, "hub-token", token="rhc_stand_in"))
    await world.until_says("True/Synced")


async def test_without_a_secret_the_operators_own_token_is_read_at_each_request(
    world: OperatorWorld, tmp_path: Path
) -> None:
    file = tmp_path / "hub-token"
    file.write_text("eyJ.first.token\n")
    of_ours = world.hub.clusters["rhc_stand_in"]
    world.hub.clusters = {"eyJ.first.token": of_ours}
    await world.install(tokenSecretRef=None)
    await world.start(replace(SETTINGS, hub_token_file=file))
    await world.api.apply(policy())
    await world.until_says("True/Synced")
    # The kubelet renews it; the old one is good no more.
    file.write_text("eyJ.second.token\n")
    world.hub.clusters = {"eyJ.second.token": of_ours}
    sent = len(world.hub.sent)
    await world.api.apply(policy(retention={"maxAge": "20d"}))
    await world.until(lambda: len(world.hub.sent) > sent)
    await world.until_says("True/Synced")
    await world.until(lambda: world.hub_says() == "True/Connected")


@pytest.mark.parametrize("content", [None, "", "two\nlines"])
async def test_an_own_token_that_cannot_be_read_is_told(
    world: OperatorWorld, tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "hub-token"
    if content is not None:
        file.write_text(content)
    await world.install(tokenSecretRef=None)
    await world.start(replace(SETTINGS, hub_token_file=file))
    problem = "SecretMissing" if content is None else "SecretInvalid"
    await world.until(lambda: world.hub_says("Authorized") == f"False/{problem}")
    assert "HUB_TOKEN_FILE" in str(world.hub_status())


async def test_a_hub_without_any_token_says_what_to_set(world: OperatorWorld) -> None:
    await world.install(tokenSecretRef=None)
    await world.start()
    await world.until(lambda: world.hub_says("Authorized") == "False/SecretMissing")
    assert "RADAR_AUDIT_OPERATOR_HUB_TOKEN_FILE" in str(world.hub_status())


async def test_a_hub_that_is_not_trusted_is_not_told_the_token(world: OperatorWorld) -> None:
    await world.install(caBundle="bm90IGEgY2VydGlmaWNhdGU=")
    await world.start()
    await world.until(lambda: world.hub_says() == "False/InvalidCaBundle")
    assert world.hub.asked == []


async def test_a_second_audithub_of_one_cluster_stands_back(world: OperatorWorld) -> None:
    await world.install()
    await world.start()
    await world.until(lambda: world.hub_says() == "True/Connected")
    await asyncio.sleep(1.1)  # creation times are whole seconds
    await world.api.apply(world.audit_hub("second"))
    await world.until(lambda: world.hub_says(name="second") == "False/DuplicateCluster")
    await world.api.delete("audithubs", "", "main")
    await world.until(lambda: world.hub_says(name="second") == "True/Connected")


async def test_an_override_by_an_owner_is_shown_and_not_fought(world: OperatorWorld) -> None:
    await world.install()
    app = await world.start()
    await world.api.apply(policy())
    await world.until_says("True/Synced")
    world.hub.state.overridden = Override(by="alice@acme.com", until="2026-11-26T10:00:00Z")
    assert app.active is not None
    await world.compare(app)
    await world.until_says("False/OverriddenOnHub")
    assert "alice@acme.com" in world.message()
    puts = len(world.hub.puts(OWNER))
    world.hub.state.overridden = None
    await world.compare(app)
    await world.until_says("True/Synced")
    assert len(world.hub.puts(OWNER)) == puts


async def test_drift_at_the_hub_is_repaired_by_the_next_comparison(world: OperatorWorld) -> None:
    await world.install()
    app = await world.start()
    await world.api.apply(policy())
    await world.until_says("True/Synced")
    await world.settle(app)
    assert app.active is not None
    await world.until(lambda: len(world.hub.heartbeats) == 1)
    world.hub.state.owners.clear()
    await world.compare(app)
    await world.until(lambda: OWNER in world.hub.state.owners)
    await world.until(lambda: f"k8s:{CLUSTER}:-:main" in world.hub.state.owners)


async def test_another_clusters_organization_key_is_not_taken_silently(
    org_world: OperatorWorld,
) -> None:
    world = org_world
    await world.install(speaksFor="Organization")
    await world.start()
    await world.api.apply(policy("main", OWN, scope="Organization", retention={"maxAge": "20d"}))
    await world.until_says("True/Synced")
    assert world.hub.state.keys["org"].holder == OWNER
    other = "k8s:cl_other:sec:audit"
    world.hub.state.keys["org"].holder = other
    wrong = {"scope": "Organization", "takeOverFrom": "k8s:cl_x:a:b"}
    await world.api.apply(policy("main", OWN, retention={"maxAge": "20d"}, **wrong))
    await world.until_says("False/OwnedElsewhere")
    assert other in world.message()
    assert "takeOverFrom names another holder" in world.message()
    right = {"scope": "Organization", "takeOverFrom": other}
    await world.api.apply(policy("main", OWN, retention={"maxAge": "20d"}, **right))
    await world.until_says("True/Synced")
    await world.until(lambda: world.events("OwnershipTaken") != [])


async def test_an_organization_policy_without_the_scope_is_unauthorized(
    world: OperatorWorld,
) -> None:
    await world.install(speaksFor="Organization")
    await world.start()
    await world.api.apply(policy("main", OWN, scope="Organization", retention={"maxAge": "20d"}))
    await world.until_says("False/Unauthorized")
    assert "audit-settings:write-org" in world.message()
    await world.until(lambda: world.hub_says("Authorized") == "False/Unauthorized")
