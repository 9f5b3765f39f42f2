"""Watches of what is no kind of ours: Secrets and namespaces by their metadata, Radar's pods.

Owns one loop per namespace and kind, begun when a policy makes it necessary and ended with it. Run
as a task by `app`. Secrets are watched by metadata alone: no value leaves the API server for it.
Where a Role does not allow the watch, Secrets are read when needed and at each resync instead.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .cluster import Cluster, WatchEvent
from .errors import ClusterError, ClusterUnreachableError
from .intake import Intake
from .settings import OperatorSettings
from .specs import Key
from .world import World

_TICK_SECONDS = 0.5
_PAUSE_SECONDS = 1.0
_FORBIDDEN_SECONDS = 60.0  # a Role may come later
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Kind:
    """One watch: where, and what its events and its complete first list are given to."""

    path: str
    selector: str
    is_metadata_only: bool
    take: Callable[[str, dict[str, Any]], None]
    replace: Callable[[set[Key]], None]
    refused: Callable[[], None]


class Watches:
    """Keeps the watches that the world needs."""

    def __init__(
        self,
        cluster: Cluster,
        world: World,
        intake: Intake,
        settings: OperatorSettings,
        own_namespace: str,
    ) -> None:
        """Watch nothing before `run`."""
        self._cluster, self._world, self._intake = cluster, world, intake
        self._settings, self._own_namespace = settings, own_namespace
        self._running: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Begin and end watches for ever, as policies come and go."""
        try:
            while True:
                wanted = self._wanted()
                for name in self._running.keys() - wanted.keys():
                    self._running.pop(name).cancel()
                for name in wanted.keys() - self._running.keys():
                    task = asyncio.create_task(self._follow(wanted[name]), name=f"watch {name}")
                    self._running[name] = task
                await asyncio.sleep(_TICK_SECONDS)
        finally:
            for task in self._running.values():
                task.cancel()
            self._running.clear()

    def _wanted(self) -> dict[str, _Kind]:
        kinds = {}
        for namespace in self._world.secret_namespaces() | self._token_namespace():
            kinds[f"secrets {namespace}"] = self._secrets(namespace)
        for namespace in self._settings.radar_namespaces:
            kinds[f"pods {namespace}"] = self._pods(namespace)
        if any(hub.spec.grants for hub in self._world.hubs.values()):
            kinds["namespaces"] = _Kind(
                "/api/v1/namespaces",
                "",
                is_metadata_only=True,
                take=self._intake.take_namespace,
                replace=self._replace_namespaces,
                refused=self._intake.namespaces_unreadable,
            )
        return kinds

    def _token_namespace(self) -> set[str]:
        return {self._own_namespace} if self._world.hubs else set()

    def _secrets(self, namespace: str) -> _Kind:
        return _Kind(
            f"/api/v1/namespaces/{namespace}/secrets",
            "",
            is_metadata_only=True,
            take=self._intake.take_secret,
            replace=lambda listed: self._intake.replace_secrets(namespace, listed),
            refused=lambda: self._intake.forget_secrets(namespace),
        )

    def _pods(self, namespace: str) -> _Kind:
        return _Kind(
            f"/api/v1/namespaces/{namespace}/pods",
            self._settings.radar_selector,
            is_metadata_only=False,
            take=self._intake.take_pod,
            replace=lambda listed: self._intake.replace_pods(namespace, listed),
            refused=lambda: None,
        )

    def _replace_namespaces(self, listed: set[Key]) -> None:
        known = self._world.labels if self._world.labels is not None else {}
        for name in set(known) - {key.name for key in listed}:
            self._intake.take_namespace("DELETED", {"metadata": {"name": name}})
        if self._world.labels is None:
            self._world.labels = {}
            self._intake.queue_all()

    async def _follow(self, kind: _Kind) -> None:
        trouble = ""
        while True:
            pause = _PAUSE_SECONDS
            try:
                await self._once(kind)
                trouble = ""
            except ClusterError as error:
                if error.status in {401, 403}:
                    kind.refused()
                    pause = _FORBIDDEN_SECONDS
                if error.status != 410 and trouble != str(error):
                    trouble = str(error)
                    _logger.warning(
                        "a watch is not possible", extra={"path": kind.path, "cause": trouble}
                    )
            except ClusterUnreachableError as error:
                if trouble != error.reason:
                    trouble = error.reason
                    _logger.info("a watch was cut", extra={"path": kind.path, "cause": trouble})
            await asyncio.sleep(pause)

    async def _once(self, kind: _Kind) -> None:
        selector = {"labelSelector": kind.selector} if kind.selector else {}
        listed: set[Key] | None = set()
        events = self._cluster.watch(kind.path, selector, metadata_only=kind.is_metadata_only)
        async for event in events:
            if event.type == "BOOKMARK":
                if listed is not None:
                    kind.replace(listed)
                    listed = None
                continue
            if listed is not None:
                listed.add(_key(event))
            kind.take(event.type, event.object)


def _key(event: WatchEvent) -> Key:
    meta = event.object.get("metadata") or {}
    return Key(str(meta.get("namespace", "")), str(meta.get("name", "")))
