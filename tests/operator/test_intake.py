"""Guards what is known of our kinds against lists that the watch has overtaken."""

from __future__ import annotations

from typing import Any

import pytest
from radar_audit_operator.intake import Intake
from radar_audit_operator.specs import POLICIES, Key
from radar_audit_operator.work_queue import Item, WorkQueue
from radar_audit_operator.world import World

from tests.support.operator_world import OWN, policy

KEY = Key(OWN, "main")


class Held:
    """A world with its intake; nobody works on what it queues."""

    def __init__(self) -> None:
        self.world, self.queue = World(), WorkQueue(100, 1.0, lambda: 0.0)
        self.intake = Intake(self.world, self.queue, {}, OWN, "radar-audit-gateway")

    def take(self, kind: str | None, raw: dict[str, Any]) -> None:
        self.intake.take(POLICIES, kind, raw)


@pytest.fixture
def held() -> Held:
    return Held()


def stored(uid: str, version: int) -> dict[str, Any]:
    raw = policy()
    raw["metadata"] |= {"uid": uid, "resourceVersion": str(version), "generation": 1}
    raw["metadata"]["creationTimestamp"] = "2026-11-26T07:00:00Z"
    return raw


async def test_a_list_from_before_a_deletion_brings_nothing_back(held: Held) -> None:
    held.take("ADDED", stored("one", 5))
    held.take("DELETED", stored("one", 9))
    held.take(None, stored("one", 5))  # of a page that was on its way
    assert held.world.policies == {}
    assert len(held.queue) == 1  # its release


async def test_a_deletion_that_comes_before_the_list_of_a_start_counts(held: Held) -> None:
    held.take("DELETED", stored("one", 9))
    held.take(None, stored("one", 5))
    assert held.world.policies == {}


async def test_an_object_made_again_under_its_name_is_another(held: Held) -> None:
    held.take("ADDED", stored("one", 5))
    held.take("DELETED", stored("one", 9))
    held.take("ADDED", stored("two", 10))
    held.take(None, stored("one", 5))
    assert held.world.policies[KEY].meta.uid == "two"


async def test_a_list_without_what_was_made_since_it_began_removes_nothing(held: Held) -> None:
    before = held.intake.known(POLICIES)
    held.take("ADDED", stored("one", 5))
    held.intake.replace(POLICIES, before, [])
    assert set(held.world.policies) == {KEY}


async def test_a_list_without_what_was_there_before_makes_a_missed_deletion_good(
    held: Held,
) -> None:
    held.take("ADDED", stored("one", 5))
    await held.queue.take()
    held.queue.done(Item(POLICIES, KEY))
    held.intake.replace(POLICIES, held.intake.known(POLICIES), [])
    assert held.world.policies == {}
    assert await held.queue.take() == Item(POLICIES, KEY)


async def test_a_list_that_misses_one_of_two_lives_leaves_the_later(held: Held) -> None:
    held.take("ADDED", stored("one", 5))
    before = held.intake.known(POLICIES)
    held.take("DELETED", stored("one", 9))
    held.take("ADDED", stored("two", 10))
    held.intake.replace(POLICIES, before, [])
    assert held.world.policies[KEY].meta.uid == "two"
