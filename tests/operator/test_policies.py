"""Guards what becomes of a policy: apply, edit, break, mend, delete; one write per change."""

from __future__ import annotations

import pytest

from tests.support.agent_api import CLUSTER
from tests.support.crd_checker import BUILD_SECONDS
from tests.support.operator_world import OWN, OperatorWorld, policy

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
    assert status["observedGeneration"] == 1
    assert {each["observedGeneration"] for each in status["conditions"]} == {1}
    await world.until(lambda: world.events("Synced") != [])
