"""Which capture settings a cluster's collectors run with: what its AuditHub asks, made safe.

Owns the one exception: refusing terminals whose start cannot be recorded is in force only while
every collector of the cluster is alive. Called by the collectors' heartbeat, which delivers the
settings, and by the operator's routes, which report them. Never stores anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from radar_audit_events.ids import format_ms
from radar_audit_events.policy_answers import CaptureState, CollectorState
from radar_audit_events.policy_wire import CaptureSettings, capture_etag

from radar_audit_hub.clusters.agents import CONNECTED_MS
from radar_audit_hub.store.database import Connection
from radar_audit_hub.store.owners import hub_documents
from radar_audit_hub.store.policy_clusters import (
    Running,
    collectors_of,
)

from .settling import read_document

FORGOTTEN_MS = 24 * 3_600_000  # a collector that is silent for a day is no part of its cluster


@dataclass(frozen=True, slots=True)
class InUse:
    """The settings to deliver with their tag, and whether `required` had to be held back."""

    settings: CaptureSettings
    etag: str
    is_held_back: bool

    def state(self) -> CaptureState:
        """Return it for an answer."""
        return CaptureState(etag=self.etag, is_required_held_back=self.is_held_back)


async def capture_of(conn: Connection, org_id: str, cluster_id: str, now_ms: int) -> InUse | None:
    """Return what a cluster's collectors are to run with, None: each on its own settings."""
    documents = [read_document(owner) for owner in await hub_documents(conn, org_id, cluster_id)]
    asked = next((each.capture for each in documents if each.capture is not None), None)
    if asked is None:
        return None
    # Each heartbeat of each collector comes here: others matter to one setting alone.
    matter = asked.failure_policy == "required"
    running = await collectors_of(conn, org_id, cluster_id) if matter else ()
    return made_safe(asked, running, now_ms)


def made_safe(asked: CaptureSettings, running: Sequence[Running], now_ms: int) -> InUse:
    """Return settings as they are in force at `now_ms` (Unix ms), given the collectors."""
    held_back = asked.failure_policy == "required" and not all(
        is_healthy(one, now_ms) for one in _present(running, now_ms)
    )
    if held_back:
        asked = msgspec.structs.replace(asked, failure_policy="best_effort")
    return InUse(asked, capture_etag(asked), held_back)


def is_healthy(one: Running, now_ms: int) -> bool:
    """Tell whether a collector is alive."""
    return now_ms - one.last_seen_at_ms <= CONNECTED_MS


def _present(running: Sequence[Running], now_ms: int) -> list[Running]:
    return [one for one in running if now_ms - one.last_seen_at_ms <= FORGOTTEN_MS]


def collector_states(running: Sequence[Running], now_ms: int) -> list[CollectorState]:
    """Return a cluster's collectors for an answer, without those that are long gone."""
    return [
        CollectorState(
            collector_id=one.collector_id,
            version=one.version,
            last_seen_at=format_ms(one.last_seen_at_ms),
            is_healthy=is_healthy(one, now_ms),
            capture_hash=one.capture_hash,
        )
        for one in _present(running, now_ms)
    ]
