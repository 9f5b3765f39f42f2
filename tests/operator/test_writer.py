"""A status that was written, against events of the time before the write."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import AsyncIterator
from typing import Any

from radar_audit_operator.cluster import Cluster
from radar_audit_operator.intake import Intake
from radar_audit_operator.metrics import Metrics
from radar_audit_operator.poster import Poster
from radar_audit_operator.specs import HUBS, POLICIES
from radar_audit_operator.work_queue import WorkQueue
from radar_audit_operator.world import World
from radar_audit_operator.writer import Writer

from tests.support.operator_world import OWN, OperatorWorld, policy

STATUS: dict[str, Any] = {"observedGeneration": 1, "conditions": []}


class Held:
    """A world with its intake and its writer, as `active` wires them; nothing runs by itself."""

    def __init__(self, cluster: Cluster) -> None:
        self.world = World()
        self.queue = WorkQueue(10, 1.0, lambda: 0.0)
        self.intake = Intake(self.world, self.queue, {}, OWN, "radar-audit-gateway")
        self.writer = Writer(cluster, self.world, Poster(cluster, Metrics(), "one", 0.0))

    async def work(self) -> None:
        """Take all that is queued, and write the status of each."""
        while len(self.queue):
            item = await self.queue.take()
            if item.plural == POLICIES:
                await self.writer.policy(self.world.policies[item.key], STATUS)
            else:
                await self.writer.hub(self.world.hubs[item.key], STATUS)
            self.queue.done(item)


@contextlib.asynccontextmanager
async def opened(world: OperatorWorld) -> AsyncIterator[Held]:
    """Give a world that knows nothing yet, and writes to the API server."""
    config = world.api.write_kubeconfig(world.folder)
    cluster = Cluster("radar-audit-operator/test", lambda *_: None, config)
    await cluster.open()
    try:
        yield Held(cluster)
    finally:
        await cluster.close()


async def test_an_event_from_before_the_write_costs_no_second_write(world: OperatorWorld) -> None:
    await world.install()
    await world.api.apply(policy())
    async with opened(world) as held:
        listed = copy.deepcopy(
            [
                (POLICIES, world.api.get(POLICIES, OWN, "main")),
                (HUBS, world.api.get(HUBS, "", "main")),
            ]
        )
        for plural, raw in listed:
            held.intake.take(plural, None, raw)
        await held.work()
        world.forget()
        for plural, raw in listed:  # the watch's own list, which was read before the write
            held.intake.take(plural, "ADDED", raw)
        await held.work()
        assert world.writes == []


async def test_an_edit_that_the_write_overtook_is_taken_with_the_write(
    world: OperatorWorld,
) -> None:
    await world.install()
    await world.api.apply(policy())
    async with opened(world) as held:
        held.intake.take(POLICIES, None, copy.deepcopy(world.api.get(POLICIES, OWN, "main")))
        edited = copy.deepcopy(await world.api.apply(policy(retention={"maxAge": "7d"})))
        await held.work()
        held.intake.take(POLICIES, "MODIFIED", edited)
        held.intake.take(POLICIES, "MODIFIED", copy.deepcopy(world.api.get(POLICIES, OWN, "main")))
        seen = next(iter(held.world.policies.values()))
        assert seen.spec.retention is not None
        assert (seen.meta.generation, seen.spec.retention.max_age) == (2, "7d")
        assert seen.status == STATUS
        assert len(held.queue) == 1
