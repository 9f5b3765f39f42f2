"""Requests to a hub over HTTP.

Owns connections, trust, time limits, bounded retries and the noticing of an
answer that was cut short. Called by `hub_client` only. Never follows a
redirect (the token would follow it) and never writes a token anywhere.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from urllib.parse import urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from urllib3.exceptions import HTTPError, ProtocolError

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


class Answer:
    """An open 200 answer: `headers`, and a body that is read once."""

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


class Transport:
    """Sends GET requests to one hub with one token.

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
        query = f"?{urlencode(params)}" if params else ""
        url = f"{self.url}/api{path}{query}"
        response = self._open(url, read_seconds)
        try:
            yield Answer(response, self.url)
        finally:
            # A body that was not read to its end cannot be reused, so it is closed, not drained.
            response.close()
            response.release_conn()

    def _open(self, url: str, read_seconds: float) -> urllib3.BaseHTTPResponse:
        for attempt in range(1, _ATTEMPTS + 1):
            wait_seconds = _FIRST_WAIT_SECONDS * 2 ** (attempt - 1)
            try:
                response = self._send(url, read_seconds)
            except ProtocolError as exc:
                # The hub closed a kept connection as we used it: nothing was answered yet.
                error: CliError = UnreachableError(failure_sentence(exc, self.url))
            except (HTTPError, OSError) as exc:
                raise UnreachableError(
                    failure_sentence(exc, self.url), hint=_trust_hint(exc)
                ) from exc
            else:
                if response.status == 200:
                    return response
                refused = self._refused(response)
                if refused.status not in (429, 503):
                    raise refused
                wait_seconds = max(refused.retry_after_seconds or 0.0, wait_seconds)
                error = refused
            if attempt == _ATTEMPTS or wait_seconds > _LONGEST_WAIT_SECONDS:
                raise error
            self._say(f"waiting {wait_seconds:.1f} s: {error.message}")
            self._sleep(wait_seconds)
        raise AssertionError("the last attempt returns or raises")

    def _send(self, url: str, read_seconds: float) -> urllib3.BaseHTTPResponse:
        started = time.monotonic()
        response = self._pool.request(
            "GET",
            url,
            headers=self._headers,
            preload_content=False,
            redirect=False,
            retries=False,
            timeout=urllib3.Timeout(connect=_CONNECT_SECONDS, read=read_seconds),
        )
        took_ms = (time.monotonic() - started) * 1000
        request_id = response.headers.get("X-Request-Id", "-")
        self._say(f"GET {url} {response.status} in {took_ms:.0f} ms, request {request_id}")
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
