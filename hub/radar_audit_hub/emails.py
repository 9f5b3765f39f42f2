"""What an e-mail address may look like, and the one form in which it is kept and compared.

Owns that rule. Called wherever an address comes in: invitations, sign-in, the server's command.
Pure. An address is never sent to a mail server or put into a header before it has passed.
"""

from __future__ import annotations

import re

from radar_audit_events.event import MAX_EMAIL_CHARS

EMAIL_TEXT = "must be an e-mail address, such as alice@example.com"
# No white space, no controls, and none of what separates or nests addresses in a header.
_EMAIL = re.compile(
    r"^[^@\s\x00-\x1f\x7f-\x9f\ud800-\udfff,;:<>()\[\]\\\"]+@[^@\s\x00-\x1f\x7f-\x9f\ud800-\udfff,;:<>()\[\]\\\"]+\Z"
)


def lowered_email(text: str) -> str | None:
    """Return the address in lower case, None if it is none."""
    lowered = text.strip(" ").lower()
    if len(lowered) > MAX_EMAIL_CHARS or not _EMAIL.match(lowered):
        return None
    return lowered


def domain_of(email: str) -> str:
    """Return what stands behind the @ of an address that is one."""
    return email.rpartition("@")[2]
