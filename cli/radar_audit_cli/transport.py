"""Requests to a hub over HTTP.

Owns connections, trust, time limits, bounded retries and the noticing of an
answer that was cut short. Called by `hub_client` only. Never follows a
redirect (the token would follow it), never writes a token anywhere, and never
sends a change again that the hub may have made already.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from urllib.parse import urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    SSLError,
)

from .addresses import is_loopback
from .errors import ArgumentError, CliError, CutError, RefusedError, UnreachableError
from .problems import failure_sentence, is_untrusted, refusal
from .shapes import Params

_CONNECT_SECONDS = 10.0
READ_SECONDS = 120.0  # a rare filter makes the hub read long before it sends the next byte
_ATTEMPTS = 4
_LONGEST_WAIT_SECONDS = 60.0  # what the hub may make a person wait; beyond it we say so and end
_FIRST_WAIT_SECONDS = 0.5
_CHUNK_BYTES = 64 * 1024
_MAX_PROBLEM_BYTES = 64 * 1024
_NOT_SENT = (NewConnectionError, ConnectTimeoutError, SSLError, ProxyError)  # no request left us


class Answer:
    """An open answer that is no error: `headers`, and a body that is read once."""

    def __init__(self, response: urllib3.BaseHTTPResponse, url: str) -> None:
        """Wrap a response whose body has not been read."""
        self._response = response
        self._url = url
        self.headers: Mapping[str, str] = response.headers

    def require_end(self) -> None:
        """Raise CliError if the answer does not say where it ends: a cut would go unnoticed."""
        is_chunked = "chunked" in self.headers.get("Transfer-Encoding", "").lower()
        if not is_chunked and "Content-Length" not in self.headers:
            raise CliError(
                f"the answer of {self._url} does not say where it ends, so a cut would not show",
                hint="a proxy between speaks HTTP/1.0; let it speak HTTP/1.1 to the hub",
            )

    def chunks(self) -> Iterator[bytes]:
        """Yield the body as it comes. Raises CutError if it stops before its end."""
        try:
            yield from self._response.stream(_CHUNK_BYTES)
        except (HTTPError, OSError) as exc:
            sentence = failure_sentence(exc, self._url)
            raise CutError(f"the answer was cut short: {sentence}") from exc

    def body(self, max_bytes: int) -> bytes:
        """Read the whole body. Raises CutError, or CliError if it is longer than `max_bytes`."""
        parts = []
        size_bytes = 0
        for chunk in self.chunks():
            size_bytes += len(chunk)
            if size_bytes > max_bytes:
                raise CliError(f"the hub's answer is longer than {max_bytes} bytes")
            parts.append(chunk)
        return b"".join(parts)


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    url: str
    body: bytes | None = field(repr=False)
    read_seconds: float

    @property
    def is_change(self) -> bool:
        return self.method != "GET"

    @property
    def passing(self) -> tuple[int, ...]:
        """The statuses after which the same request may be sent again."""
        # A 503 can come from a commit of which nobody knows how it ended.
        return (429,) if self.is_change else (429, 503)


class Transport:
    """Sends requests to one hub with one token.

    `log` gets a line for each request (never the token); `sleep` waits between
    attempts and takes seconds.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        ca_file: str | None = None,
        log: Callable[[str], None] | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Prepare the connection pool; connects at the first request. Raises ArgumentError."""
        self.url = url
        self._headers = {
            "Authorization": f"Bearer {token}",
            "User-Agent": f"radar-audit-cli/{version('radar-audit-cli')}",
        }
        self._log = log
        self._sleep = sleep
        self._pool = _pool(url, ca_file)

    @contextmanager
    def get(
        self, path: str, params: Params = (), *, read_seconds: float = READ_SECONDS
    ) -> Iterator[Answer]:
        """Open `path` (below `/api`); the answer is closed at the end of the `with` block.

        Waits and asks again, a bounded number of times, where the hub is busy.
        Raises UnreachableError, or RefusedError for any status but 200.
        """
        response = self._open(_Request("GET", self._address(path, params), None, read_seconds))
        with self._closing(response):
            yield Answer(response, self.url)

    @contextmanager
    def change(
        self, method: str, path: str, body: bytes | None, params: Params = ()
    ) -> Iterator[Answer]:
        """Send a change to `path` (below `/api`), with a JSON body or none.

        Waits and sends again only where the hub refused before it did anything
        (429, or no connection at all). Raises UnreachableError, which says if the
        change may have been made, or RefusedError for any status but a 2xx.
        """
        response = self._open(_Request(method, self._address(path, params), body, READ_SECONDS))
        with self._closing(response):
            yield Answer(response, self.url)

    def _address(self, path: str, params: Params) -> str:
        query = f"?{urlencode(params)}" if params else ""
        return f"{self.url}/api{path}{query}"

    @contextmanager
    def _closing(self, response: urllib3.BaseHTTPResponse) -> Iterator[None]:
        try:
            yield
        finally:
            # A body that was not read to its end cannot be reused, so it is closed, not drained.
            response.close()
            response.release_conn()

    def _open(self, request: _Request) -> urllib3.BaseHTTPResponse:
        for attempt in range(1, _ATTEMPTS + 1):
            wait_seconds = _FIRST_WAIT_SECONDS * 2 ** (attempt - 1)
            try:
                response = self._send(request)
            except (HTTPError, OSError) as exc:
                error: CliError = self._unreachable(request, exc)
                # The hub closed a kept connection as we used it: nothing was answered yet.
                if request.is_change or not isinstance(exc, ProtocolError):
                    raise error from exc
            else:
                if 200 <= response.status < 300 and (request.is_change or response.status == 200):
                    return response
                refused = self._refused(response)
                if refused.status not in request.passing:
                    raise refused
                wait_seconds = max(refused.retry_after_seconds or 0.0, wait_seconds)
                error = refused
            if attempt == _ATTEMPTS or wait_seconds > _LONGEST_WAIT_SECONDS:
                raise error
            self._say(f"waiting {wait_seconds:.1f} s: {error.message}")
            self._sleep(wait_seconds)
        raise AssertionError("the last attempt returns or raises")

    def _unreachable(self, request: _Request, error: Exception) -> UnreachableError:
        sentence = failure_sentence(error, self.url)
        if request.is_change and not isinstance(error, _NOT_SENT):
            return UnreachableError(
                f"{sentence}, so the change may have been made or not",
                hint="look at what is there before you try it again",
            )
        return UnreachableError(sentence, hint=_trust_hint(error))

    def _send(self, request: _Request) -> urllib3.BaseHTTPResponse:
        started = time.monotonic()
        more = {} if request.body is None else {"Content-Type": "application/json"}
        response = self._pool.request(
            request.method,
            request.url,
            body=request.body,
            headers=self._headers | more,
            preload_content=False,
            redirect=False,
            retries=False,
            timeout=urllib3.Timeout(connect=_CONNECT_SECONDS, read=request.read_seconds),
        )
        took_ms = (time.monotonic() - started) * 1000
        request_id = response.headers.get("X-Request-Id", "-")
        asked = f"{request.method} {request.url}"
        self._say(f"{asked} {response.status} in {took_ms:.0f} ms, request {request_id}")
        return response

    def _refused(self, response: urllib3.BaseHTTPResponse) -> RefusedError:
        try:
            body = Answer(response, self.url).body(_MAX_PROBLEM_BYTES)
        except CliError:
            body = b""
        finally:
            response.close()
            response.release_conn()
        return refusal(response.status, response.headers, body, self.url, now_seconds=time.time())

    def _say(self, line: str) -> None:
        if self._log is not None:
            self._log(line)


def _trust_hint(error: Exception) -> str | None:
    if is_untrusted(error) or is_untrusted(getattr(error, "reason", None)):
        return "name the hub's own CA with --ca-file or RADAR_AUDIT_CA_FILE"
    return None


def _pool(url: str, ca_file: str | None) -> urllib3.PoolManager:
    try:
        trust = ssl.create_default_context(cafile=ca_file)
    except OSError as exc:
        raise ArgumentError(f"the CA file {ca_file} cannot be read: {exc.strerror}") from exc
    proxy = _proxy(url)
    try:
        if proxy is None:
            return urllib3.PoolManager(ssl_context=trust)
        return urllib3.ProxyManager(proxy, ssl_context=trust)
    except (HTTPError, ValueError) as exc:
        raise ArgumentError("HTTPS_PROXY names no usable proxy") from exc


def _proxy(url: str) -> str | None:
    """Return the proxy that the environment names for an https address, else None.

    Plain http never goes by a proxy: the proxy would read the token.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme != "https" or is_loopback(host) or proxy_bypass(host):
        return None
    return getproxies().get("https")
