"""One AuditPolicy, from what is seen of it to what the hub holds and its status says.

Owns the order of things: decide, read Secrets, send, write the status, test. Called by the workers
with one policy at a time. Every step may be cut at any line: all are idempotent, and the next
reconcile begins anew. Never keeps the value of a Secret after the request that carries it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any

from radar_audit_events.policy_answers import Override, OwnerAnswer
from radar_audit_events.policy_wire import CODE_STALE, OwnerDocument

from .cluster import Cluster
from .connections import Connection, Connections
from .errors import (
    ClusterError,
    HubRefusedError,
    HubUnauthorizedError,
    HubUnreachableError,
)
from .memory import Memory, Version
from .metrics import Metrics
from .plan.document import policy_document, policy_owner
from .plan.notices import Notice
from .plan.policy import Decision, decide
from .plan.secrets import Found, Use, judge, uses
from .plan.verdicts import SyncResult, tried_sentence
from .settings import OperatorSettings
from .specs import HUBS, POLICIES, Hub, Key, Policy
from .status import Facts, policy_status
from .work_queue import Item, WorkQueue
from .world import World
from .writer import Writer

Clock = Callable[[], str]


class PolicyReconciler:
    """Reconciles policies."""

    def __init__(
        self,
        world: World,
        queue: WorkQueue,
        memories: dict[Key, Memory],
        connections: Connections,
        cluster: Cluster,
        writer: Writer,
        metrics: Metrics,
        settings: OperatorSettings,
        own_namespace: str,
        now: Clock,
    ) -> None:
        """Work on these; `now` gives the time as RFC 3339."""
        self._world, self._queue, self._memories = world, queue, memories
        self._connections, self._cluster, self._writer = connections, cluster, writer
        self._metrics, self._settings = metrics, settings
        self._own_namespace, self._now = own_namespace, now

    async def reconcile(self, key: Key) -> str:
        """Do all that is due for one policy; return the outcome as a word for the metric.

        Raises ClusterError, ClusterUnreachableError, HubUnreachableError: try again.
        """
        policy = self._world.policies.get(key)
        if policy is None:
            return await self._release(key)
        memory = self._memories.setdefault(key, Memory())
        if memory.uid not in {"", policy.meta.uid}:  # another object of that name
            memory = self._memories[key] = Memory(seen_from=memory.seen_from)
        decision = self.decision(policy)
        facts = await self._facts(policy, decision, memory)
        if facts is None:
            return "waiting"
        written = await self._writer.policy(policy, policy_status(policy, facts, self._now()))
        self._measure(memory, facts)
        await self._test(policy, memory)
        return "written" if written else "unchanged"

    def decision(self, policy: Policy) -> Decision:
        """Return what is to be done with a policy as things are."""
        labels = self._world.labels_of(policy.meta.key.namespace)
        return decide(policy, self._world.hub_of(policy), self._own_namespace, labels)

    async def _facts(self, policy: Policy, decision: Decision, memory: Memory) -> Facts | None:
        hub = self._world.hub_of(policy)
        if hub is None or decision.action == "refuse":
            memory.sync = None
            memory.acknowledged = memory.enforced = None
            return Facts(accepted=decision.accepted, sync=None, secrets={})
        memory.owner_id, memory.hub_name = policy_owner(policy, hub), hub.meta.key.name
        memory.uid, memory.deletion_policy = policy.meta.uid, policy.spec.deletion_policy
        memory.last_seen = policy
        connection = self._connections.get(hub.meta.key.name)
        if decision.action == "leave":
            left = SyncResult(kind="left")
            memory.sync, memory.acknowledged = left, None
            return self._told(decision, hub, memory, left)
        if connection is None or connection.state == "new":
            return None  # the AuditHub's own reconcile queues its policies when it knows more
        await self._bring_about(policy, decision, memory, connection)
        trouble = connection.trouble(memory.good_at, self._settings.unready_after_seconds)
        sync = memory.sync
        if trouble is not None and self._shows(trouble, memory):
            sync = trouble
        return None if sync is None else self._told(decision, hub, memory, sync, policy)

    def _shows(self, trouble: SyncResult, memory: Memory) -> bool:
        """Return whether a hub's trouble is this policy's: at once if it has something to send."""
        has_word = memory.acknowledged is not None and memory.sync is not None
        return trouble.kind != "unreachable" or trouble.is_grace_over or not has_word

    def _told(
        self,
        decision: Decision,
        hub: Hub,
        memory: Memory,
        sync: SyncResult,
        policy: Policy | None = None,
    ) -> Facts:
        synced_at = None
        if policy is not None and sync.kind == "synced":
            memory.good_at = memory.good_at or policy.status.get("lastSyncTime", "")
            is_new = policy.status.get("observedGeneration") != policy.meta.generation
            if is_new or not policy.status.get("lastSyncTime"):
                memory.good_at = self._now()
            synced_at = memory.good_at
        is_final = sync.kind in {"synced", "tried"}
        return Facts(
            accepted=decision.accepted,
            sync=sync,
            owner_id=memory.owner_id,
            organization=hub.spec.organization,
            revision=memory.revision,
            synced_at=synced_at,
            retention=memory.retention,
            destinations=memory.destinations,
            secrets=memory.secrets,
            last_test=memory.last_test,
            handled_sync=policy.meta.sync_now if policy is not None and is_final else "",
        )

    async def _bring_about(
        self, policy: Policy, decision: Decision, memory: Memory, connection: Connection
    ) -> None:
        is_dry_run = decision.action == "try"
        if policy.meta.sync_now != policy.status.get("lastHandledSync", ""):
            memory.is_forced = memory.rereads = True
        secrets: Mapping[Use, Found] = memory.secrets
        if self._secrets_changed(policy, memory):
            secrets = await self._read_secrets(policy, memory)
        document = policy_document(policy, secrets, decision.only_namespace)
        version = (document.uid, document.generation, document.spec_hash)
        if memory.acknowledged == (version, is_dry_run) and not memory.is_forced:
            return
        if memory.acknowledged is not None and memory.acknowledged[0] != version:
            memory.acknowledged = None
        if connection.state != "up":
            memory.acknowledged = None
            return
        if any(found.value is None and found.problem is None for found in secrets.values()):
            secrets = await self._read_secrets(policy, memory)
            document = policy_document(policy, secrets, decision.only_namespace)
            version = (document.uid, document.generation, document.spec_hash)
        await self._send(memory, connection, document, version, is_dry_run=is_dry_run)

    async def _send(
        self,
        memory: Memory,
        connection: Connection,
        document: OwnerDocument,
        version: Version,
        *,
        is_dry_run: bool,
    ) -> None:
        try:
            answer = await connection.client.put(memory.owner_id, document, dry_run=is_dry_run)
        except HubUnreachableError as error:
            memory.acknowledged = None
            memory.sync = self._failed(memory, error)
            # The hub's own reconcile judges whether it is away as a whole.
            self._queue.add(Item(HUBS, Key("", memory.hub_name)))
            item = Item(POLICIES, self._key_of(memory))
            self._queue.retry(item, error.retry_after_seconds or 0.0)
            return
        except HubUnauthorizedError as error:
            memory.acknowledged = None
            connection.refuse("unauthorized", str(error))
            self._queue.add(Item(HUBS, Key("", memory.hub_name)))
            return
        except HubRefusedError as error:
            memory.sync = SyncResult(kind="refused", code=error.code, sentence=str(error))
            memory.acknowledged, memory.is_forced = (version, is_dry_run), False
            if error.code == CODE_STALE:  # our view is behind: the watch brings a newer one
                memory.acknowledged = None
                self._queue.retry(Item(POLICIES, self._key_of(memory)))
            return
        self._learn(memory, answer, version, is_dry_run=is_dry_run)
        connection.good_at = self._now()

    def _failed(self, memory: Memory, error: HubUnreachableError) -> SyncResult:
        if not memory.failing_at:
            memory.failing_at, memory.failing_from = self._now(), time.monotonic()
        away_seconds = time.monotonic() - memory.failing_from
        return SyncResult(
            kind="unreachable",
            sentence=error.reason,
            down_since=memory.failing_at,
            last_good=memory.good_at,
            is_grace_over=away_seconds >= self._settings.unready_after_seconds,
        )

    def _learn(
        self, memory: Memory, answer: OwnerAnswer, version: Version, *, is_dry_run: bool
    ) -> None:
        memory.acknowledged, memory.is_forced = (version, is_dry_run), False
        memory.retention, memory.destinations = answer.retention, answer.destinations
        memory.failing_at = ""
        memory.sync = SyncResult(kind="synced")
        if is_dry_run:
            memory.sync = SyncResult(kind="tried", sentence=tried_sentence(answer.would_have_sent))
        if not is_dry_run:
            memory.enforced = version
        if answer.result == "stored":  # else others moved the revision, and nothing is new here
            memory.good_at, memory.revision = self._now(), answer.revision
        if answer.overridden is not None and answer.retention is not None:
            memory.sync = overridden(answer.overridden)

    def _secrets_changed(self, policy: Policy, memory: Memory) -> bool:
        wanted = set(uses(policy.spec))
        if memory.rereads or wanted != set(memory.secrets):
            return True
        namespace = policy.meta.key.namespace
        if namespace not in self._world.watched_secrets:
            return any(found.problem is not None for found in memory.secrets.values())
        return any(
            self._world.secret_versions.get(Key(namespace, name)) != (seen or None)
            for name, seen in memory.secret_versions.items()
        )

    async def _read_secrets(self, policy: Policy, memory: Memory) -> dict[Use, Found]:
        """Read the policy's Secrets; remember of them all but the values."""
        namespace, found = policy.meta.key.namespace, dict[Use, Found]()
        read: dict[str, tuple[dict[str, Any] | None, int]] = {}
        for use in uses(policy.spec):
            if use.ref.name not in read:
                read[use.ref.name] = await self._read(namespace, use.ref.name)
            secret, refusal = read[use.ref.name]
            found[use] = judge(use, secret, refusal)
        memory.secrets = {use: dataclasses.replace(seen, value=None) for use, seen in found.items()}
        memory.secret_versions = {name: _version(secret) for name, (secret, _) in read.items()}
        memory.rereads = False
        is_watched = namespace in self._world.watched_secrets
        if not is_watched and any(seen.problem is not None for seen in found.values()):
            item = Item(POLICIES, policy.meta.key)
            self._queue.add_later(item, self._settings.secret_retry_seconds)
        return found

    async def _read(self, namespace: str, name: str) -> tuple[dict[str, Any] | None, int]:
        try:
            return await self._cluster.secret(namespace, name), 200
        except ClusterError as error:
            if error.status not in {403, 404}:
                raise
            return None, error.status

    async def _release(self, key: Key) -> str:
        """Release a deleted policy at once; heartbeats do it in time if this does not succeed."""
        memory = self._memories.get(key)
        connection = None if memory is None else self._connections.get(memory.hub_name)
        if memory is None or connection is None or not memory.uid:
            self._memories.pop(key, None)
            return "gone"
        # What the hub refuses, it refuses again: the heartbeats are left to do it.
        with contextlib.suppress(HubUnauthorizedError, HubRefusedError):
            await connection.client.release(memory.owner_id, memory.deletion_policy, memory.uid)
        gone = memory.last_seen
        retention = gone.spec.retention if gone is not None else None
        held = [hold.name for hold in retention.holds if not hold.released] if retention else []
        if gone is not None and held:
            message = f"{', '.join(held)} goes on holding events; an org owner can end it"
            self._writer.tell(gone, Notice("Warning", "HoldOutlivesPolicy", message))
        if key not in self._world.policies:
            self._memories.pop(key, None)
        return "released"

    async def _test(self, policy: Policy, memory: Memory) -> None:
        """Send the test that the annotation asks for, once per value of it."""
        wanted = policy.meta.test_send
        done = memory.last_test or policy.status.get("lastTest") or {}
        connection = self._connections.get(memory.hub_name)
        is_known = memory.sync is not None and memory.sync.kind == "synced"
        if not wanted or done.get("request") == wanted or connection is None or not is_known:
            return
        destination = wanted.split("/", 1)[0].strip()
        names = [
            each.name
            for each in (
                policy.spec.notifications.destinations if policy.spec.notifications else ()
            )
        ]
        delivered, message = False, f"there is no destination {destination}; there is "
        message += ", ".join(names) or "none"
        if destination in names:
            try:
                answer = await connection.client.test(memory.owner_id, destination)
                delivered, message = answer.delivered, answer.error or "the test arrived"
            except (HubRefusedError, HubUnauthorizedError) as error:
                message = str(error)
        memory.last_test = {
            "request": wanted,
            "time": self._now(),
            "delivered": delivered,
            "message": message[:512],
        }
        told = f"{destination}: {message}"
        sent, failed = Notice("Normal", "TestSent", told), Notice("Warning", "TestFailed", told)
        self._writer.tell(policy, sent if delivered else failed)
        self._queue.add(Item(POLICIES, policy.meta.key))  # its status tells the result

    def _measure(self, memory: Memory, facts: Facts) -> None:
        if memory.seen_from and facts.sync is not None and facts.sync.kind == "synced":
            self._metrics.edit_to_synced_seconds.observe(time.monotonic() - memory.seen_from)
            memory.seen_from = 0.0

    def _key_of(self, memory: Memory) -> Key:
        _, _, namespace, name = memory.owner_id.split(":")
        return Key(namespace, name)


def overridden(found: Override) -> SyncResult:
    """Return what Synced says while an org owner's own settings stand."""
    said = f"{found.by} has set the retention at the hub until {found.until}"
    return SyncResult(kind="overridden", sentence=f"{said}; this policy's comes back then")


def _version(secret: Mapping[str, Any] | None) -> str:
    if secret is None:
        return ""
    meta = secret.get("metadata") or {}
    return f"{meta.get('uid', '')}:{meta.get('resourceVersion', '')}"
