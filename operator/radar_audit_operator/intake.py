"""Watch events and lists, taken into the world; what changed is queued.

Owns the rule of what counts as a change. Called by the handlers, the watches and the resync. Never
waits and never talks to anybody: Kopf and the watches go on at once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import msgspec

from .errors import SpecError
from .memory import Memory
from .specs import HUBS, POLICIES, Hub, Key, Meta, Policy, read_hub, read_meta, read_policy
from .work_queue import Item, WorkQueue
from .world import World, runs_with_gateway

_logger = logging.getLogger(__name__)
T = TypeVar("T", Policy, Hub)
_COUNT_SECONDS = 2.0
_MAX_GONE = 10_000  # a list that still shows a deleted object is seconds old


class Intake:
    """Feeds a world and a queue."""

    def __init__(
        self,
        world: World,
        queue: WorkQueue,
        memories: dict[Key, Memory],
        own_namespace: str,
        gateway_container: str,
    ) -> None:
        """Change these from now on."""
        self._world, self._queue, self._memories = world, queue, memories
        self._own_namespace, self._gateway_container = own_namespace, gateway_container
        self._gone: dict[str, None] = {}  # uids of deleted objects, which never come back

    def take(self, plural: str, kind: str | None, raw: Mapping[str, Any]) -> None:
        """Take an event of one of our kinds; `kind` is the watch's, null for a listed one."""
        try:
            if plural == POLICIES:
                self._take(self._world.policies, plural, kind, raw, read_policy)
            else:
                self._take(self._world.hubs, plural, kind, raw, read_hub)
        except SpecError as error:
            _logger.warning("an object cannot be understood", extra={"cause": str(error)})

    def known(self, plural: str) -> dict[Key, str]:
        """Return the objects of a kind with their uids: what a list that begins now may miss."""
        return {key: held.meta.uid for key, held in self._held(plural).items()}

    def replace(self, plural: str, before: Mapping[Key, str], listed: Iterable[Key]) -> None:
        """Remove what a complete list no longer has: its deletion was missed.

        `before` is what was known when the list began. What the watch has brought since may be
        younger than the list, and stays.
        """
        held = self._held(plural)
        for key in before.keys() - set(listed):
            if key in held and held[key].meta.uid == before[key]:
                self._forget(before[key])
                del held[key]
                self._queue.add(Item(plural, key))

    def take_secret(self, kind: str, raw: Mapping[str, Any]) -> None:
        """Take the metadata of a Secret in a watched namespace."""
        meta = raw.get("metadata") or {}
        key = Key(str(meta.get("namespace", "")), str(meta.get("name", "")))
        version = f"{meta.get('uid', '')}:{meta.get('resourceVersion', '')}"
        before = self._world.secret_versions.get(key)
        if kind == "DELETED":
            self._world.secret_versions.pop(key, None)
        else:
            self._world.secret_versions[key] = version
        if self._world.secret_versions.get(key) != before:
            self._secret_changed(key)

    def replace_secrets(self, namespace: str, listed: set[Key]) -> None:
        """Begin with a complete list of a namespace's Secrets; from now on it is watched."""
        gone = {key for key in self._world.secret_versions if key.namespace == namespace} - listed
        for key in gone:
            del self._world.secret_versions[key]
        for key in gone:
            self._secret_changed(key)
        if namespace not in self._world.watched_secrets:
            # A Secret may have changed between the time it was read and this list.
            self._world.watched_secrets.add(namespace)
            self._queue_namespace(namespace)
            if namespace == self._own_namespace:
                self.queue_hubs()

    def forget_secrets(self, namespace: str) -> None:
        """End the watch of a namespace's Secrets: they are read when needed instead."""
        self._world.watched_secrets.discard(namespace)
        for key in [key for key in self._world.secret_versions if key.namespace == namespace]:
            del self._world.secret_versions[key]

    def take_namespace(self, kind: str, raw: Mapping[str, Any]) -> None:
        """Take the metadata of a namespace: its labels decide on grants."""
        meta = raw.get("metadata") or {}
        name, labels = str(meta.get("name", "")), dict(meta.get("labels") or {})
        known = self._world.labels if self._world.labels is not None else {}
        self._world.labels = known
        before = known.get(name)
        if kind == "DELETED":
            known.pop(name, None)
        else:
            known[name] = labels
        if known.get(name) != before:
            self._queue_namespace(name)

    def namespaces_unreadable(self) -> None:
        """Note that labels cannot be read, so that no grant can be matched."""
        if self._world.labels is not None:
            self._world.labels = None
            self.queue_all()

    def take_pod(self, kind: str, raw: Mapping[str, Any]) -> None:
        """Take one of Radar's pods; one that has ended no longer counts."""
        pods = self._world.radar_pods if self._world.radar_pods is not None else {}
        self._world.radar_pods = pods
        before = dict(pods)
        meta, phase = raw.get("metadata") or {}, (raw.get("status") or {}).get("phase")
        key = Key(str(meta.get("namespace", "")), str(meta.get("name", "")))
        if kind == "DELETED" or phase in {"Succeeded", "Failed"} or meta.get("deletionTimestamp"):
            pods.pop(key, None)
        else:
            pods[key] = runs_with_gateway(raw, self._gateway_container)
        if pods != before:
            self.queue_hubs()

    def replace_pods(self, namespace: str, listed: set[Key]) -> None:
        """Begin with a complete list of the Radar pods of a namespace."""
        pods = self._world.radar_pods if self._world.radar_pods is not None else {}
        kept = {
            key: seen for key, seen in pods.items() if key.namespace != namespace or key in listed
        }
        if kept != pods or self._world.radar_pods is None:
            self._world.radar_pods = kept
            self.queue_hubs()

    def queue_all(self) -> None:
        """Queue every object."""
        self.queue_hubs()
        for key in self._world.policies:
            self._queue.add(Item(POLICIES, key))

    def queue_hubs(self) -> None:
        """Queue every AuditHub."""
        for key in self._world.hubs:
            self._queue.add(Item(HUBS, key))

    def queue_policies_of(self, hub_name: str) -> None:
        """Queue the policies of an AuditHub."""
        for policy in self._world.policies_of(hub_name):
            self._queue.add(Item(POLICIES, policy.meta.key))

    def _held(self, plural: str) -> dict[Key, Any]:
        return self._world.policies if plural == POLICIES else self._world.hubs

    def _forget(self, uid: str) -> None:
        """Take an object for gone for good, whatever an older list says of it."""
        self._gone[uid] = None
        if len(self._gone) > _MAX_GONE:
            del self._gone[next(iter(self._gone))]

    def _take(
        self,
        known: dict[Key, T],
        plural: str,
        kind: str | None,
        raw: Mapping[str, Any],
        read: Callable[[Mapping[str, Any]], T],
    ) -> None:
        if kind == "DELETED":
            meta = read_meta(raw)
            self._forget(meta.uid)
            held = known.get(meta.key)
            if held is not None and held.meta.uid == meta.uid:
                del known[meta.key]
                self._queue.add(Item(plural, meta.key))
                self._count_again(held)
            return
        new = read(raw)
        if new.meta.uid in self._gone:
            return  # a list that was overtaken by the deletion
        key, old = new.meta.key, known.get(new.meta.key)
        if old is not None and old.meta.uid == new.meta.uid:
            if new.meta.resource_version < old.meta.resource_version:
                return  # a list that was overtaken by the watch
            if _same(old.meta, new.meta) and old.packed == new.packed:
                known[key] = new
                return
        known[key] = new
        if old is None:
            self._count_again(new)
        if plural == POLICIES and (old is None or not _same(old.meta, new.meta)):
            self._memories.setdefault(key, Memory()).seen_from = time.monotonic()
        self._queue.add(Item(plural, key))

    def _count_again(self, seen: Policy | Hub) -> None:
        """Have the AuditHub's count of policies brought up to date, once for a burst of them."""
        if isinstance(seen, Policy):
            name = seen.spec.hub_ref.name
            self._queue.add_later(Item(HUBS, Key("", name)), _COUNT_SECONDS)

    def _secret_changed(self, key: Key) -> None:
        for policy in self._world.policies_with(key):
            self._queue.add(Item(POLICIES, policy.meta.key))
        if key.namespace == self._own_namespace:
            for hub in self._world.hubs.values():
                ref = hub.spec.token_secret_ref
                if ref is not None and ref.name == key.name:
                    self._queue.add(Item(HUBS, hub.meta.key))

    def _queue_namespace(self, name: str) -> None:
        for key in self._world.policies:
            if key.namespace == name:
                self._queue.add(Item(POLICIES, key))


def _same(old: Meta, new: Meta) -> bool:
    """Return whether two states of an object differ in nothing that asks for work."""
    return msgspec.structs.replace(old, resource_version=0) == msgspec.structs.replace(
        new, resource_version=0
    )
