"""Tests and replays that people and operators ask for: how often, and which.

Owns the pause between two tests of one destination, over all replicas, and the order of a replay.
Called by the routes of this folder and the operator's. Never sends inside a transaction.
"""

from __future__ import annotations

import msgspec
from radar_audit_events.errors import FieldError, TimeError
from radar_audit_events.ids import parse_ms
from radar_audit_events.policy_answers import DestinationTestAnswer
from radar_audit_events.policy_wire import TEST_SECONDS

from radar_audit_hub.changes import Change
from radar_audit_hub.context import Hub
from radar_audit_hub.errors import InvalidBodyError, TooManyRequestsError
from radar_audit_hub.notices.job import on_disabled
from radar_audit_hub.notify.sending.asked import REPLAYED_STATES, replay, send_test
from radar_audit_hub.store.database import Connection
from radar_audit_hub.store.leases import take_lease

# Why a test is declared to write no event: what follows from an answer is a delivery's own event.
NO_CHANGE = "transport: a test of a destination changes no setting"


class ReplayOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST …/replay`: one message, or those made in [`from_time`, `to_time`) with a state."""

    message_id: str | None = None
    from_time: str | None = msgspec.field(name="from", default=None)
    to_time: str | None = msgspec.field(name="to", default=None)
    state: str | None = None


async def take_turn(hub: Hub, conn: Connection, destination_id: str) -> None:
    """Note that a destination is tested now, in the caller's transaction.

    Raises TooManyRequestsError within TEST_SECONDS of the last test.
    """
    holder, now_ms = hub.random_bytes(8).hex(), hub.now_ms()
    is_first = await take_lease(
        conn,
        f"test:{destination_id}",
        holder,
        now_ms=now_ms,
        until_ms=now_ms + TEST_SECONDS * 1000,
    )
    if not is_first:
        raise TooManyRequestsError(
            f"a destination may be tested once in {TEST_SECONDS} seconds; try again then",
            TEST_SECONDS,
        )


async def test(hub: Hub, org_id: str, destination_id: str) -> DestinationTestAnswer:
    """Send a test, whose turn was taken, and wait for the answer.

    Only so many are made at once, of which no org can have all: receivers that never answer would
    take the connections that other orgs' deliveries need. Raises TooManyRequestsError,
    NotFoundError, UnavailableError where the hub's key does not open the secret.
    """
    with hub.destination_tests.take(org_id):
        return await send_test(hub, org_id, destination_id, on_disabled=on_disabled)


async def again(
    hub: Hub, change: Change, org_id: str, destination_id: str, order: ReplayOrder
) -> int:
    """Have messages of a destination delivered again, and return how many.

    The org must be locked. Raises InvalidBodyError, NotFoundError, ConflictError.
    """
    from_ms, to_ms = _time("from", order.from_time), _time("to", order.to_time)
    if order.message_id is not None:
        if (order.from_time, order.to_time, order.state) != (None, None, None):
            raise InvalidBodyError(
                [FieldError("message_id", "stands alone, without from, to and state")]
            )
        return await replay(change, hub, org_id, destination_id, message_id=order.message_id)
    if from_ms is None:
        raise InvalidBodyError([FieldError("body", "needs message_id, or from")])
    states = REPLAYED_STATES if order.state is None else (order.state,)
    if not set(states) <= {"delivered", *REPLAYED_STATES}:
        raise InvalidBodyError([FieldError("state", "must be delivered, failed or dropped")])
    return await replay(
        change, hub, org_id, destination_id, from_ms=from_ms, to_ms=to_ms, states=states
    )


def _time(field: str, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return parse_ms(text)
    except TimeError as error:
        raise InvalidBodyError([FieldError(field, str(error))]) from None
