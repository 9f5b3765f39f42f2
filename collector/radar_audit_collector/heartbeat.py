"""Tells the hub that this collector lives, and learns from its answer who it is.

Owns the heartbeat loop. Called by `app` as a task. Never delays delivery and
never stops trying; the stamps of webhook and log file are the API server's, so
the clock offset it learns is shown as a metric and corrects nothing here.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec
from radar_audit_events.errors import TimeError
from radar_audit_events.ids import format_ms, parse_ms
from radar_audit_events.wire import (
    HeartbeatAnswer,
    HeartbeatRequest,
    SpoolState,
    UpgradeReport,
)

from .errors import (
    HubRefusedBatchError,
    HubRefusedTokenError,
    HubUnreachableError,
    SpoolUnavailableError,
)
from .hub_client import Backoff, HubClient
from .identity import Identity
from .metrics import Metrics
from .spool import Spool, wall_clock_ms

PATH = "/api/agent/heartbeat"
MAX_OPEN_SESSIONS = 1000  # what one heartbeat names at most; the rest is in the metric
_FIRST_RETRY_SECONDS = 0.5
_JITTER = 0.1
_LOUD_OFFSET_MS = 60_000
_VERSION = re.compile(r"^[\x21-\x7e]{1,128}\Z")  # what a heartbeat may say of it

_logger = logging.getLogger(__name__)
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(HeartbeatAnswer)


@dataclass(frozen=True, slots=True)
class SelfDescription:
    """What does not change while the process runs; `instance_id` is new with each start."""

    collector_id: str
    instance_id: str
    version: str
    sources: tuple[str, ...]


class Heartbeat:
    """Sends heartbeats; `on_identity` is called when an answer told something new."""

    def __init__(
        self,
        me: SelfDescription,
        client: HubClient,
        spool: Spool,
        open_session_ids: Callable[[], Awaitable[list[str]]],
        identity: Identity,
        metrics: Metrics,
        interval_seconds: float,
        on_identity: Callable[[], None],
        now_ms: Callable[[], int] = wall_clock_ms,
    ) -> None:
        """Nothing is sent before `run`."""
        self._me = me
        self._client = client
        self._spool = spool
        self._open_session_ids = open_session_ids
        self._identity = identity
        self._metrics = metrics
        self._interval_seconds = interval_seconds
        self._on_identity = on_identity
        self._now_ms = now_ms
        self._trouble = ""
        self._upgrade: UpgradeReport | None = None

    async def run(self) -> None:
        """Beat for ever: at once, then at the interval; after a failure sooner."""
        backoff = Backoff(_FIRST_RETRY_SECONDS, self._interval_seconds)
        while True:
            trouble = await self._beat()
            self._metrics.heartbeats.labels(trouble or "ok").inc()
            if trouble and trouble != self._trouble:
                _logger.warning("the heartbeat failed", extra={"reason": trouble})
            self._trouble = trouble
            if trouble:
                await asyncio.sleep(backoff.next_seconds())
            else:
                backoff.reset()
                spread = self._interval_seconds * _JITTER * random.uniform(-1, 1)
                await asyncio.sleep(self._interval_seconds + spread)

    async def _beat(self) -> str:
        """Send one heartbeat; return an empty text, or one word for what went wrong."""
        try:
            request = await self._describe()
            sent_ms = self._now_ms()
            body = await self._client.post(PATH, _encoder.encode(request))
            answer = _decoder.decode(body)
            self._show_offset(parse_ms(answer.now) - (sent_ms + self._now_ms()) // 2)
            self._note_upgrade(answer.upgrade)
            if await self._identity.learn(answer):
                self._on_identity()
        except HubUnreachableError as exc:
            return exc.reason
        except HubRefusedTokenError:
            return "token_refused"
        except HubRefusedBatchError:
            self._upgrade = None  # a hub of before upgrades were asked for may refuse the word
            return "refused"
        except SpoolUnavailableError:
            return "spool"
        except (msgspec.MsgspecError, ValueError, RecursionError, TimeError):
            return "garbage"
        return ""

    async def _describe(self) -> HeartbeatRequest:
        stats = self._spool.stats
        try:
            open_sessions = await self._open_session_ids()
        except SpoolUnavailableError:
            open_sessions = []  # a sick spool is no reason to seem dead
        return HeartbeatRequest(
            collector_id=self._me.collector_id,
            instance_id=self._me.instance_id,
            version=self._me.version,
            sources=list(self._me.sources),
            sent_at=format_ms(self._now_ms()),
            spool=SpoolState(
                events=stats.events,
                bytes=stats.bytes,
                oldest_at=None if stats.oldest_at_ms is None else format_ms(stats.oldest_at_ms),
                dead_letters=stats.dead_letters,
            ),
            losses=self._metrics.losses,
            open_sessions=open_sessions[:MAX_OPEN_SESSIONS],
            capture_hash=self._identity.applied_etag,
            upgrade=self._upgrade,
        )

    def _note_upgrade(self, version: str | None) -> None:
        """Tell with the next heartbeat that the request is known; carrying it out is for others.

        A collector cannot replace its own image: whoever runs its Pod does that.
        """
        if version is None or not _VERSION.match(version):
            self._upgrade = None
        elif self._upgrade is None or self._upgrade.version != version:
            self._upgrade = UpgradeReport(version=version)
            _logger.info("the hub asks for an upgrade of this collector", extra={"to": version})

    def _show_offset(self, offset_ms: int) -> None:
        self._metrics.clock_offset_seconds.set(offset_ms / 1000)
        if abs(offset_ms) > _LOUD_OFFSET_MS:
            _logger.warning("this clock and the hub's differ", extra={"offset_ms": offset_ms})
