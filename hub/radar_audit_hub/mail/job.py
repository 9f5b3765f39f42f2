"""Outbox work of the kind `mail`: a mail whose whole text was known when it was asked for.

Owns putting and delivering it. Any feature may put one inside its change. Never for a mail with
a secret in it, since the outbox keeps its text readable: invitations have a kind of their own.
"""

from __future__ import annotations

from radar_audit_hub.context import Hub
from radar_audit_hub.outbox.delivery import Delivery, Handlers
from radar_audit_hub.store import outbox
from radar_audit_hub.store.database import Connection

from .messages import Mail
from .sending import send

KIND = "mail"


async def put_mail(
    conn: Connection, mail: Mail, *, dedup_key: str, now_ms: int, org_id: str | None = None
) -> bool:
    """Have a mail sent once the transaction commits; False if `dedup_key` was used already."""
    payload = {"to": mail.to, "subject": mail.subject, "text": mail.text, "html": mail.html}
    return await outbox.put(
        conn,
        kind=KIND,
        dedup_key=f"{KIND}:{dedup_key}",
        payload=payload,
        now_ms=now_ms,
        org_id=org_id,
    )


async def deliver(hub: Hub, delivery: Delivery) -> None:
    """Send it. Raises DeliveryFailedError."""
    await send(hub, Mail(**delivery.payload), delivery.id)


OUTBOX: Handlers = {KIND: deliver}
