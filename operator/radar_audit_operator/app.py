"""The operator as a whole: what is started, in which order, and how it ends.

Owns the life of the process: probes, the connection to the API server, the Lease, and the active
part while it is held. Called by `main`. Never reads the environment. Losing the Lease or the hub is
a state, not an error.
"""

from __future__ import annotations

import asyncio
import logging
import socket

from radar_audit_runtime.probes import Probes
from radar_audit_runtime.tasks import Tasks

from .active import Active
from .cluster import Cluster, pod_namespace
from .errors import OperatorError
from .lease import Lease
from .metrics import Metrics
from .settings import PREFIX, OperatorSettings

COMPONENT = "operator"
_WATCH_SECONDS = 0.5
_logger = logging.getLogger(__name__)


class App:
    """One running replica."""

    def __init__(self, settings: OperatorSettings, version: str, kubeconfig: str | None) -> None:
        """Make the parts; null `kubeconfig`: the pod's. Raises OperatorError (own namespace)."""
        self._settings, self._version = settings, version
        self.metrics = Metrics()
        self._namespace = own_namespace(settings)
        self._identity = settings.identity or socket.gethostname()
        self._cluster = Cluster(f"radar-audit-operator/{version}", self._record, kubeconfig)
        self._lease = Lease(
            self._cluster,
            self._namespace,
            settings.lease_name,
            self._identity,
            settings.lease_seconds,
        )
        self._tasks = Tasks()
        self.active: Active | None = None
        self.probes_port = 0
        checks = {"cluster": self._is_connected, "tasks": self._is_healthy}
        self._probes = Probes(COMPONENT, version, self.metrics.registry, checks)

    async def run(self) -> None:
        """Start everything in order, then go on until cancelled. Raises OperatorError."""
        host, port = self._settings.probes_address()
        try:
            self.probes_port = await self._probes.start(host, port)
        except OSError as error:
            raise OperatorError(
                f"the probes cannot listen on {host} port {port}: {error.strerror}"
            ) from error
        await self._cluster.open()
        facts = {"namespace": self._namespace, "identity": self._identity}
        _logger.info("the operator runs", extra=facts | {"probes_port": self.probes_port})
        if self._settings.lease_enabled:
            self._tasks.start("lease", self._compete)
        else:
            await self._activate()
        while True:
            if self._tasks.failed():
                raise OperatorError("the task that keeps the Lease ended for good")
            await asyncio.sleep(_WATCH_SECONDS)

    async def drain(self) -> None:
        """Stop working, give the Lease up, close everything."""
        await self._tasks.stop()
        await self._stand_by()
        await self._lease.release()
        await self._cluster.close()
        await self._probes.stop()
        _logger.info("the operator has stopped")

    async def _compete(self) -> None:
        await self._lease.run(self._activate, self._stand_by)

    async def _activate(self) -> None:
        self.active = Active(
            self._settings,
            self._cluster,
            self.metrics,
            self._namespace,
            self._identity,
            self._version,
        )
        self.active.start()
        self.metrics.active.set(1)

    async def _stand_by(self) -> None:
        self.metrics.active.set(0)
        if self.active is not None:
            stopping, self.active = self.active, None
            await stopping.stop()

    def _is_connected(self) -> bool:
        """Return whether the replica does its part: it works, or stands by and sees the Lease."""
        if self.active is not None:
            return self.active.is_ready()
        return self._settings.lease_enabled and bool(self._lease.holder)

    def _is_healthy(self) -> bool:
        active = self.active
        return not self._tasks.failed() and (active is None or active.is_healthy())

    def _record(self, verb: str, resource: str) -> None:
        self.metrics.cluster_writes.labels(verb, resource).inc()


def own_namespace(settings: OperatorSettings) -> str:
    """Return the operator's namespace, set or of its pod. Raises OperatorError."""
    found = settings.namespace or pod_namespace()
    if found is None:
        raise OperatorError(
            f"the operator's namespace is not known outside of a pod; set {PREFIX}NAMESPACE"
        )
    return found
