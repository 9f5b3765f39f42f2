"""Kubernetes events: posted in the background, few, and never in the way.

Owns a bounded queue and the rule of one event per object, reason and quiet time. Called by the
status writer. Never posts what its caller did not make from a transition, and never a secret.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from .cluster import Cluster
from .errors import ClusterError, ClusterUnreachableError
from .metrics import Metrics
from .plan.notices import Notice
from .specs import GROUP, VERSION, Meta

COMPONENT = "radar-audit-operator"
_MAX_WAITING = 1000
_MAX_REMEMBERED = 20_000
_MAX_MESSAGE_CHARS = 1000
_DEFAULT_NAMESPACE = "default"  # where Kubernetes wants events of objects without a namespace
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Posting:
    kind: str
    meta: Meta
    notice: Notice


class Poster:
    """Posts notices; `quiet_seconds` is how long the same reason of an object is not repeated."""

    def __init__(
        self, cluster: Cluster, metrics: Metrics, instance: str, quiet_seconds: float
    ) -> None:
        """Post nothing before `run`."""
        self._cluster, self._metrics, self._instance = cluster, metrics, instance
        self._quiet_seconds = quiet_seconds
        self._waiting: asyncio.Queue[_Posting] = asyncio.Queue(_MAX_WAITING)
        self._posted_at: dict[tuple[str, str], float] = {}

    def post(self, kind: str, meta: Meta, notice: Notice) -> None:
        """Take a notice about an object of a kind; drop and count it when too many wait."""
        now, known = time.monotonic(), (meta.uid, notice.reason)
        last = self._posted_at.get(known)
        if last is not None and now - last < self._quiet_seconds:
            return
        try:
            self._waiting.put_nowait(_Posting(kind, meta, notice))
        except asyncio.QueueFull:
            self._metrics.events_dropped.inc()
            return
        if len(self._posted_at) >= _MAX_REMEMBERED:
            self._posted_at.clear()
        self._posted_at[known] = now

    async def run(self) -> None:
        """Post for ever; one that cannot be posted is dropped and counted."""
        while True:
            posting = await self._waiting.get()
            try:
                await self._send(posting)
            except (ClusterError, ClusterUnreachableError) as error:
                self._metrics.events_dropped.inc()
                facts = {"reason": posting.notice.reason, "cause": str(error)}
                _logger.info("an event was not posted", extra=facts)

    async def _send(self, posting: _Posting) -> None:
        event = self._event(posting)
        namespace = event["metadata"]["namespace"]
        try:
            await self._cluster.create_event(namespace, event)
        except ClusterError as error:
            if error.status != 409:
                raise
            again = {"lastTimestamp": event["lastTimestamp"], "count": 2}
            await self._cluster.patch_event(namespace, event["metadata"]["name"], again)

    def _event(self, posting: _Posting) -> dict[str, Any]:
        meta, notice = posting.meta, posting.notice
        message = notice.message[:_MAX_MESSAGE_CHARS]
        text = f"{meta.uid}\0{notice.reason}\0{message}".encode()
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        involved = {"apiVersion": f"{GROUP}/{VERSION}", "kind": posting.kind, "uid": meta.uid}
        involved |= {"name": meta.key.name}
        if meta.key.namespace:
            involved["namespace"] = meta.key.namespace
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": f"{meta.key.name}.{hashlib.sha256(text).hexdigest()[:16]}",
                "namespace": meta.key.namespace or _DEFAULT_NAMESPACE,
            },
            "involvedObject": involved,
            "type": notice.kind,
            "reason": notice.reason,
            "message": message,
            "source": {"component": COMPONENT},
            "reportingComponent": COMPONENT,
            "reportingInstance": self._instance,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
