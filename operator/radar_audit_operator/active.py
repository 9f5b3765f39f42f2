"""The part of the operator that works: everything that exists only while this replica is active.

Owns the wiring of world, queue, reconciles, watches and resync, and the order in which they begin.
Made by `app` when the Lease is won and stopped when it is lost; nothing is kept over that.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from datetime import UTC, datetime

from radar_audit_runtime.tasks import Tasks

from .cluster import API, Cluster
from .connections import Connections
from .errors import ClusterError, ClusterUnreachableError, HubUnreachableError
from .handlers.watching import Watching
from .intake import Intake
from .memory import Memory
from .metrics import Metrics
from .poster import COMPONENT, Poster
from .reconcile_hub import HubReconciler
from .reconcile_policy import PolicyReconciler
from .resync import Resync
from .settings import OperatorSettings
from .specs import GROUP, HUBS, POLICIES, VERSION, Key
from .watches import Watches
from .work_queue import Item, WorkQueue
from .world import World
from .writer import Writer

_RESTARTS = 1_000_000  # a task that ends is started anew; readiness tells while it is down
_RETRY_SECONDS = 2.0
_SHOW_SECONDS = 5.0
_logger = logging.getLogger(__name__)


class Active:
    """One active operator."""

    def __init__(
        self,
        settings: OperatorSettings,
        cluster: Cluster,
        metrics: Metrics,
        own_namespace: str,
        identity: str,
        version: str,
    ) -> None:
        """Make the parts; nothing runs before `start`."""
        self._settings, self._cluster, self._metrics = settings, cluster, metrics
        self.world, self.memories = World(), dict[Key, Memory]()
        self.queue = queue = WorkQueue(
            settings.queue_limit, settings.retry_max_seconds, time.monotonic
        )
        self._intake = Intake(
            self.world, queue, self.memories, own_namespace, settings.gateway_container
        )
        self.connections = Connections()
        self._poster = Poster(cluster, metrics, identity, settings.event_quiet_seconds)
        self._writer = Writer(cluster, self.world, self._poster)
        self._own_namespace, self._version = own_namespace, version
        self._policies = self._make_policies()
        self._hubs = self._make_hubs()
        self._resync = self._make_resync()
        self._watches = Watches(cluster, self.world, self._intake, settings, own_namespace)
        self._watching = Watching(self._intake.take, cluster.credentials)
        self._tasks = Tasks()
        self._is_listed = False

    def start(self) -> None:
        """Begin: first a complete list, then the watches; the tasks look after themselves."""
        self._tasks.start("poster", self._poster.run, _RESTARTS)
        for number in range(self._settings.workers):
            self._tasks.start(f"worker {number}", self._work, _RESTARTS)
        self._tasks.start("kopf", self._watch, _RESTARTS, _RETRY_SECONDS)
        self._tasks.start("watches", self._watches.run, _RESTARTS)
        self._tasks.start("resync", self._resync.run, _RESTARTS)
        self._tasks.start("figures", self._show, _RESTARTS)

    async def stop(self) -> None:
        """End every task and close the connections; what was half done is done again later."""
        await self._tasks.stop()
        await self.connections.close()

    def is_ready(self) -> bool:
        """Return whether all objects are known and watched."""
        return self._is_listed and self._watching.is_running

    def is_healthy(self) -> bool:
        """Return whether every task runs."""
        return self._tasks.healthy()

    def _make_policies(self) -> PolicyReconciler:
        return PolicyReconciler(
            self.world,
            self.queue,
            self.memories,
            self.connections,
            self._cluster,
            self._writer,
            self._metrics,
            self._settings,
            self._own_namespace,
            now,
        )

    def _make_hubs(self) -> HubReconciler:
        return HubReconciler(
            self.world,
            self.queue,
            self._intake,
            self.connections,
            self._cluster,
            self._writer,
            self._metrics,
            self._settings,
            self._own_namespace,
            f"{COMPONENT}/{self._version}",
            now,
            time.monotonic,
        )

    def _make_resync(self) -> Resync:
        return Resync(
            self.world,
            self.queue,
            self._intake,
            self.memories,
            self.connections,
            self._policies,
            self._cluster,
            self._metrics,
            self._version,
            now,
        )

    async def _watch(self) -> None:
        await self._until_served()
        while True:
            if await self._resync.list_all():
                break
            await asyncio.sleep(_RETRY_SECONDS)
        self._is_listed = True
        await self._watching.run()

    async def _until_served(self) -> None:
        """Wait until the API server serves both kinds; say once what is missing."""
        told = False
        while True:
            try:
                served = await self._cluster.get(API)
                names = {each.get("name") for each in served.get("resources") or ()}
            except ClusterError:
                names = set()
            except ClusterUnreachableError as error:
                _logger.warning("the API server is away", extra={"cause": error.reason})
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            missing = {POLICIES, HUBS} - names
            if not missing:
                return
            if not told:
                facts = {"missing": ",".join(sorted(missing)), "set": f"{GROUP}/{VERSION}"}
                _logger.error("the API server does not serve our kinds; apply crds/", extra=facts)
                told = True
            await asyncio.sleep(_RETRY_SECONDS)

    async def _work(self) -> None:
        while True:
            item = await self.queue.take()
            began = time.monotonic()
            try:
                result = await self._one(item)
            except (ClusterError, ClusterUnreachableError, HubUnreachableError) as error:
                _logger.info(
                    "tried again later", extra={"object": _name(item), "cause": str(error)}
                )
                self.queue.retry(item)
                result = "error"
            except Exception:  # one object must not stop the others
                _logger.exception("a reconcile failed", extra={"object": _name(item)})
                self.queue.retry(item)
                result = "fault"
            finally:
                self.queue.done(item)
            self._metrics.reconciles.labels(result).inc()
            self._metrics.reconcile_seconds.observe(time.monotonic() - began)

    async def _one(self, item: Item) -> str:
        if item.plural == HUBS:
            return await self._hubs.reconcile(item.key)
        return await self._policies.reconcile(item.key)

    async def _show(self) -> None:
        while True:
            self.show()
            await asyncio.sleep(_SHOW_SECONDS)

    def show(self) -> None:
        """Publish the figures that are counted, not summed."""
        metrics, world = self._metrics, self.world
        metrics.queue_depth.set(len(self.queue))
        metrics.queue_oldest.set(self.queue.oldest_seconds)
        metrics.queue_dropped.set(self.queue.dropped)
        ready: Counter[tuple[str, str]] = Counter()
        destinations: Counter[str] = Counter()
        pending = 0
        for policy in world.policies.values():
            shown = policy.status
            for condition in shown.get("conditions") or ():
                if condition["type"] == "Ready":
                    ready[condition["status"], condition["reason"]] += 1
            for each in shown.get("destinations") or ():
                for condition in each.get("conditions") or ():
                    destinations[condition["reason"]] += 1
            waits = (shown.get("retention") or {}).get("pending") or {}
            pending += int(waits.get("wouldDelete") or 0)
        metrics.policies.clear()
        for (status, reason), count in ready.items():
            metrics.policies.labels(status, reason).set(count)
        metrics.destinations.clear()
        for reason, count in destinations.items():
            metrics.destinations.labels(reason).set(count)
        metrics.pending_shrink_events.set(pending)
        pods = world.radar_pods or {}
        metrics.radar_pods.set(len(pods))
        metrics.radar_pods_without_gateway.set(sum(not present for present in pods.values()))


def now() -> str:
    """Return the time as conditions have it: RFC 3339 in UTC, whole seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _name(item: Item) -> str:
    return "/".join(part for part in (item.plural, *item.key) if part)
