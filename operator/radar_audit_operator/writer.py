"""Writes a status when it changed, and tells the change as events.

Owns the one write that a change costs. Called by both reconciles. Never writes what is already
there, and never anything but `.status`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from .cluster import Cluster
from .errors import ClusterError
from .plan.notices import Notice, transitions
from .poster import Poster
from .specs import HUBS, POLICIES, Hub, Key, Policy, pack, read_meta
from .status import merge_patch
from .world import World

T = TypeVar("T", Policy, Hub)
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
        return _adopt(self._world.policies, policy, written)

    async def hub(self, hub: Hub, status: Mapping[str, Any]) -> bool:
        """Bring an AuditHub's status about; return whether it was written."""
        written = await self._write(HUBS, hub, status)
        return _adopt(self._world.hubs, hub, written)

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
        return answer


def _adopt(known: dict[Key, T], seen: T, written: Mapping[str, Any] | None) -> bool:
    """Keep what a write made of an object with its version; return whether there was a write.

    Without the version, an event from before the write (a slow list) would bring the old status
    back, and the same change would be written and told once more. What changed unseen before the
    write is not lost: the event of the write itself bears its version and is taken.
    """
    if written is None:
        return False
    meta = read_meta(written)
    held = known.get(meta.key)
    is_same = held is not None and held.meta.uid == seen.meta.uid == meta.uid
    if held is not None and is_same and held.meta.resource_version < meta.resource_version:
        known[meta.key] = msgspec.structs.replace(
            held,
            meta=msgspec.structs.replace(held.meta, resource_version=meta.resource_version),
            packed=pack(dict(written.get("status") or {})),
        )
    return True
