"""The way out of notifications, and the bell that says there is something to deliver.

Owns `Deliveries`: the two delivery sessions (https, and http for allowed networks) and the event
that wakes the job of this replica. `Hub` holds it; whoever puts messages rings it after its
commit. Never knows what a message is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Literal

import aiohttp

from radar_audit_hub.outbound import Outbound, OutboundAnswer, OutboundError
from radar_audit_hub.polling import rung
from radar_audit_hub.settings_notify import NotifySettings

from .addresses import Allowed, UrlRefusedError, read_url
from .guard import Guard, Lookup, connector, look_up
from .mail_budget import MailBudget

MAX_ANSWER_BYTES = 64 * 1024
_SCHEMES: tuple[Literal["https", "http"], ...] = ("https", "http")


class Deliveries:
    """Sends to checked addresses; one per hub.

    `mails` is what an org may send by mail, `narrow_mails` how much of it owners may who do not
    speak for it: whoever may write a policy for a namespace must not use up the org's own.
    """

    def __init__(self, settings: NotifySettings, lookup: Lookup = look_up) -> None:
        """Open nothing yet; `lookup` resolves names, in a thread."""
        self._settings, self._lookup = settings, lookup
        self.mails = MailBudget(settings.mails_per_day)
        self.narrow_mails = MailBudget(max(1, settings.mails_per_day // 2))
        self._allowed = Allowed(settings.allowed_networks)
        self._guards: list[Guard] = []
        self._ways: dict[str, Outbound] = {scheme: self._way(scheme) for scheme in _SCHEMES}
        self._bell = asyncio.Event()

    def _way(self, scheme: Literal["https", "http"]) -> Outbound:
        def connect() -> aiohttp.BaseConnector:
            guard = Guard(self._allowed, scheme, self._lookup)
            self._guards.append(guard)
            return connector(guard, self._settings.ca_file)

        return Outbound(connect)

    def wake(self) -> None:
        """Say that messages were committed: the job of this replica looks at once."""
        self._bell.set()

    async def wait(self, seconds: float) -> None:
        """Wait until woken, but no longer than that."""
        if await rung(self._bell, seconds):
            self._bell.clear()

    async def post(self, url: str, *, headers: Mapping[str, str], body: bytes) -> OutboundAnswer:
        """POST once and return the answer, its body cut at 64 KiB. Raises OutboundError."""
        try:
            checked = read_url(url, self._allowed)
        except UrlRefusedError as error:
            raise OutboundError(f"refused: {error}") from None
        return await self._ways[checked.scheme].send(
            "POST",
            str(checked.with_fragment(None)),
            headers=headers,
            body=body,
            tls=None,
            timeout_seconds=self._settings.timeout_seconds,
            limit_bytes=MAX_ANSWER_BYTES,
            cut=True,
        )

    async def close(self) -> None:
        """Close the connections, and let go of the threads that look names up."""
        for way in self._ways.values():
            await way.close()
        while self._guards:
            await self._guards.pop().close()
