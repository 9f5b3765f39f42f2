"""The collector as a whole: what is started, in which order, and how it ends.

Owns the wiring; nothing else knows all parts. Called by `main`. Start order:
gateway, probes, spool, identity, intake, delivery, heartbeat, other sources; the
end is the reverse but for the gateway, which goes before delivery, with one last
delivery behind it. Never reads the environment.

The gateway's relay is first, as Radar waits for it: once the probes answer, it
listens. Readiness means "captures and keeps": the spool can be written, the sources are
alive, the hub takes our token. A hub that is down is no reason to be unready:
nothing is lost while the spool has room, and a restart would help nobody; look
at spool_oldest_timestamp_seconds for that.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import msgspec
from radar_audit_runtime.probes import Probes
from radar_audit_runtime.tasks import Tasks

from .addresses import split_address
from .capture.gateway.config import RelayConfig
from .capture.gateway.source import GatewaySource
from .capture.logfile import CHECKPOINT_KEY, LogfileSource
from .capture.record import AuditRecord, Skipped
from .capture.tls import ServerTls
from .capture.webhook import WebhookLimits, WebhookSource
from .cluster_settings import Applied, apply
from .deliver import Deliverer, DeliveryLimits
from .errors import CollectorError, SpoolUnavailableError
from .heartbeat import Heartbeat, SelfDescription
from .hub_client import HubAddress, HubClient, HubToken
from .identity import Identity
from .intake import Intake
from .metrics import Metrics
from .settings import PREFIX, CollectorSettings
from .spool import Spool

COMPONENT = "collector"
_RETRY_SECONDS = 1.0
_WATCH_SECONDS = 0.5
_RESTARTS = 1_000_000  # a task that ends is started anew; readiness tells while it is down

_logger = logging.getLogger(__name__)


class App:
    """One running collector."""

    def __init__(
        self,
        settings: CollectorSettings,
        token: HubToken,
        version: str,
        relay_config: RelayConfig | None = None,
    ) -> None:
        """Make the parts; nothing is opened and nothing listens yet. Raises WebhookError.

        With a `relay_config` the gateway is one of them.
        """
        self._settings = settings
        self._metrics = metrics = Metrics()
        self._collector_id = settings.resolved_collector_id()
        self.spool = Spool(settings.spool_dir, settings.spool_max_bytes, on_lost=self._on_lost)
        self._identity = Identity(self.spool, settings.org_id)
        self._applied = Applied(settings.classify_rules(None))
        self._intake = Intake(self.spool, metrics, self._applied.rules)
        self._client = HubClient(
            HubAddress(
                settings.hub_url,
                settings.hub_ca_file,
                settings.request_timeout_seconds,
                f"radar-audit-collector/{version}",
            ),
            token,
        )
        self._deliverer = self._make_deliverer()
        self._heartbeat = Heartbeat(
            SelfDescription(self._collector_id, secrets.token_hex(8), version, settings.sources),
            self._client,
            self.spool,
            self._open_session_ids,
            self._identity,
            metrics,
            settings.heartbeat_seconds,
            self._on_identity,
        )
        self._tls = tls = _webhook_tls(settings)
        if tls is not None:
            metrics.show_webhook_certificate(lambda: tls.ends)
        self._webhook = self._make_webhook()
        self._gateway = None if relay_config is None else self._make_gateway(relay_config)
        self._sources = Tasks()
        self._workers = Tasks()
        self._logfile_failed_at = -math.inf
        self.probes_port = 0
        self.webhook_port = 0
        self._probes = Probes(
            COMPONENT,
            version,
            metrics.registry,
            {
                "spool": lambda: self.spool.is_writable,
                "sources": self._are_sources_alive,
                "hub_auth": self._is_welcome,
                "tasks": lambda: not self._failed_tasks(),
            },
        )

    async def run(self) -> None:
        """Start everything in order, then watch over it until cancelled.

        Raises CollectorError (the spool is another's, a port is taken, a task gave up).
        """
        settings = self._settings
        if self._gateway is not None:
            await self._gateway.start()
        await self._start_probes()
        await self._until_stored(self.spool.open)
        await self._until_stored(self._identity.load)
        self._on_identity()
        if self._gateway is not None:
            await self._until_stored(self._gateway.load)
            self._gateway.start_journal()
        await self._open_client()
        self._workers.start("intake", self._intake.run, _RESTARTS)
        self._workers.start("heartbeat", self._heartbeat.run, _RESTARTS)
        self._workers.start("deliver", self._deliverer.run, _RESTARTS)
        if self._webhook is not None:
            host, port = split_address(f"{PREFIX}WEBHOOK_LISTEN", settings.webhook_listen)
            self.webhook_port = await self._webhook.start(host, port)
            if self._tls is not None:
                self._sources.start("webhook_tls", self._tls.watch, _RESTARTS)
        if settings.logfile_path is not None:
            follow = partial(self._follow_logfile, settings.logfile_path)
            self._sources.start("logfile", follow, _RESTARTS)
        _logger.info(
            "the collector runs",
            extra={
                "collector_id": self._collector_id,
                "sources": ",".join(settings.sources),
                "probes_port": self.probes_port,
                "webhook_port": self.webhook_port,
                "gateway_port": 0 if self._gateway is None else self._gateway.port,
            },
        )
        await self._watch()

    async def drain(self) -> None:
        """Stop the sources, deliver what is left for a while, close everything.

        What could not be delivered stays in the spool for the next start.
        """
        await self._sources.stop()
        if self._webhook is not None:
            await self._webhook.stop()
        if self._gateway is not None:
            await self._gateway.drain()
            await self._gateway.stop()
        await self._workers.stop()
        if self.spool.is_writable:
            with contextlib.suppress(SpoolUnavailableError):
                await self._intake.tick()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.drain_seconds):
                    await self._deliverer.flush()
        await self._client.close()
        left = self.spool.stats.events
        await self.spool.close()
        await self._probes.stop()
        _logger.info("the collector has stopped", extra={"events_left": left})

    async def _start_probes(self) -> None:
        host, port = split_address(f"{PREFIX}PROBES_LISTEN", self._settings.probes_listen)
        try:
            self.probes_port = await self._probes.start(host, port)
        except OSError as exc:
            raise CollectorError(
                f"the probes cannot listen on {host} port {port}: {exc.strerror}"
            ) from exc

    async def _open_client(self) -> None:
        try:
            await self._client.open()
        except OSError as exc:
            raise CollectorError(
                f"{PREFIX}HUB_CA_FILE names {self._settings.hub_ca_file}, which cannot be used: "
                f"{exc.strerror or 'it holds no certificate in PEM'}"
            ) from exc

    async def _until_stored(self, call: Callable[[], Awaitable[None]]) -> None:
        """Call again while the spool is not available: a full disk is no reason to end."""
        while True:
            try:
                await call()
                return
            except SpoolUnavailableError as exc:
                _logger.warning("the spool is not available", extra={"cause": str(exc)})
                await asyncio.sleep(_RETRY_SECONDS)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            with contextlib.suppress(SpoolUnavailableError):
                self._metrics.sessions_active.set(len(await self._open_session_ids()))
            failed = self._failed_tasks()
            if failed:
                raise CollectorError(f"the task {failed[0]} ended for good")

    async def _follow_logfile(self, path: Path) -> None:
        """Follow the log for ever; while it cannot be read, say so once and try again."""
        trouble = ""
        with contextlib.suppress(OSError):  # what else is wrong with it shows below
            if not await asyncio.to_thread(path.exists):
                # No reason to be unready: an API server without requests has no log yet.
                _logger.warning("the log is not there yet", extra={"path": str(path)})
        while True:
            try:
                state = await self.spool.load_state(CHECKPOINT_KEY)
                source = LogfileSource(path, state.values.get(CHECKPOINT_KEY))
                async for records, checkpoint in source.batches():
                    await self._accept_patiently(records, checkpoint)
                    trouble = ""
            except CollectorError as exc:
                self._logfile_failed_at = time.monotonic()
                if trouble != str(exc):
                    trouble = str(exc)
                    _logger.warning("the log is not followed", extra={"cause": trouble})
            await asyncio.sleep(_RETRY_SECONDS)

    async def _accept_patiently(
        self, records: Sequence[AuditRecord | Skipped], checkpoint: bytes
    ) -> None:
        """Offer the same records until the spool takes them: the file keeps the rest meanwhile."""
        while True:
            try:
                await self._intake.accept(records, "logfile", checkpoint=checkpoint)
                return
            except SpoolUnavailableError:
                await asyncio.sleep(_RETRY_SECONDS)

    def _failed_tasks(self) -> tuple[str, ...]:
        of_gateway = () if self._gateway is None else self._gateway.failed()
        return of_gateway + self._sources.failed() + self._workers.failed()

    async def _open_session_ids(self) -> list[str]:
        """Return the ids of the terminals that are open, each once, whoever saw them.

        Raises SpoolUnavailableError.
        """
        of_gateway = [] if self._gateway is None else self._gateway.open_session_ids()
        return list(dict.fromkeys(of_gateway + await self._intake.open_session_ids()))

    def _make_deliverer(self) -> Deliverer:
        settings = self._settings
        return Deliverer(
            self.spool,
            self._client,
            self._identity,
            self._metrics,
            self._collector_id,
            DeliveryLimits(
                settings.batch_events,
                settings.batch_linger_seconds,
                settings.retry_max_seconds,
                settings.token_retry_seconds,
                settings.skew_retry_seconds,
            ),
        )

    def _make_gateway(self, relay_config: RelayConfig) -> GatewaySource:
        return GatewaySource(
            self._settings.gateway,
            relay_config,
            self.spool,
            lambda records: self._intake.accept(records, "gateway"),
            lambda: self._intake.rules,
            self._metrics,
        )

    def _make_webhook(self) -> WebhookSource | None:
        settings = self._settings
        if not settings.webhook_enabled:
            return None
        return WebhookSource(
            self._accept_webhook,
            WebhookLimits(settings.webhook_max_body_bytes, settings.webhook_max_inflight_bytes),
            tls=self._tls,
            token=settings.webhook_token,
            on_answer=lambda status: self._metrics.webhook_requests.labels(str(status)).inc(),
        )

    async def _accept_webhook(self, records: Sequence[AuditRecord | Skipped]) -> None:
        await self._intake.accept(records, "webhook")

    def _are_sources_alive(self) -> bool:
        # A log that cannot be read fails anew with each try.
        is_log_read = time.monotonic() - self._logfile_failed_at > 3 * _RETRY_SECONDS
        is_relaying = self._gateway is None or self._gateway.is_listening
        is_sink_open = self._webhook is None or self._webhook.is_listening
        return is_log_read and is_relaying and is_sink_open

    def _is_welcome(self) -> bool:
        return not self._deliverer.is_token_refused and not self._identity.is_conflicting

    def _on_lost(self, reason: str, count: int) -> None:
        self._metrics.lose(reason, count)
        _logger.error("events were lost", extra={"reason": reason, "count": count})

    def _on_identity(self) -> None:
        """Apply what the hub said: the org decides which terminals are ours."""
        known = self._identity.known
        if self._identity.is_conflicting and known is not None:
            _logger.error(
                "the cluster token belongs to another org than the settings say; "
                "nothing is delivered until they agree",
                extra={"setting": self._settings.org_id, "token": known.org_id},
            )
        own = self._settings.classify_rules(self._identity.org_id)
        try:
            applied = apply(own, None if known is None else known.capture)
        except msgspec.ValidationError as exc:
            _logger.warning(
                "the hub sent capture settings that this version cannot read; the ones from "
                "before stay in force",
                extra={"reason": str(exc)},
            )
            applied = replace(self._applied, rules=replace(self._applied.rules, org_id=own.org_id))
        else:
            self._identity.applied_etag = None if known is None else known.capture_etag
        self._applied = applied
        self._intake.rules = applied.rules
        if self._gateway is not None:
            self._gateway.apply(is_on=applied.is_on, required=applied.required)
        self.spool.announce()


def _webhook_tls(settings: CollectorSettings) -> ServerTls | None:
    cert, key = settings.webhook_cert_file, settings.webhook_key_file
    if not settings.webhook_enabled or cert is None or key is None:
        return None
    return ServerTls(
        cert, key, settings.webhook_client_ca_file, demand=settings.webhook_token is None
    )
