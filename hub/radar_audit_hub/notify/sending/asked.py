"""What people ask of deliveries: a test of a destination, and a replay of messages.

Owns both, for the API, the pages and the operator alike. Whoever calls has checked the caller.
Never sends inside a transaction.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from radar_audit_events.ids import new_id
from radar_audit_events.policy_answers import DestinationTestAnswer

from radar_audit_hub.changes import Change
from radar_audit_hub.context import Hub
from radar_audit_hub.errors import ConflictError, NotFoundError
from radar_audit_hub.notify.content import Content, encode
from radar_audit_hub.retention.policy import floors_of
from radar_audit_hub.store import notify_messages
from radar_audit_hub.store.notify_destinations import get_destination
from radar_audit_hub.store.notify_following import get_followed_org
from radar_audit_hub.store.notify_lanes import LANE_MS
from radar_audit_hub.store.notify_messages import MESSAGE_PREFIX, Message, NewMessage

from .attempting import OnDisabled, begin, make
from .receivers import Receiver, open_receiver

MAX_REPLAYED = 1000  # messages of one request
REPLAYED_STATES = ("failed", "dropped")  # unless the request names others
_GONE = "there is no such destination"


async def send_test(
    hub: Hub, org_id: str, destination_id: str, *, on_disabled: OnDisabled | None = None
) -> DestinationTestAnswer:
    """Send a message that says it is a test, once, and return how that went.

    A muted or disabled destination is tested as well. It is in the delivery log as any other.
    Raises NotFoundError; UnavailableError where the hub's key does not open its secret.
    """
    now_ms = hub.now_ms()
    async with hub.db.read() as conn:
        receiver = await open_receiver(hub, conn, org_id, destination_id, now_ms)
    if receiver is None:
        raise NotFoundError(_GONE)
    new, floors = _test_message(hub, receiver, now_ms), floors_of(receiver.governed, now_ms)
    async with hub.db.write() as conn:
        await notify_messages.put_messages(conn, [new])
        message = await notify_messages.get_message(conn, org_id, new.id, floors)
        begun = None if message is None else await begin(hub, conn, receiver, message)
    if begun is None:
        raise NotFoundError(_GONE)
    tried, _ = await make(hub, receiver, begun, is_last=True, on_disabled=on_disabled)
    return DestinationTestAnswer(
        delivered=tried.delivered,
        latency_ms=tried.duration_ms,
        receiver_status=tried.sent.status,
        error=tried.sent.verdict.error,
    )


def _test_message(hub: Hub, receiver: Receiver, now_ms: int) -> NewMessage:
    org, row = receiver.org, receiver.row
    message_id = new_id(MESSAGE_PREFIX, now_ms, hub.random_bytes(10))
    content = Content(
        kind="test",
        org_id=org.id,
        org_name=org.name,
        owner_id=row.owner_id,
        rule="",
        severity="info",
        title=f"A test of the destination {row.name}; nothing happened",
        path=f"/orgs/{org.id}/notifications/destinations/{row.id}",
    )
    return NewMessage(
        org_id=org.id,
        id=message_id,
        destination_id=row.id,
        owner_id=row.owner_id,
        rule="",
        kind="test",
        severity="info",
        dedup_key=f"test:{message_id}",
        payload=encode(content),
        event_ids=None,
        created_at=now_ms,
        # It is sent by whoever asked; the job would take it up only if that one died.
        due_at=now_ms + LANE_MS,
    )


async def replay(
    change: Change,
    hub: Hub,
    org_id: str,
    destination_id: str,
    *,
    message_id: str | None = None,
    from_ms: int | None = None,
    to_ms: int | None = None,
    states: Collection[str] = REPLAYED_STATES,
) -> int:
    """Have messages delivered again (one, or those made in [`from_ms`, `to_ms`) in `states`).

    Each is a new row under the webhook-id of the old one, since to a receiver it is the same
    message: who has it already may pass it over. What shows an event that has expired is no more.
    The org must be locked; after the commit
    `hub.deliveries.wake()`. Returns how many there are; at most 1,000, the newest. Raises
    NotFoundError, ConflictError where the destination is disabled.
    """
    destination = await get_destination(change.conn, org_id, destination_id)
    if destination is None:
        raise NotFoundError(_GONE)
    if destination.disabled_at is not None:
        raise ConflictError("the destination is disabled; enable it before a replay")
    floors = floors_of(await get_followed_org(change.conn, org_id), change.now_ms)
    if message_id is not None:
        found = await notify_messages.get_message(change.conn, org_id, message_id, floors)
        if found is None or found.destination_id != destination_id:
            raise NotFoundError("there is no such message")
        wanted = [found]
    else:
        wanted = await notify_messages.list_messages(
            change.conn,
            org_id,
            destination_id,
            floors=floors,
            states=states,
            from_ms=from_ms,
            to_ms=to_ms,
            limit=MAX_REPLAYED,
        )
    roots = {message.wire_id: message for message in wanted if message.kind != "test"}
    counts = await notify_messages.replay_counts(change.conn, org_id, destination_id)
    rows = [
        _again(hub, message, counts.get(root, 0) + 1, change.now_ms)
        for root, message in roots.items()
    ]
    return await notify_messages.put_messages(change.conn, rows)


def _again(hub: Hub, message: Message, number: int, now_ms: int) -> NewMessage:
    root = message.wire_id
    plain = {name: getattr(message, name) for name in NewMessage.__dataclass_fields__}
    return replace(
        NewMessage(**plain),
        id=new_id(MESSAGE_PREFIX, now_ms, hub.random_bytes(10)),
        dedup_key=f"replay:{root}:{number}",
        created_at=now_ms,
        due_at=now_ms,
        replay_of=root,
    )
