"""Opens a destination for sending: where it leads, with which secret, or why nothing is sent.

Owns the way from a destination's id to what a channel needs. Called by the job and by whoever
tests a destination. A secret lives in what is returned and in nothing that is written.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from radar_audit_events.ids import parse_ms
from radar_audit_events.policy_wire import Destination

from radar_audit_hub.context import Hub
from radar_audit_hub.policy.claims import ORG_KEY
from radar_audit_hub.policy.secret_parts import Secret
from radar_audit_hub.policy.settling import key_of, read_document
from radar_audit_hub.policy.storing import opened
from radar_audit_hub.retention.policy import Governed
from radar_audit_hub.store.control import Org, get_org
from radar_audit_hub.store.database import Connection
from radar_audit_hub.store.notify_destinations import DestinationRow, get_destination
from radar_audit_hub.store.notify_following import get_followed_org
from radar_audit_hub.store.owners import get_owner


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """A destination that is open; `muted`: only a test is sent; `governed` says how events age.

    `is_narrow`: its owner does not speak for the org, but for a cluster or a namespace.
    """

    org: Org
    governed: Governed
    row: DestinationRow
    target: Destination
    secret: Secret = field(repr=False)
    muted: bool
    is_narrow: bool


async def open_receiver(
    hub: Hub, conn: Connection, org_id: str, destination_id: str, now_ms: int
) -> Receiver | None:
    """Return a destination ready for sending, None if it or its org is gone.

    Raises UnavailableError where the hub's key does not open its secrets.
    """
    org, row = await get_org(conn, org_id), await get_destination(conn, org_id, destination_id)
    if org is None or org.deleted_at_ms is not None or row is None:
        return None
    owner = await get_owner(conn, org_id, row.owner_id)
    asked = None if owner is None else read_document(owner).notifications
    if owner is None or asked is None:
        return None
    target = next((one for one in asked.destinations if one.name == row.name), None)
    if target is None:
        return None
    secrets = opened(hub.sealer, owner) if owner.secrets is not None else {}
    return Receiver(
        org=org,
        governed=await get_followed_org(conn, org_id),
        row=row,
        target=target,
        secret=secrets.get(row.name, Secret()),
        muted=target.muted_until is not None and parse_ms(target.muted_until) > now_ms,
        is_narrow=key_of(row.owner_id, owner) != ORG_KEY or asked.only_namespace is not None,
    )
