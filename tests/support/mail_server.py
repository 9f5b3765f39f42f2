"""A real SMTP server on a loopback port: STARTTLS, TLS or neither, with log-in if wanted.

Owns `MailServer`, which keeps what it takes, and refuses what a test tells it to. Called by the
tests of mail.
"""

from __future__ import annotations

import asyncio
import ssl
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, cast

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session


@dataclass
class MailServer:
    """What came in, and what is to be answered; `replies` are used up one a recipient."""

    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    replies: list[str] = field(default_factory=list)
    refuses_sender: bool = False

    async def handle_MAIL(  # noqa: N802 - the name that aiosmtpd looks for
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: Any
    ) -> str:
        """Take a sender, or refuse everyone."""
        if self.refuses_sender:
            return "550 not from here"
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(  # noqa: N802 - as above
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: Any
    ) -> str:
        """Take a recipient, or answer what the test wants."""
        if self.replies:
            return self.replies.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802 - as above
        self, server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        """Keep a mail."""
        content = cast("bytes", envelope.content)
        self.raw.append(content)
        found = message_from_bytes(content, policy=policy.default)
        self.mails.append(found)
        self.recipients.append([str(address) for address in envelope.rcpt_tos])
        self.encrypted.append(_is_encrypted(server))
        return "250 OK"


def _is_encrypted(server: SMTP) -> bool:
    assert server.transport is not None
    return server.transport.get_extra_info("sslcontext") is not None


@asynccontextmanager
async def mail_server(
    *,
    tls: ssl.SSLContext | None = None,
    starttls: ssl.SSLContext | None = None,
    password: str | None = None,
) -> AsyncIterator[MailServer]:
    """Serve SMTP; with a `password` the user `hub` has to log in with it."""
    loop, server = asyncio.get_running_loop(), MailServer()
    protocols: list[SMTP] = []
    wanted = (b"hub", (password or "").encode())

    def check(_server: SMTP, _session: Session, _envelope: Envelope, _how: str, data: Any) -> Any:
        right = isinstance(data, LoginPassword) and (data.login, data.password) == wanted
        return AuthResult(success=right, handled=False)

    def protocol() -> SMTP:
        with warnings.catch_warnings():
            # It warns of log-in without STARTTLS, though all of the connection is in TLS.
            warnings.simplefilter("ignore", UserWarning)
            made = SMTP(
                server,
                hostname="mail.test",
                enable_SMTPUTF8=True,
                tls_context=starttls,
                require_starttls=starttls is not None,
                auth_required=password is not None,
                auth_require_tls=starttls is not None,
                authenticator=check,
                loop=loop,
            )
        protocols.append(made)
        return made

    listening = await loop.create_server(protocol, "127.0.0.1", 0, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        await listening.wait_closed()
        for one in protocols:
            if one.transport is not None:
                one.transport.close()
