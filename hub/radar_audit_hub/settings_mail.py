"""Settings of mail: the SMTP server that it leaves by. A group of the hub's settings.

Owns the group that `settings.py` holds as `smtp`. Read by the mail feature. Never reads the
environment.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from radar_audit_runtime.settings import setting

from .emails import EMAIL_TEXT, lowered_email
from .names import NAME_TEXT, is_name

_PREFIX = "RADAR_AUDIT_HUB_SMTP_"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, kw_only=True)
class SmtpSettings:
    """The mail server; without a host mails with links are printed to standard error."""

    host: str | None = setting(
        None,
        help="The mail server. Nothing: mails that carry a link (invitation, sign-in) are printed "
        "to standard error with it, and alerts by e-mail wait until one is set.",
    )
    port: int = setting(587, minimum=1, maximum=65535, help="Its port; 465 is usual for tls.")
    security: Literal["starttls", "tls", "none"] = setting(
        "starttls", help="How the connection is encrypted; none is for a server on this machine."
    )
    username: str | None = setting(None, help="Name to log in with; nothing: no log-in.")
    password: str | None = setting(None, secret=True, help="Password to log in with.")
    sender: str = setting("radar-audit@localhost", help="Address that mails come from.")
    sender_name: str = setting("Radar Audit", help="Name that mails come from.")
    ca_file: Path | None = setting(
        None, help="A file of certificates (PEM) to trust for it; nothing: the system's."
    )
    timeout_seconds: float = setting(
        20.0,
        unit="seconds",
        minimum=1,
        maximum=50,
        help="How long the server may take for each step before the mail is tried again later.",
    )

    def __post_init__(self) -> None:
        """Refuse senders that are none, and passwords that would cross a network readable.

        Raises ValueError.
        """
        if lowered_email(self.sender) is None:
            raise ValueError(f"{_PREFIX}SENDER {EMAIL_TEXT}")
        if not is_name(self.sender_name):
            raise ValueError(f"{_PREFIX}SENDER_NAME {NAME_TEXT}")
        if (self.username is None) != (self.password is None):
            raise ValueError(f"{_PREFIX}USERNAME and {_PREFIX}PASSWORD must be set together")
        if self.password is not None and self.security == "none" and self.host not in _LOOPBACK:
            raise ValueError(f"{_PREFIX}SECURITY must be starttls or tls where a password is sent")
