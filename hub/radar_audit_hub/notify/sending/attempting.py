"""One attempt at a message: noted, sent, noted again, and what follows for its destination.

Owns the order that makes the delivery log true over a crash: the attempt's row is committed
before anything leaves, and completed after. Called by the job and by tests of a destination.
Never sends inside a transaction.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace

import msgspec

from radar_audit_hub.changes import Change, changing_by_itself
from radar_audit_hub.context import Hub
from radar_audit_hub.notify.channels.request import Request, Told, shown
from radar_audit_hub.notify.content import decode
from radar_audit_hub.notify.signing import SigningKeyError
from radar_audit_hub.policy.releasing import ACTION
from radar_audit_hub.retention.policy import floors_of
from radar_audit_hub.store import notify_attempts
from radar_audit_hub.store.control import lock_org
from radar_audit_hub.store.database import Connection
from radar_audit_hub.store.notify_attempts import Ended, Outcome
from radar_audit_hub.store.notify_expiry import drop_expired, may_have_expired
from radar_audit_hub.store.notify_lanes import Lane, renew
from radar_audit_hub.store.notify_messages import Message, drop_pending

from .receivers import Receiver
from .rendering import CannotRenderError, render
from .schedule import next_due_ms
from .transport import Sent, send
from .verdict import Verdict

DAY_MS = 86_400_000
# A message that fails for the first time after a long silence does not disable its destination.
_DISABLING_ATTEMPTS = 3
SLOW_MS = 2_000  # a receiver that takes longer is one of those that have few lanes
OnDisabled = Callable[[Hub, str, str, str], Awaitable[None]]
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """An attempt that ended; `disabled`: its destination gets nothing any more."""

    sent: Sent
    duration_ms: int
    disabled: bool = False

    @property
    def delivered(self) -> bool:
        """Whether the receiver took it."""
        return self.sent.verdict.result == "delivered"

    @property
    def is_slow(self) -> bool:
        """Whether it took so long that others must not have to wait for its like."""
        return self.duration_ms > SLOW_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """An attempt that is noted, not sent; `request` None: it cannot be, because of `hindrance`."""

    message: Message
    number: int
    request: Request | None
    hindrance: str | None


async def begin(
    hub: Hub, conn: Connection, receiver: Receiver, message: Message, lane: Lane | None = None
) -> Begun | None:
    """Note a message's next attempt in the caller's transaction, which must commit before `send`.

    None if somebody else makes it, the lane was lost, or what it tells of has expired.
    """
    request, hindrance = _rendered(hub, receiver, message)
    text = "{}" if request is None else shown(request)
    now_ms = hub.now_ms()
    if lane is not None and not await renew(conn, lane, now_ms):
        return None
    await _drop_expired(conn, receiver, message, now_ms)
    number = await notify_attempts.begin(conn, message, text, now_ms)
    if number is None:
        return None
    return Begun(message=message, number=number, request=request, hindrance=hindrance)


async def _drop_expired(
    conn: Connection, receiver: Receiver, message: Message, now_ms: int
) -> None:
    """Drop all that waits for a destination and has expired, where `message` may have."""
    floors = floors_of(receiver.governed, now_ms)
    if not may_have_expired(message.event_ids, floors):
        return
    org_id, destination_id = message.org_id, message.destination_id
    if dropped := await drop_expired(conn, org_id, floors, now_ms, destination_id):
        await notify_attempts.note_dropped(conn, org_id, dropped, now_ms)


async def make(
    hub: Hub,
    receiver: Receiver,
    begun: Begun,
    *,
    lane: Lane | None = None,
    then: Message | None = None,
    is_last: bool = False,
    on_disabled: OnDisabled | None = None,
) -> tuple[Tried, Begun | None]:
    """Send an attempt that is begun and note how it went; return that, and what is begun next.

    After a delivery `then` is begun in the transaction that notes it: one for each message. After
    a slow one it is not, so that its receiver holds no lane that others wait for.
    `is_last`: no other attempt follows if this one fails.
    """
    began = time.monotonic()
    try:
        sent = await _sent(hub, receiver, begun)
    except asyncio.CancelledError:
        await _note_stopped(hub, begun, began)
        raise
    tried = Tried(sent=sent, duration_ms=_since(began))
    async with changing_by_itself(hub) as change:
        reason = await _note(hub, change, receiver, begun, tried, is_last=is_last)
        following = None
        if then is not None and tried.delivered and not tried.is_slow:
            following = await begin(hub, change.conn, receiver, then, lane)
    _count(hub, receiver, begun.message, tried)
    if reason is None:
        return tried, following
    _logger.warning("a destination was disabled", extra={"id": receiver.row.id})
    if on_disabled is not None:
        await on_disabled(hub, receiver.row.org_id, receiver.row.id, reason)
    return replace(tried, disabled=True), None


async def _sent(hub: Hub, receiver: Receiver, begun: Begun) -> Sent:
    if begun.request is None:
        return Sent(verdict=Verdict(result="retry", error=begun.hindrance))
    try:
        return await send(hub, receiver, begun.request, begun.message.wire_id)
    except Exception as error:  # what is wrong with one message must not stop those behind it
        # Not its text, which may hold an address that is a secret.
        kind = type(error).__name__
        facts = {"id": begun.message.id, "kind": kind}
        _logger.warning("a notification cannot be sent", extra=facts)
        return Sent(verdict=Verdict(result="retry", error=f"the hub could not send it ({kind})"))


async def _note_stopped(hub: Hub, begun: Begun, began: float) -> None:
    stopped = Ended(
        outcome="retry",
        duration_ms=_since(began),
        error="the hub was stopped before the receiver answered",
        due_at=hub.now_ms(),
    )
    with suppress(Exception):  # then the row stays without an outcome
        async with hub.db.write() as conn:
            now_ms = hub.now_ms()
            await notify_attempts.complete(conn, begun.message, begun.number, stopped, now_ms)


def _rendered(hub: Hub, receiver: Receiver, message: Message) -> tuple[Request | None, str | None]:
    """Return the request, or why there is none."""
    told = Told(
        message_id=message.wire_id,
        destination_id=message.destination_id,
        created_at_ms=message.created_at,
        now_ms=hub.now_ms(),
        public_url=hub.settings.public_url,
    )
    try:
        content = decode(message.payload)
        return render(receiver, content, told, hub.settings.notify.pagerduty_url), None
    except (CannotRenderError, SigningKeyError) as error:
        return None, str(error)
    except (msgspec.MsgspecError, ValueError, TypeError, AttributeError) as error:
        # One message that cannot be read must not stop those behind it.
        kind = type(error).__name__
        facts = {"id": message.id, "kind": kind}
        _logger.warning("a notification cannot be rendered", extra=facts)
        return None, f"the hub could not render this message ({kind})"


async def _note(
    hub: Hub, change: Change, receiver: Receiver, begun: Begun, tried: Tried, *, is_last: bool
) -> str | None:
    """Note how an attempt went; return why its destination was disabled by it, if it was."""
    found, message, now_ms = tried.sent.verdict, begun.message, change.now_ms
    if not tried.delivered:
        # Before rows are locked that a change of the destination locks in another order.
        await lock_org(change.conn, message.org_id)
    due = None
    if found.result == "retry" and not is_last:
        due = next_due_ms(begun.number, now_ms, random.random(), found.retry_after_ms)
    outcome: Outcome = "failed" if due is None else "retry"
    ended = Ended(
        outcome="delivered" if tried.delivered else outcome,
        duration_ms=tried.duration_ms,
        receiver_status=tried.sent.status,
        error=found.error,
        response=tried.sent.response,
        due_at=due,
    )
    since = await notify_attempts.complete(change.conn, message, begun.number, ended, now_ms)
    reason = _disabling(hub, found, since, begun.number, now_ms)
    if reason is None or not await notify_attempts.disable(
        change.conn, message.org_id, message.destination_id, reason, now_ms
    ):
        return None
    await drop_pending(change.conn, message.org_id, message.destination_id, now_ms)
    changes = {f"destinations.{receiver.row.name}.disabled": [None, reason]}
    facts = {"kind": "destination_disabled", "owner": message.owner_id, "changes": changes}
    change.note(message.org_id, ACTION, message.org_id, facts)
    return reason


def _disabling(
    hub: Hub, found: Verdict, since_ms: int | None, number: int, now_ms: int
) -> str | None:
    if found.result == "gone":
        return found.error
    days = hub.settings.notify.disable_after_days
    if since_ms is None or number < _DISABLING_ATTEMPTS or now_ms - since_ms < days * DAY_MS:
        return None
    return f"nothing but failures for {days} days; the last one: {found.error}"


def _count(hub: Hub, receiver: Receiver, message: Message, tried: Tried) -> None:
    result = tried.sent.verdict.result
    hub.metrics.delivery_attempts.labels(
        receiver.row.kind, "delivered" if result == "delivered" else "failed"
    ).inc()
    if tried.delivered and message.recorded_at is not None and message.replay_of is None:
        lag_ms = max(0, hub.now_ms() - message.recorded_at)
        hub.metrics.delivery_lag_seconds.labels(receiver.row.kind).observe(lag_ms / 1000)


def _since(began: float) -> int:
    return int((time.monotonic() - began) * 1000)
