"""How a mail leaves: by the SMTP server of the settings, or onto standard error without one.

Owns the MIME form and the SMTP conversation. Called by outbox handlers, outside of any
transaction. Never puts a recipient, a server's words or a password into an error: those are
kept and logged.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

import aiosmtplib

from radar_audit_hub.context import Hub
from radar_audit_hub.outbox.delivery import DeliveryFailedError
from radar_audit_hub.settings_mail import SmtpSettings

from .messages import Mail

_PERMANENT = range(500, 600)
# What an operator can mend: the mail is tried again, as its recipient is not at fault.
_OUR_FAULT = frozenset({503, 523, 530, 534, 535, 538})


async def send(hub: Hub, mail: Mail, delivery_id: str) -> None:
    """Send a mail; `delivery_id` makes its Message-ID, the same for each attempt.

    Raises DeliveryFailedError.
    """
    settings = hub.settings.smtp
    if settings.host is None:
        show(mail)
        return
    await transmit(mime(mail, settings, delivery_id, hub.now_ms()), settings)


async def transmit(message: EmailMessage, settings: SmtpSettings) -> int:
    """Hand a message to the SMTP server; return how many of several recipients it refused.

    Raises DeliveryFailedError, also where it refused them all.
    """
    try:
        refused, _ = await aiosmtplib.send(
            message,
            hostname=settings.host,
            port=settings.port,
            username=settings.username,
            password=settings.password,
            use_tls=settings.security == "tls",
            start_tls=settings.security == "starttls",
            timeout=settings.timeout_seconds,
            tls_context=await _tls(settings),
        )
        return len(refused)
    except aiosmtplib.SMTPRecipientsRefused as error:
        raise _refused(error.recipients[0].code) from None
    except aiosmtplib.SMTPSenderRefused as error:  # which an operator can mend
        reason = f"the mail server answered {error.code} to the sender's address"
        raise DeliveryFailedError(reason, retry=True) from None
    except aiosmtplib.SMTPResponseException as error:
        raise _refused(error.code) from None
    except (aiosmtplib.SMTPException, OSError) as error:
        reason = f"the mail server cannot be reached ({type(error).__name__})"
        raise DeliveryFailedError(reason, retry=True) from None


def mime(mail: Mail, settings: SmtpSettings, delivery_id: str, now_ms: int) -> EmailMessage:
    """Return the message as it goes over the wire; a line end in a header raises ValueError."""
    sender_domain = settings.sender.rpartition("@")[2]
    message = EmailMessage(policy=SMTP)
    message["From"] = Address(settings.sender_name, addr_spec=settings.sender)
    message["To"] = Address(addr_spec=mail.to)
    message["Subject"] = mail.subject
    message["Date"] = format_datetime(datetime.fromtimestamp(now_ms / 1000, UTC))
    message["Message-ID"] = f"<{delivery_id}@{sender_domain}>"
    message["Auto-Submitted"] = "auto-generated"  # out-of-office replies stay away
    message.set_content(mail.text)
    if mail.html is not None:
        message.add_alternative(mail.html, subtype="html")
    return message


def show(mail: Mail) -> None:
    """Print a mail as a line of JSON, past the log's scrub: its link is what one needs."""
    line = {
        "level": "info",
        "component": "hub",
        "message": "a mail, printed because no SMTP server is set",
        "to": mail.to,
        "subject": mail.subject,
        "text": mail.text,
    }
    sys.stderr.write(json.dumps(line, ensure_ascii=False) + "\n")
    sys.stderr.flush()


async def _tls(settings: SmtpSettings) -> ssl.SSLContext | None:
    if settings.security == "none":
        return None
    try:
        return await asyncio.to_thread(ssl.create_default_context, cafile=settings.ca_file)
    except OSError:
        text = "the file of RADAR_AUDIT_HUB_SMTP_CA_FILE cannot be read"
        raise DeliveryFailedError(text, retry=True) from None


def _refused(code: int) -> DeliveryFailedError:
    final = code in _PERMANENT and code not in _OUR_FAULT
    return DeliveryFailedError(f"the mail server answered {code}", retry=not final)
