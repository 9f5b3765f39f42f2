"""Notices by mail: outbox work of the kind `notice_mail`.

Owns the mail's words and its link that ends such mails. Who has left the org, changed role or
changed their mind since it was asked for gets none. Never holds a secret in the outbox: the link
is made when the mail is.
"""

from __future__ import annotations

import html
import secrets

from radar_audit_hub.context import Hub
from radar_audit_hub.mail.messages import MAX_SUBJECT_CHARS, Mail
from radar_audit_hub.mail.sending import mime, show, transmit
from radar_audit_hub.outbox.delivery import Delivery, Handlers
from radar_audit_hub.store import inbox
from radar_audit_hub.store.control import get_org
from radar_audit_hub.store.members import get_member

from .kinds import KINDS
from .telling import MAIL

ENDING_PATH = "/api/inbox/unsubscribe"


async def deliver(hub: Hub, delivery: Delivery) -> None:
    """Send the mail, if its person still wants it. Raises DeliveryFailedError."""
    found = await _for_whom(hub, delivery)
    if found is None:
        return
    mail, ending = found
    settings = hub.settings.smtp
    if settings.host is None:
        show(mail)
        return
    message = mime(mail, settings, delivery.id, hub.now_ms())
    message["List-Unsubscribe"] = f"<{ending}>"
    message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    await transmit(message, settings)


async def _for_whom(hub: Hub, delivery: Delivery) -> tuple[Mail, str] | None:
    """Return the mail and the address that ends such mails; None: nobody is to get it."""
    org_id, facts = delivery.org_id or "", delivery.payload
    user_id, name = facts["user_id"], facts["kind"]
    kind = KINDS.get(name)
    async with hub.db.write() as conn:
        org = await get_org(conn, org_id)
        member = await get_member(conn, org_id, user_id)
        if kind is None or org is None or org.deleted_at_ms is not None:
            return None
        if member is None or member.role not in kind.roles:
            return None
        wanted = (await inbox.preferences(conn, user_id)).get(name, kind.by_mail)
        if not wanted:
            return None
        ending = await inbox.ending_of(conn, user_id, name, secrets.token_urlsafe(24))
    base = hub.settings.public_url.rstrip("/")
    address = f"{base}{ENDING_PATH}/{ending}"
    page = base + facts["path"]
    return words(member.email, org.name, kind.title, facts["title"], page, address), address


def words(to: str, org_name: str, kind: str, title: str, page: str, ending: str) -> Mail:
    """Return the mail of a notice; `ending` is where such mails are ended."""
    subject = " ".join(f"{kind} ({org_name})".split())[:MAX_SUBJECT_CHARS]
    why = "You get this mail as a member of the organization. End mails of this kind:"
    text = f"{title}.\n\n{page}\n\n{why}\n{ending}\n"
    parts = (
        "<!doctype html>",
        f"<p>{html.escape(title)}.</p>",
        _link(page),
        f"<p>{html.escape(why)}</p>",
        _link(ending),
    )
    return Mail(to=to, subject=subject, text=text, html="\n".join(parts) + "\n")


def _link(url: str) -> str:
    safe = html.escape(url, quote=True)
    return f'<p><a href="{safe}">{safe}</a></p>'


OUTBOX: Handlers = {MAIL: deliver}
