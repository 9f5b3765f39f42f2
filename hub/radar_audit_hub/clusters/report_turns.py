"""Whose turn it is to have a cluster's report written: what is heard of it, and what it lost.

Owns `report_turn`: a cluster has one turn, and so has its org few. Called by the heartbeat, by
ingest for gaps, and by the operator's tests of destinations. Reports of one cluster write the same
rows: without turns those that wait for one another would hold connections which other orgs need.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from radar_audit_hub.context import Hub


@asynccontextmanager
async def report_turn(hub: Hub, org_id: str, cluster_id: str) -> AsyncIterator[None]:
    """Wait for a turn and hold it for the block: a cluster waits for itself first.

    Raises TooManyRequestsError.
    """
    async with hub.own_reports.take(f"{org_id}/{cluster_id}"), hub.reports.take(org_id):
        yield
