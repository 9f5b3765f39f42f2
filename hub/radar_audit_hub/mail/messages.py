"""What mails say: subject, plain text and HTML, as pure functions of facts.

Owns `Mail` and the texts. Called by the features that send mail. Never sends anything; what
people chose (names of orgs, addresses) is escaped in HTML, and cannot break a header, because
subject and addresses are refused if they hold a line end.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass

from radar_audit_hub.emails import lowered_email

MAX_SUBJECT_CHARS = 200
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """One mail to one address; `html` None: plain text only.

    Raises ValueError for an address that is none, and for a subject with control characters.
    """

    to: str
    subject: str
    text: str
    html: str | None = None

    def __post_init__(self) -> None:
        """Refuse what could put a header of its own into the mail."""
        if lowered_email(self.to) is None:
            raise ValueError("the recipient is no e-mail address")
        if not 0 < len(self.subject) <= MAX_SUBJECT_CHARS or _UNSAFE.search(self.subject):
            raise ValueError("the subject must be one line of at most 200 characters")


def invitation(
    *, to: str, org_name: str, inviter_email: str | None, role: str, url: str, until: str
) -> Mail:
    """Return the mail that asks somebody into an org; `until` is when the link ends (RFC 3339)."""
    by = f"{inviter_email} has invited you" if inviter_email else "You are invited"
    a_role = f"an {role}" if role[0] in "ao" else f"a {role}"
    day, hour = until[:10], until[11:16]
    paragraphs = [
        f"{by} to the organization “{org_name}” on Radar Audit, as {a_role}.",
        "Sign in with this e-mail address and accept by this link:",
        f"It works once, for {to} only, until {day} {hour} UTC.",
        "If you did not expect this, there is nothing to do: without the link nobody joins.",
    ]
    text = "\n\n".join([*paragraphs[:2], url, *paragraphs[2:]]) + "\n"
    first, second, *rest = (f"<p>{html.escape(part)}</p>" for part in paragraphs)
    safe_url = html.escape(url, quote=True)
    link = f'<p><a href="{safe_url}">{safe_url}</a></p>'
    return Mail(
        to=to,
        subject=f"Invitation to {org_name}",
        text=text,
        html="\n".join(["<!doctype html>", first, second, link, *rest]) + "\n",
    )
