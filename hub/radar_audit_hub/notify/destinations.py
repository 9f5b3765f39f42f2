"""What a destination is to the hub: a row that follows its owner's document.

Owns the identity of a receiver, the rows' keeping in step with the documents, and how a row's
state is told. Called wherever an owner's document is stored or ends, in that change, and by
whoever shows destinations. Never sends anything; a secret goes into an identity's hash and
nowhere else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Literal

import msgspec
from radar_audit_events.ids import format_ms, new_id
from radar_audit_events.policy_answers import DestinationState
from radar_audit_events.policy_wire import Destination, OwnerDocument

from radar_audit_hub.changes import Change
from radar_audit_hub.policy.secret_parts import Secret, Secrets
from radar_audit_hub.store.notify_destinations import (
    DestinationRow,
    change_receiver,
    delete_destinations,
    insert_destination,
    list_destinations,
)

DESTINATION_PREFIX = "nd_"
ChannelKind = Literal["slack", "webhook", "email", "teams", "pagerduty"]
CHANNEL_KINDS: tuple[ChannelKind, ...] = ("slack", "webhook", "email", "teams", "pagerduty")
_NONE = Secret()


def kind_of(target: Destination) -> ChannelKind:
    """Return which channel a destination is; it must have exactly one."""
    return next(kind for kind in CHANNEL_KINDS if getattr(target, kind) is not None)


def has_secret(target: Destination, secret: Secret) -> bool:
    """Tell whether all is there that a delivery needs; e-mail needs no secret."""
    if target.slack is not None or target.teams is not None:
        return secret.url is not None
    if target.pagerduty is not None:
        return secret.routing_key is not None
    if target.webhook is not None:
        return secret.signing_secret is not None or secret.signing_key is not None
    return True


def identity(owner_id: str, target: Destination, secret: Secret) -> bytes:
    """Return the SHA-256 that names a receiver: the same for every owner that leads to it.

    What signs a webhook is part of it: else who knows no more than another's URL could have its
    deliveries signed by a secret of his own, which the receiver refuses. A destination without
    its secret leads nowhere, and is the same as no other.
    """
    if not has_secret(target, secret):
        parts: list[object] = ["none", owner_id, target.name]
    elif target.email is not None:
        parts = [sorted({address.lower() for address in target.email.to})]
    elif target.webhook is not None:
        hook = target.webhook
        parts = [hook.url, hook.envelope, secret.signing_secret, secret.signing_key]
    else:
        parts = [secret.url, secret.routing_key]
    return hashlib.sha256(msgspec.json.encode([kind_of(target), *parts])).digest()


async def sync(
    change: Change,
    org_id: str,
    owner_id: str,
    document: OwnerDocument | None,
    secrets: Secrets,
    *,
    random_bytes: Callable[[int], bytes],
) -> None:
    """Let the rows of an owner, whose org is locked, follow its document; None: it has ended.

    A new receiver under an old name is no longer disabled or failing. What is gone is deleted,
    and its messages that wait are dropped.
    """
    asked = None if document is None else document.notifications
    targets = {} if asked is None else {target.name: target for target in asked.destinations}
    present = {row.name: row for row in await list_destinations(change.conn, org_id, owner_id)}
    gone = [row.id for name, row in present.items() if name not in targets]
    await delete_destinations(change.conn, org_id, gone, change.now_ms)
    for name, target in targets.items():
        secret = secrets.get(name, _NONE)
        before = present.get(name)
        row = DestinationRow(
            org_id=org_id,
            id=new_id(DESTINATION_PREFIX, change.now_ms, random_bytes(10))
            if before is None
            else before.id,
            owner_id=owner_id,
            name=name,
            kind=kind_of(target),
            identity=identity(owner_id, target, secret),
            has_secret=has_secret(target, secret),
            created_at=change.now_ms,
        )
        if before is None:
            await insert_destination(change.conn, row)
        elif before.identity != row.identity:
            await change_receiver(change.conn, row)


async def forget(change: Change, org_id: str, owner_id: str) -> None:
    """Delete the destinations of an owner that has ended; their waiting messages are dropped."""
    gone = [row.id for row in await list_destinations(change.conn, org_id, owner_id)]
    await delete_destinations(change.conn, org_id, gone, change.now_ms)


def state_of(row: DestinationRow, pending: int) -> DestinationState:
    """Return how a destination stands, for an answer; `pending` messages wait for it."""
    return DestinationState(
        name=row.name,
        state=_state(row),
        last_delivery_at=_time(row.last_delivery_at),
        last_error_at=_time(row.last_error_at),
        last_error=row.disabled_reason if row.disabled_at is not None else row.last_error,
        pending=pending,
        suppressed=row.suppressed,
    )


def states(
    document: OwnerDocument, rows: Mapping[str, DestinationRow], pending: Mapping[str, int]
) -> list[DestinationState]:
    """Return how a document's destinations stand, in its order.

    `rows` are the owner's by name, `pending` how many messages wait by a row's id.
    """
    asked = document.notifications
    return [
        state_of(rows[target.name], pending.get(rows[target.name].id, 0))
        for target in (asked.destinations if asked else ())
        if target.name in rows
    ]


def _state(
    row: DestinationRow,
) -> Literal["never_used", "delivering", "failing", "disabled", "no_secret"]:
    if row.disabled_at is not None:
        return "disabled"
    if not row.has_secret:
        return "no_secret"
    if row.failing_since is not None:
        return "failing"
    return "never_used" if row.last_delivery_at is None else "delivering"


def _time(at_ms: int | None) -> str | None:
    return None if at_ms is None else format_ms(at_ms)
