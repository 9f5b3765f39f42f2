"""The link of an invitation, and the mail with it.

Owns the tokens: each copy of the link has one of its own, stored as its SHA-256 only. The mail's
is made at the moment of sending, so that no secret waits in the outbox; attempts that may or may
not have arrived all keep a good link. Called by the invitation handlers. Never accepts anything.
"""

from __future__ import annotations

from radar_audit_events.ids import format_ms

from radar_audit_hub.context import Hub
from radar_audit_hub.credentials import SECRET_BYTES, new_token, token_hash
from radar_audit_hub.mail.messages import invitation as invitation_mail
from radar_audit_hub.mail.sending import send
from radar_audit_hub.outbox.delivery import Delivery, Handlers
from radar_audit_hub.store import outbox
from radar_audit_hub.store.control import get_org
from radar_audit_hub.store.database import Connection
from radar_audit_hub.store.invitations import Invitation, add_token, get_invitation

from .rules import status

KIND = "invitation.mail"
PATH = "/invitations/accept"


async def new_link(conn: Connection, hub: Hub, invitation: Invitation) -> str:
    """Make one more link for an invitation: a secret.

    The token stands behind the #, so that no server's log and no Referer header ever has it.
    """
    token = new_token("rhi", hub.random_bytes(SECRET_BYTES))
    await add_token(conn, invitation.org_id, invitation.id, token_hash(token))
    return f"{hub.settings.public_url.rstrip('/')}{PATH}#token={token}"


async def put_mail(conn: Connection, invitation: Invitation, now_ms: int) -> None:
    """Have the invitation mailed once this transaction commits."""
    facts = {"invitation_id": invitation.id, "times_sent": invitation.times_sent}
    await outbox.put(
        conn,
        kind=KIND,
        dedup_key=f"{KIND}:{invitation.org_id}:{invitation.id}:{invitation.times_sent}",
        payload=facts,
        now_ms=now_ms,
        org_id=invitation.org_id,
    )


async def deliver(hub: Hub, delivery: Delivery) -> None:
    """Mail an invitation, unless it is over or was sent again since (outbox work)."""
    org_id = str(delivery.org_id)
    async with hub.db.write() as conn:
        org = await get_org(conn, org_id)
        found = await get_invitation(conn, org_id, str(delivery.payload["invitation_id"]))
        if org is None or org.deleted_at_ms is not None or found is None:
            return
        resent = found.times_sent != delivery.payload["times_sent"]
        if resent or status(found, hub.now_ms()) != "pending":
            return
        url = await new_link(conn, hub, found)
    mail = invitation_mail(
        to=found.email,
        org_name=org.name,
        inviter_email=found.inviter_email,
        role=found.role,
        url=url,
        until=format_ms(found.expires_at_ms),
    )
    await send(hub, mail, delivery.id)


OUTBOX: Handlers = {KIND: deliver}
