"""The comparison of everything with the hub, at an interval: what events missed is repaired.

Owns the list of all live owners and what the hub answers to it. Run as a task by `active`.
Releases by level, not by edge: an owner that no complete heartbeat names is released by the hub,
and a list that could not be read whole never releases anybody.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable

from radar_audit_events.policy_answers import OperatorHeartbeatAnswer
from radar_audit_events.policy_wire import MAX_OWNERS, LiveOwner, OperatorHeartbeat, RadarPods

from .cluster import API, Cluster
from .connections import Connection, Connections
from .errors import (
    ClusterError,
    ClusterUnreachableError,
    HubRefusedError,
    HubUnauthorizedError,
    HubUnreachableError,
)
from .intake import Intake
from .memory import Memory
from .metrics import Metrics
from .plan.document import hub_owner, policy_owner
from .plan.secrets import names
from .plan.verdicts import SyncResult
from .reconcile_hub import resync_seconds
from .reconcile_policy import PolicyReconciler, overridden
from .specs import HUBS, POLICIES, Hub, Key
from .work_queue import Item, WorkQueue
from .world import World

_TICK_SECONDS = 0.25
_RETRY_SECONDS = 30.0
_JITTER = 0.05
_MAX_WAIT_SECONDS = 60.0  # for a queue that never empties
_logger = logging.getLogger(__name__)


class Resync:
    """Compares all AuditHubs that are due."""

    def __init__(
        self,
        world: World,
        queue: WorkQueue,
        intake: Intake,
        memories: dict[Key, Memory],
        connections: Connections,
        policies: PolicyReconciler,
        cluster: Cluster,
        metrics: Metrics,
        version: str,
        now: Callable[[], str],
    ) -> None:
        """Compare these."""
        self._world, self._queue, self._intake = world, queue, intake
        self._memories, self._connections, self._policies = memories, connections, policies
        self._cluster, self._metrics, self._version, self._now = cluster, metrics, version, now

    async def run(self) -> None:
        """Compare for ever, each AuditHub at its interval."""
        while True:
            for name, connection in list(self._connections.by_name.items()):
                hub = self._world.hubs.get(Key("", name))
                if hub is not None and self._is_due(connection):
                    began_for = connection.due
                    seconds = resync_seconds(hub) if await self.once(hub, connection) else None
                    if connection.due == began_for:  # else somebody asked anew meanwhile
                        spread = 1 + _JITTER * random.uniform(-1, 1)
                        connection.due = time.monotonic() + (seconds or _RETRY_SECONDS) * spread
            await asyncio.sleep(_TICK_SECONDS)

    def _is_due(self, connection: Connection) -> bool:
        late = time.monotonic() - connection.due
        # What is queued is sent first, else the hub would name it all as drifted.
        is_calm = len(self._queue) == 0 or late > _MAX_WAIT_SECONDS
        return connection.state == "up" and late >= 0 and is_calm

    async def once(self, hub: Hub, connection: Connection) -> bool:
        """List, tell the hub, and take in its answer; return whether that worked."""
        is_complete = await self.list_all()
        self._reread_secrets(hub)
        owners = self._live_owners(hub, connection)
        if len(owners) > MAX_OWNERS:
            _logger.error("too many policies for one heartbeat", extra={"owners": len(owners)})
            owners, is_complete = owners[:MAX_OWNERS], False
        sent = OperatorHeartbeat(
            is_complete=is_complete,
            sent_at=self._now(),
            version=self._version,
            owners=owners,
            radar=self._radar(),
        )
        item = Item(HUBS, hub.meta.key)
        try:
            answer = await connection.client.heartbeat(sent)
        except (HubUnreachableError, HubUnauthorizedError, HubRefusedError) as error:
            _logger.warning("the hub took no heartbeat", extra={"cause": str(error)})
            self._metrics.resyncs.labels("failed").inc()
            self._queue.add(item)
            return False
        self._take(hub, connection, answer)
        self._queue.add(item)
        self._metrics.resyncs.labels("complete" if is_complete else "incomplete").inc()
        self._metrics.last_resync.set(time.time())
        return True

    async def list_all(self) -> bool:
        """Read both kinds anew; false when a list could not be read whole."""
        is_complete = True
        for plural in (HUBS, POLICIES):
            before, seen = self._intake.known(plural), list[Key]()
            try:
                async for page in self._cluster.pages(f"{API}/{plural}"):
                    for raw in page.get("items") or ():
                        self._intake.take(plural, None, raw)
                        meta = raw["metadata"]
                        seen.append(Key(meta.get("namespace", ""), meta["name"]))
            except (ClusterError, ClusterUnreachableError, KeyError) as error:
                facts = {"resource": plural, "cause": str(error)}
                _logger.warning("a list could not be read whole", extra=facts)
                is_complete = False
                continue
            self._intake.replace(plural, before, seen)
        return is_complete

    def _reread_secrets(self, hub: Hub) -> None:
        """Have Secrets read again where no watch tells of their rotation."""
        for policy in self._world.policies_of(hub.meta.key.name):
            key = policy.meta.key
            if key.namespace not in self._world.watched_secrets and names(policy.spec):
                self._memories.setdefault(key, Memory()).rereads = True
                self._queue.add(Item(POLICIES, key))

    def _live_owners(self, hub: Hub, connection: Connection) -> list[LiveOwner]:
        uid, generation, spec_hash = connection.sent or (hub.meta.uid, 0, "")
        owners = [
            LiveOwner(owner_id=hub_owner(hub), uid=uid, generation=generation, spec_hash=spec_hash)
        ]
        for policy in self._world.policies_of(hub.meta.key.name):
            if not self._policies.decision(policy).is_live:
                continue
            memory = self._memories.get(policy.meta.key, Memory())
            version = memory.enforced or (policy.meta.uid, policy.meta.generation, "")
            owners.append(
                LiveOwner(
                    owner_id=policy_owner(policy, hub),
                    uid=version[0],
                    generation=version[1],
                    spec_hash=version[2],
                    # Only an enforced policy may drift; a refused one was never stored.
                    is_suspended=policy.spec.mode != "Enforce" or memory.enforced is None,
                )
            )
        return owners

    def _radar(self) -> RadarPods | None:
        pods = self._world.radar_pods
        if pods is None:
            return None
        return RadarPods(total=len(pods), without_gateway=sum(not has for has in pods.values()))

    def _take(self, hub: Hub, connection: Connection, answer: OperatorHeartbeatAnswer) -> None:
        connection.heartbeat, connection.good_at = answer, self._now()
        by_owner = {
            policy_owner(policy, hub): policy.meta.key
            for policy in self._world.policies_of(hub.meta.key.name)
            if self._policies.decision(policy).is_live
        }
        for owner in answer.drifted:
            if owner == hub_owner(hub):
                connection.sent = None
            elif owner in by_owner:
                self._memories.setdefault(by_owner[owner], Memory()).is_forced = True
                self._queue.add(Item(POLICIES, by_owner[owner]))
        for state in answer.states:
            key = by_owner.get(state.owner_id)
            memory = None if key is None else self._memories.get(key)
            if key is None or memory is None or memory.enforced is None:
                continue
            before = (memory.retention, memory.destinations, memory.sync)
            if memory.sync is not None and memory.sync.kind in {"synced", "overridden"}:
                memory.retention, memory.destinations = state.retention, state.destinations
                is_over = answer.overridden is not None and state.retention is not None
                memory.sync = (
                    overridden(answer.overridden)
                    if is_over and answer.overridden is not None
                    else SyncResult(kind="synced")
                )
            if before != (memory.retention, memory.destinations, memory.sync):
                self._queue.add(Item(POLICIES, key))
