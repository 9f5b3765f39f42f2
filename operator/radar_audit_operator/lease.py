"""Which replica is active: one holds a Lease, the others stand by.

Owns acquiring, renewing and giving up. Called by `app`. Losing the Lease is no error: the replica
stands by and tries again. Another's clock is never trusted: a holder is silent when its record has
not changed for the Lease's time by our own clock.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from .cluster import Cluster
from .errors import ClusterError, ClusterUnreachableError

_RENEW_PART = 3.0  # renewals per Lease time; two may fail
_logger = logging.getLogger(__name__)


class Lease:
    """One replica's view of the Lease; `held` tells whether this replica is active now."""

    def __init__(
        self, cluster: Cluster, namespace: str, name: str, identity: str, seconds: float
    ) -> None:
        """Hold nothing yet."""
        self._cluster, self._namespace, self._name = cluster, namespace, name
        self._identity, self._seconds = identity, seconds
        self._seen: tuple[object, float] = (None, 0.0)
        self._renewed_at = 0.0
        self._trouble = ""
        self.held = False
        self.holder = ""

    async def run(
        self, activate: Callable[[], Awaitable[None]], stand_by: Callable[[], Awaitable[None]]
    ) -> None:
        """Compete for ever; `activate` and `stand_by` are awaited at each change."""
        while True:
            asked_at = time.monotonic()
            won = await self._attempt()
            if won:
                self._renewed_at = asked_at
            is_fresh = time.monotonic() - self._renewed_at < self._seconds * 2 / 3
            is_other = bool(self.holder) and self.holder != self._identity
            if self.held and not won and (is_other or not is_fresh):
                self.held = False
                _logger.warning("the Lease is lost; standing by", extra={"holder": self.holder})
                await stand_by()
            elif won and not self.held:
                self.held = True
                _logger.info("the Lease is held; active", extra={"identity": self._identity})
                await activate()
            await asyncio.sleep(self._seconds / _RENEW_PART)

    async def release(self) -> None:
        """Give the Lease up, so that another replica need not wait for its time to pass."""
        if not self.held:
            return
        self.held = False
        try:
            lease = await self._cluster.lease(self._namespace, self._name)
            if (lease.get("spec") or {}).get("holderIdentity") == self._identity:
                spec = {**lease["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}
                await self._replace(lease | {"spec": spec})
        except (ClusterError, ClusterUnreachableError) as error:
            _logger.info("the Lease was not given up", extra={"cause": str(error)})

    async def _attempt(self) -> bool:
        try:
            async with asyncio.timeout(self._seconds / 2):
                return await self._compete()
        except (ClusterError, ClusterUnreachableError) as error:
            self._complain(str(error))
        except TimeoutError:
            self._complain("the API server does not answer in time")
        return False

    async def _compete(self) -> bool:
        try:
            lease = await self._cluster.lease(self._namespace, self._name)
        except ClusterError as error:
            if error.status != 404:
                raise
            await self._cluster.create_lease(self._namespace, self._fresh())
            self.holder = self._identity
            return True
        spec: Mapping[str, Any] = lease.get("spec") or {}
        self.holder = str(spec.get("holderIdentity") or "")
        self._trouble = ""
        if self.holder not in {"", self._identity} and not self._is_silent(spec):
            return False
        await self._replace(lease | {"spec": self._record(spec)})
        self.holder = self._identity
        return True

    def _is_silent(self, spec: Mapping[str, Any]) -> bool:
        record = (spec.get("holderIdentity"), spec.get("renewTime"))
        if record != self._seen[0]:
            self._seen = (record, time.monotonic())
        return time.monotonic() - self._seen[1] > self._seconds

    async def _replace(self, lease: Mapping[str, Any]) -> None:
        await self._cluster.replace_lease(self._namespace, self._name, lease)

    def _record(self, before: Mapping[str, Any]) -> dict[str, Any]:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        changes = int(before.get("leaseTransitions") or 0)
        record = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": max(1, round(self._seconds)),
            "renewTime": now,
            "acquireTime": before.get("acquireTime") or now,
            "leaseTransitions": changes,
        }
        if before.get("holderIdentity") != self._identity:
            record |= {"acquireTime": now, "leaseTransitions": changes + 1}
        return record

    def _fresh(self) -> dict[str, Any]:
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": self._record({}),
        }

    def _complain(self, cause: str) -> None:
        if cause != self._trouble:
            _logger.warning("the Lease cannot be renewed", extra={"cause": cause})
        self._trouble = cause
