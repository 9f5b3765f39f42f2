"""The hub's way out: bounded HTTP requests to services that the settings name.

Owns the one client session, its limits in time, size and number, and what failing means. Called
by billing and by whatever else asks another service; `Hub` holds it, `app.py` ends it. Never
follows a redirect (it would carry a secret elsewhere), never asks the environment for a proxy,
keeps no cookie, and never puts a header, a body or a URL into an error.

Deliveries of notifications have one of their own, whose connector (`notify/guard.py`) decides
which addresses may be connected to.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from multidict import CIMultiDictProxy

MAX_CONNECTIONS = 20
TIMEOUT_SECONDS = 20.0
CONNECT_SECONDS = 5.0
MAX_ANSWER_BYTES = 1024 * 1024


class OutboundError(Exception):
    """No whole answer came; whether the other side did what it was asked is not known."""


class RefusedAddressError(OSError):
    """A connector does not connect to an address; the sentence says why and may be shown."""


@dataclass(frozen=True, slots=True)
class OutboundAnswer:
    """An answer, whatever its status; `is_cut`: there was more of its body, which was not read."""

    status: int
    headers: CIMultiDictProxy[str] = field(repr=False)
    body: bytes = field(repr=False)
    is_cut: bool = False


class Outbound:
    """Sends requests; the session is made at the first one and lives until `close`."""

    def __init__(self, connector: Callable[[], aiohttp.BaseConnector] | None = None) -> None:
        """Open nothing yet; `connector` makes what connects, None: to wherever a name leads."""
        self._connector = connector or _any_address
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
        cut: bool = False,
    ) -> OutboundAnswer:
        """Send one request and return the answer; `tls` None trusts what the system does.

        It is sent once, but for a GET over a kept connection that turns out to be closed. Raises
        OutboundError if no answer comes in time, or one that is longer than `limit_bytes`; with
        `cut` that one's beginning is returned, and its connection closed.
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
                is_cut = len(whole) > limit_bytes
                if is_cut and not cut:
                    raise OutboundError(f"the answer is longer than {limit_bytes} bytes")
                if is_cut:
                    answer.close()
                return OutboundAnswer(answer.status, answer.headers, whole[:limit_bytes], is_cut)
        except TimeoutError:
            raise OutboundError(f"no answer within {timeout_seconds:g} seconds") from None
        except (aiohttp.ClientError, OSError) as error:
            raise OutboundError(_words(error)) from None

    async def close(self) -> None:
        """Close the connections; a later request would open new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=self._connector(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
            )
        return self._session


def _any_address() -> aiohttp.BaseConnector:
    return aiohttp.TCPConnector(limit=MAX_CONNECTIONS)


def trusting(ca_file: Path | None) -> ssl.SSLContext | None:
    """Return a TLS context that trusts the certificates of a file, None to trust the system's."""
    return None if ca_file is None else ssl.create_default_context(cafile=str(ca_file))


def _words(error: Exception) -> str:
    """Say what went wrong by its kind: the text of some repeats the address or what was sent."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, RefusedAddressError):
        return str(cause)
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "no answer: the name of the host is not known"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "no answer: the certificate of the host is not trusted"
    return f"no answer: {type(error).__name__}"
