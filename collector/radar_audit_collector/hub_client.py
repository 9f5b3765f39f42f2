"""One way to talk to the hub: POST a JSON body, get a JSON body or a named failure.

Owns the HTTP client, TLS verification, the cluster token and what each status
means. Called by `deliver` and `heartbeat`. Never follows a redirect (it would
carry the token elsewhere), never reads an unbounded answer, and never puts the
token, a body or a header into an error.
"""

from __future__ import annotations

import gzip
import io
import random
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import msgspec
from radar_audit_events.retry_after import retry_after_seconds
from radar_audit_runtime.answers import AnswerTooLargeError, read_bounded

from .errors import HubRefusedBatchError, HubRefusedTokenError, HubUnreachableError

MAX_ANSWER_BYTES = 4 * 1024 * 1024
_GZIP_FROM_BYTES = 1024
_CONNECT_SECONDS = 10.0
_MAX_CONNECTIONS = 4
_MAX_TEXT_CHARS = 300
_REFUSED_BATCH = frozenset({400, 413, 415, 422})


class _Problem(msgspec.Struct):
    """What is read of a problem document (RFC 9457)."""

    code: str = "unknown"
    detail: str = ""


class HubToken:
    """The cluster token; one that came from a file is read again, so that it can be rotated."""

    def __init__(self, value: str, file: Path | None = None) -> None:
        """Keep the value read at the start and the file it came from, if any."""
        self._value = value
        self._file = file

    def current(self) -> str:
        """Return the token as the file says now; the last good one if the file cannot be read."""
        if self._file is not None:
            try:
                text = self._file.read_text(encoding="utf-8").strip()
            except (OSError, ValueError):
                text = ""
            # A control character would end up in a header.
            if text and text.isascii() and text.isprintable():
                self._value = text
        return self._value


class Backoff:
    """Pauses between tries: full jitter under a ceiling that doubles up to a cap (seconds)."""

    def __init__(
        self, first_seconds: float, cap_seconds: float, draw: Callable[[], float] = random.random
    ) -> None:
        """Begin at `first_seconds`; `draw` gives numbers from 0 to 1."""
        self._first = min(first_seconds, cap_seconds)
        self._cap = cap_seconds
        self._draw = draw
        self._ceiling = self._first

    def reset(self) -> None:
        """Begin anew after a success."""
        self._ceiling = self._first

    def next_seconds(self, at_least: float = 0.0) -> float:
        """Return the next pause, not shorter than `at_least` (a Retry-After)."""
        pause = self._draw() * self._ceiling
        self._ceiling = min(self._ceiling * 2, self._cap)
        return at_least + pause


@dataclass(frozen=True, slots=True)
class HubAddress:
    """Where the hub is and how long it may take (seconds); `ca_file` null: the system's CAs."""

    url: str
    ca_file: Path | None
    timeout_seconds: float
    user_agent: str


class HubClient:
    """A small connection pool to one hub."""

    def __init__(self, address: HubAddress, token: HubToken) -> None:
        """Nothing is opened before `open`."""
        self._address = address
        self._token = token
        self._session: aiohttp.ClientSession | None = None

    @property
    def token(self) -> str:
        """The cluster token as it is now; only to tell whether it has changed."""
        return self._token.current()

    async def open(self) -> None:
        """Prepare the pool; no connection is made yet. Raises OSError if the CA file is no good."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                ssl=self._verification(), limit=_MAX_CONNECTIONS, keepalive_timeout=20
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(
                total=self._address.timeout_seconds, sock_connect=_CONNECT_SECONDS
            ),
            headers={
                "User-Agent": self._address.user_agent,
                "Accept": "application/json",
                "Accept-Encoding": "identity",
            },
            auto_decompress=False,
        )

    def _verification(self) -> ssl.SSLContext | bool:
        """Return what verifies the hub; true is aiohttp's own, already loaded system CAs."""
        if self._address.ca_file is None:
            return True
        return ssl.create_default_context(cafile=self._address.ca_file)

    async def close(self) -> None:
        """Close the pool. Harmless when nothing was opened."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def post(self, path: str, body: bytes) -> bytes:
        """Send `body` to `path` and return the body of a 200.

        Raises HubUnreachableError (try the same again), HubRefusedTokenError,
        HubRefusedBatchError.
        """
        if self._session is None:
            raise HubUnreachableError("closed")
        headers = {
            "Authorization": f"Bearer {self._token.current()}",
            "Content-Type": "application/json",
        }
        if len(body) >= _GZIP_FROM_BYTES:
            body = gzip.compress(body, compresslevel=1, mtime=0)
            headers["Content-Encoding"] = "gzip"
        url = self._address.url.rstrip("/") + path
        # The errors below are raised `from None`: aiohttp's own hold the request's headers.
        try:
            async with self._session.post(
                url, data=io.BytesIO(body), headers=headers, allow_redirects=False
            ) as response:
                answer = await read_bounded(response, MAX_ANSWER_BYTES)
                retry_after = retry_after_seconds(response.headers.get("Retry-After"))
                status = response.status
        except AnswerTooLargeError:
            raise HubUnreachableError("answer_too_large") from None
        except TimeoutError:
            raise HubUnreachableError("timeout") from None
        except aiohttp.ClientSSLError:
            raise HubUnreachableError("tls") from None
        except aiohttp.ClientConnectorError:
            raise HubUnreachableError("connect") from None
        except (aiohttp.ClientError, OSError, ValueError):
            raise HubUnreachableError("cut") from None
        return _judge(status, answer, retry_after)


def _judge(status: int, answer: bytes, retry_after: float | None) -> bytes:
    if status == 200:
        return answer
    if status in (401, 403):
        raise HubRefusedTokenError(status, _problem(answer).detail[:_MAX_TEXT_CHARS])
    if status in _REFUSED_BATCH:
        problem = _problem(answer)
        raise HubRefusedBatchError(
            status, problem.code[:_MAX_TEXT_CHARS], problem.detail[:_MAX_TEXT_CHARS]
        )
    if status == 429:
        raise HubUnreachableError("status_429", retry_after)
    if status >= 500:
        raise HubUnreachableError("status_5xx", retry_after)
    # A redirect, or a 404 of something that is not the hub: an admin's mistake, so keep trying.
    raise HubUnreachableError("redirect" if 300 <= status < 400 else "status_other", retry_after)


def _problem(answer: bytes) -> _Problem:
    try:
        return msgspec.json.decode(answer, type=_Problem)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return _Problem()
