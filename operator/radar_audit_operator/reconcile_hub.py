"""One AuditHub: its token, its connection, its capture settings and its status.

Owns opening and judging a connection, and telling the policies when it changes. Called by the
workers with one AuditHub at a time. Never keeps the token anywhere but in the client that sends it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from .cluster import Cluster
from .connections import Connection, Connections
from .errors import (
    HubRefusedError,
    HubUnauthorizedError,
    HubUnreachableError,
    SpecError,
)
from .hub_client import HubClient
from .hub_status import HubFacts, hub_status
from .hub_token import HubToken, hub_token
from .intake import Intake
from .metrics import Metrics
from .plan.document import hub_document, hub_owner
from .plan.hub_verdicts import belongs, lacks
from .plan.notices import Notice
from .plan.policy import rival
from .plan.verdicts import Verdict
from .settings import OperatorSettings
from .specs import HUBS, Hub, Key, duration_seconds
from .work_queue import Item, WorkQueue
from .world import World
from .writer import Writer

_logger = logging.getLogger(__name__)
_FIRST_RESYNC_SECONDS = 0.3


class HubReconciler:
    """Reconciles AuditHubs."""

    def __init__(
        self,
        world: World,
        queue: WorkQueue,
        intake: Intake,
        connections: Connections,
        cluster: Cluster,
        writer: Writer,
        metrics: Metrics,
        settings: OperatorSettings,
        own_namespace: str,
        user_agent: str,
        now: Callable[[], str],
        monotonic: Callable[[], float],
    ) -> None:
        """Work on these; `now` gives the time as RFC 3339."""
        self._world, self._queue, self._intake = world, queue, intake
        self._connections, self._cluster, self._writer = connections, cluster, writer
        self._metrics, self._settings, self._own_namespace = metrics, settings, own_namespace
        self._user_agent, self._now, self._monotonic = user_agent, now, monotonic

    async def reconcile(self, key: Key) -> str:
        """Do all that is due for one AuditHub; return the outcome as a word for the metric.

        Raises ClusterError, ClusterUnreachableError: try again.
        """
        hub = self._world.hubs.get(key)
        if hub is None:
            await self._connections.drop(key.name)
            self._intake.queue_policies_of(key.name)
            self._intake.queue_hubs()  # another of the same cluster may take its place
            self._count()
            return "gone"
        other = rival(hub, self._world.hubs.values())
        if other is not None:
            await self._connections.drop(key.name)
            name = other.meta.key.name
            message = f"AuditHub {name} is older and reports for {hub.spec.cluster_id}; delete one"
            return await self._tell(hub, None, Verdict("False", "DuplicateCluster", message), None)
        connected, authorized = await self._connect(hub)
        connection = self._connections.get(key.name)
        self._count()
        return await self._tell(hub, connection, connected, authorized)

    async def _connect(self, hub: Hub) -> tuple[Verdict, Verdict | None]:
        """Open and judge the connection; queue the policies when it has changed."""
        name = hub.meta.key.name
        unknown = Verdict("Unknown", "NotTried", "the hub was not asked, as there is no token")
        token = await hub_token(self._cluster, self._settings, self._own_namespace, hub.spec)
        found = token.found
        if found.value is None:
            await self._connections.drop(name)
            is_secret = hub.spec.token_secret_ref is not None
            where = f" (in namespace {self._own_namespace})" if is_secret else ""
            message = found.message + where
            self._queue.add_later(Item(HUBS, hub.meta.key), self._settings.secret_retry_seconds)
            return unknown, Verdict("False", found.problem or "SecretInvalid", message)
        try:
            connection = await self._opened(hub, token)
        except SpecError as error:
            await self._connections.drop(name)
            return Verdict("False", "InvalidCaBundle", str(error)), None
        before = connection.state
        verdicts = await self._ask(hub, connection)
        grace_ends = connection.is_grace_over(self._settings.unready_after_seconds)
        is_told = connection.state == before and (not grace_ends or connection.is_grace_told)
        connection.is_grace_told = grace_ends
        if not is_told:
            self._intake.queue_policies_of(name)
        return verdicts

    async def _opened(self, hub: Hub, token: HubToken) -> Connection:
        key = "" if hub.spec.token_secret_ref is None else hub.spec.token_secret_ref.key
        identity = (hub.spec.url, token.found.version, hub.spec.ca_bundle or "", key)
        held = self._connections.get(hub.meta.key.name)
        if held is not None and held.identity == identity:
            return held
        client = HubClient(
            hub.spec.url,
            token.read,
            hub.spec.ca_bundle,
            self._settings.hub_timeout_seconds,
            self._user_agent,
            self._observe,
        )
        await self._connections.drop(hub.meta.key.name)
        made = Connection(client, identity)
        made.due = self._monotonic() + _FIRST_RESYNC_SECONDS
        self._connections.by_name[hub.meta.key.name] = made
        return made

    async def _ask(self, hub: Hub, connection: Connection) -> tuple[Verdict, Verdict | None]:
        item = Item(HUBS, hub.meta.key)
        up = Verdict("True", "Connected", f"{hub.spec.url} answers")
        try:
            answer = await connection.client.settings()
            connection.settings = answer
            wrong = belongs(hub.spec, answer)
            if wrong is not None:
                connection.refuse("refused", wrong)
                self._queue.retry(item)
                return up, Verdict("False", "WrongCluster", wrong)
            await self._send_own(hub, connection)
        except HubUnreachableError as error:
            connection.fall(error, self._now())
            self._queue.retry(item, error.retry_after_seconds or 0.0)
            message = f"{hub.spec.url} cannot be reached since {connection.down_at}: {error.reason}"
            return Verdict("False", "HubUnreachable", message), None
        except HubUnauthorizedError as error:
            connection.refuse("unauthorized", str(error))
            self._queue.retry(item)
            return up, Verdict("False", "Unauthorized", str(error))
        except HubRefusedError as error:
            connection.refuse("refused", str(error))
            self._queue.retry(item)
            return up, Verdict("False", "HubRejected", str(error))
        connection.rise(self._now())
        lacking = lacks(hub.spec, answer)
        if lacking is not None:
            return up, Verdict("False", "Unauthorized", lacking)
        return up, Verdict("True", "Authorized", "the token may write this cluster's settings")

    async def _send_own(self, hub: Hub, connection: Connection) -> None:
        """Send the AuditHub's own document, which holds the capture settings, if it changed."""
        document = hub_document(hub)
        version = (document.uid, document.generation, document.spec_hash)
        if connection.sent != version:
            await connection.client.put(hub_owner(hub), document, dry_run=False)
            connection.sent = version
            connection.due = min(connection.due, self._monotonic() + _FIRST_RESYNC_SECONDS)

    async def _tell(
        self,
        hub: Hub,
        connection: Connection | None,
        connected: Verdict,
        authorized: Verdict | None,
    ) -> str:
        wants_sync = hub.meta.sync_now != hub.status.get("lastHandledSync", "")
        is_up = connection is not None and connection.state == "up"
        if wants_sync and connection is not None and is_up:
            connection.due = self._monotonic()
        heartbeat = connection.heartbeat if connection is not None else None
        facts = HubFacts(
            connected=connected,
            authorized=authorized,
            settings=connection.settings if connection is not None else None,
            heartbeat=heartbeat,
            contact_at=self._contact(hub, connection),
            policies=sum(1 for _ in self._world.policies_of(hub.meta.key.name)),
            radar_pods=self._world.radar_pods,
            radar_namespaces=self._settings.radar_namespaces,
            is_sync_handled=wants_sync and is_up,
        )
        status = hub_status(hub, facts, self._now())
        asked, before = status.get("requestedUpgrade"), hub.status.get("requestedUpgrade")
        written = await self._writer.hub(hub, status)
        if asked and asked != before:
            message = f"an owner asks for agent version {asked}; upgrade the chart in this cluster"
            self._writer.tell(hub, Notice("Normal", "UpgradeRequested", message))
        if heartbeat is not None and heartbeat.release_blocked is not None:
            blocked = heartbeat.release_blocked
            message = f"{blocked.missing} of {blocked.known} policies vanished at once; nothing "
            message += "is released until an org owner confirms it at the hub"
            self._writer.tell(hub, Notice("Warning", "MassReleaseBlocked", message))
        return "written" if written else "unchanged"

    def _contact(self, hub: Hub, connection: Connection | None) -> str:
        """Return the time of the last contact, moved at most once per resync: no write storm."""
        shown = str(hub.status.get("lastContactTime", ""))
        if connection is None or connection.state != "up" or connection.heartbeat is None:
            return shown
        return connection.heartbeat.now

    def _observe(self, operation: str, code: str, seconds: float) -> None:
        self._metrics.hub_requests.labels(operation, code).inc()
        self._metrics.hub_request_seconds.observe(seconds)

    def _count(self) -> None:
        states = [each.state for each in self._connections.by_name.values()]
        self._metrics.hubs_up.set(states.count("up"))
        self._metrics.hubs_down.set(len(states) - states.count("up"))


def resync_seconds(hub: Hub) -> float:
    """Return the pause between two resyncs of an AuditHub."""
    return float(duration_seconds(hub.spec.resync_interval))
