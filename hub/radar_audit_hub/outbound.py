"""The hub's way out: bounded HTTP requests to services that the settings name.

Owns the one client session, its limits in time, size and number, and what failing means. Called
by billing and by whatever else asks another service; `Hub` holds it, `app.py` ends it. Never
follows a redirect (it would carry a secret elsewhere), never asks the environment for a proxy,
keeps no cookie, and never puts a header, a body or a URL into an error.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field

import aiohttp
from multidict import CIMultiDictProxy

MAX_CONNECTIONS = 20
TIMEOUT_SECONDS = 20.0
CONNECT_SECONDS = 5.0
MAX_ANSWER_BYTES = 1024 * 1024


class OutboundError(Exception):
    """No whole answer came; whether the other side did what it was asked is not known."""


@dataclass(frozen=True, slots=True)
class OutboundAnswer:
    """An answer, whatever its status, read to its end."""

    status: int
    headers: CIMultiDictProxy[str] = field(repr=False)
    body: bytes = field(repr=False)


class Outbound:
    """Sends requests; the session is made at the first one and lives until `close`."""

    def __init__(self) -> None:
        """Open nothing yet."""
        self._session: aiohttp.ClientSession | None = None

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None = None,
        tls: ssl.SSLContext | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
        limit_bytes: int = MAX_ANSWER_BYTES,
    ) -> OutboundAnswer:
        """Send one request and return the answer; `tls` None trusts what the system does.

        It is sent once, but for a GET over a kept connection that turns out to be closed. Raises
        OutboundError if no answer comes in time, or one that is longer than `limit_bytes`.
        """
        try:
            async with (
                # Also the wait for a free connection counts.
                asyncio.timeout(timeout_seconds),
                self._open().request(
                    method,
                    url,
                    # An answer that was compressed could be far larger than what arrives.
                    headers={**headers, "Accept-Encoding": "identity"},
                    data=body,
                    ssl=True if tls is None else tls,
                    allow_redirects=False,
                ) as answer,
            ):
                whole = await answer.content.read(limit_bytes + 1)
                while len(whole) <= limit_bytes and (
                    more := await answer.content.read(limit_bytes)
                ):
                    whole += more
                if len(whole) > limit_bytes:
                    raise OutboundError(f"the answer is longer than {limit_bytes} bytes")
                return OutboundAnswer(answer.status, answer.headers, whole)
        except TimeoutError:
            raise OutboundError(f"no answer within {timeout_seconds:g} seconds") from None
        except (aiohttp.ClientError, OSError) as error:
            # Only the kind: the text of some repeats the address or what was sent.
            raise OutboundError(f"no answer: {type(error).__name__}") from None

    async def close(self) -> None:
        """Close the connections; a later request would open new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
            )
        return self._session
