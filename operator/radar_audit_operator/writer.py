"""Writes a status when it changed, and tells the change as events.

Owns the one write that a change costs. Called by both reconciles. Never writes what is already
there, and never anything but `.status`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import msgspec

from .cluster import Cluster
from .errors import ClusterError
from .plan.notices import Notice, transitions
from .poster import Poster
from .specs import HUBS, POLICIES, Hub, Policy, pack
from .status import merge_patch
from .world import World

_logger = logging.getLogger(__name__)


class Writer:
    """The status writer."""

    def __init__(self, cluster: Cluster, world: World, poster: Poster) -> None:
        """Write through these."""
        self._cluster, self._world, self._poster = cluster, world, poster

    async def policy(self, policy: Policy, status: Mapping[str, Any]) -> bool:
        """Bring a policy's status about; return whether it was written.

        Raises ClusterError, ClusterUnreachableError.
        """
        written = await self._write(POLICIES, policy, status)
        held = self._world.policies.get(policy.meta.key)
        if written is not None and held is not None and held.meta.uid == policy.meta.uid:
            self._world.policies[policy.meta.key] = msgspec.structs.replace(
                held, packed=pack(written)
            )
        return written is not None

    async def hub(self, hub: Hub, status: Mapping[str, Any]) -> bool:
        """Bring an AuditHub's status about; return whether it was written."""
        written = await self._write(HUBS, hub, status)
        held = self._world.hubs.get(hub.meta.key)
        if written is not None and held is not None and held.meta.uid == hub.meta.uid:
            self._world.hubs[hub.meta.key] = msgspec.structs.replace(held, packed=pack(written))
        return written is not None

    def tell(self, seen: Policy | Hub, notice: Notice) -> None:
        """Post an event about an object."""
        kind = "AuditPolicy" if isinstance(seen, Policy) else "AuditHub"
        self._poster.post(kind, seen.meta, notice)

    async def _write(
        self, plural: str, seen: Policy | Hub, status: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        before = seen.status
        patch = merge_patch(before, dict(status))
        if not patch:
            return None
        key = seen.meta.key
        try:
            answer = await self._cluster.patch_status(plural, key.namespace, key.name, patch)
        except ClusterError as error:
            if error.status != 404:  # it was deleted meanwhile, which is well
                raise
            return None
        for notice in transitions(before, status):
            self.tell(seen, notice)
        return dict(answer.get("status") or {})
