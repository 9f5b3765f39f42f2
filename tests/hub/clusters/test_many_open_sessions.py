"""Collectors with very many open terminals: a look at a cluster does not load all their names."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Awaitable

import pytest
from radar_audit_hub.store.collectors import CollectorState, list_collectors, save_collector
from radar_audit_hub.store.policy_clusters import collectors_of
from radar_audit_hub.store.silence import sessions_held

from tests.support.hub_builder import ORG, HubUnderTest

COLLECTORS = 40
NAMES = json.dumps([f"{number:0>128}" for number in range(2000)])  # as many as a heartbeat may name
CLUSTER = "cl_1"


@pytest.fixture
async def crowded(hub: HubUnderTest) -> HubUnderTest:
    """A hub with a cluster whose collectors say all that they may."""
    await hub.add_cluster(ORG, CLUSTER)
    async with hub.hub.db.write() as conn:
        for number in range(COLLECTORS):
            await save_collector(conn, state(f"c-{number}", NAMES))
    return hub


def state(collector_id: str, open_sessions: str) -> CollectorState:
    """The last words of a collector."""
    return CollectorState(
        org_id=ORG,
        cluster_id=CLUSTER,
        collector_id=collector_id,
        instance_id="i-1",
        version="0.1.0",
        sources_json="[]",
        spool_json="{}",
        losses_json="{}",
        open_sessions_json=open_sessions,
        capture_hash=None,
        seen_at_ms=1,
    )


async def peak_bytes(work: Awaitable[object]) -> int:
    """Return how much memory some work took at most."""
    tracemalloc.start()
    try:
        await work
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


async def test_a_look_at_collectors_does_not_load_the_names_of_their_terminals(
    crowded: HubUnderTest,
) -> None:
    all_names = COLLECTORS * len(NAMES)
    async with crowded.hub.db.read() as conn:
        assert await peak_bytes(list_collectors(conn, ORG, [CLUSTER], 256)) < all_names / 4
        assert await peak_bytes(collectors_of(conn, ORG, CLUSTER)) < all_names / 4
        held = sessions_held(conn, ORG, CLUSTER, 0, ["of-nobody"])
        assert await peak_bytes(held) < all_names / 2


async def test_terminal_that_any_collector_has_open_is_held(any_hub: HubUnderTest) -> None:
    await any_hub.add_cluster(ORG, CLUSTER)
    async with any_hub.hub.db.write() as conn:
        for number in range(20):
            await save_collector(conn, state(f"c-{number}", json.dumps([f"s-{number}"])))
    async with any_hub.hub.db.read() as conn:
        names = ["s-0", "s-19", "s-20"]
        assert await sessions_held(conn, ORG, CLUSTER, 1, names) == {"s-0", "s-19"}
        assert await sessions_held(conn, ORG, CLUSTER, 2, names) == set()


async def test_open_terminals_are_counted(any_hub: HubUnderTest) -> None:
    await any_hub.add_cluster(ORG, CLUSTER)
    async with any_hub.hub.db.write() as conn:
        await save_collector(conn, state("c-1", NAMES))
        await save_collector(conn, state("c-2", "[]"))
    async with any_hub.hub.db.read() as conn:
        found, total = (await list_collectors(conn, ORG, [CLUSTER], 256))[CLUSTER]
    assert ({one.collector_id: one.open_sessions for one in found}, total) == (
        {"c-1": 2000, "c-2": 0},
        2,
    )
