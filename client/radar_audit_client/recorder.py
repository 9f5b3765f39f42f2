"""Sends events, again where the network or the server failed, always with the same keys.

Owns `Recorder`: connections, retries, time-outs. Whoever has events calls it. Never follows a
redirect, so the token goes to the given server only; never shows the token.
"""

from __future__ import annotations

import json
import random
import re
import ssl
import time
from collections.abc import Callable, Iterable, Sequence
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.parse import quote, urlsplit

from .errors import GaveUpError, RefusedError
from .events import Event, Result, read_results

MAX_EVENTS = 500  # of one call, as the server takes them
_MAX_ANSWER_BYTES = 8 * 1024 * 1024
_FIRST_PAUSE_SECONDS = 0.5
_MAX_PAUSE_SECONDS = 30.0
_AGAIN = frozenset({429, 500, 502, 503, 504})
_MAX_DETAIL_CHARS = 300
_TOKEN = re.compile(r"^rhp_[A-Za-z0-9_-]{1,200}\Z")  # a header that breaks shows its value


class Recorder:
    """Records events in one organization's log; not to be used by two threads at once.

    `url` is the server's, `token` an owner's personal access token with the scope audit:write.
    `timeout_seconds` bounds one try, `give_up_after_seconds` all tries of one call.
    """

    def __init__(
        self,
        url: str,
        *,
        org_id: str,
        token: str,
        timeout_seconds: float = 30.0,
        give_up_after_seconds: float = 120.0,
        tls: ssl.SSLContext | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Connect to nothing yet. Raises ValueError for no http(s) URL, or no such token."""
        if not _TOKEN.match(token):
            raise ValueError("token must be a personal access token, which begins with rhp_")
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("url must be one such as https://audit.example.com")
        self._host, self._port, self._tls = parts.hostname, parts.port, tls
        self._is_https = parts.scheme == "https"
        self._path = f"{parts.path.rstrip('/')}/api/orgs/{quote(org_id, safe='')}/audit/events"
        self._token = token
        self._timeout_seconds = timeout_seconds
        self._give_up_after_seconds = give_up_after_seconds
        self._sleep, self._clock = sleep, clock

    def record(self, events: Iterable[Event]) -> list[Result]:
        """Record events, in calls of at most MAX_EVENTS; return their fates in order.

        Raises RefusedError, GaveUpError; what was recorded until then is, and sent again it is
        a duplicate.
        """
        left = list(events)
        results: list[Result] = []
        for first in range(0, len(left), MAX_EVENTS):
            part = left[first : first + MAX_EVENTS]
            results += read_results(self._call(part), len(part))
        return results

    def _call(self, events: Sequence[Event]) -> Any:
        body = json.dumps({"events": [event.as_json() for event in events]}).encode()
        end = self._clock() + self._give_up_after_seconds
        tries = 0
        while True:
            try:
                status, answer, wait_seconds = self._try(body)
            except (OSError, HTTPException) as error:
                trouble, wait_seconds = type(error).__name__, 0.0
            else:
                if status == 200:
                    return answer
                if status not in _AGAIN:
                    raise _refused(status, answer)
                trouble = f"status {status}"
            tries += 1
            pause = max(wait_seconds, _pause_seconds(tries))
            if self._clock() + pause > end:
                raise GaveUpError(f"the server could not be reached in time: {trouble}")
            self._sleep(pause)

    def _try(self, body: bytes) -> tuple[int, Any, float]:
        """Send the call once; return status, JSON (None if it is none), seconds to wait."""
        connection = self._connect()
        try:
            headers = {
                "Authorization": f"Bearer {self._token}",
                "Content-Type": "application/json",
                "User-Agent": "radar-audit-client/0.1.0",
            }
            connection.request("POST", self._path, body, headers)
            response = connection.getresponse()
            raw = response.read(_MAX_ANSWER_BYTES)
            return response.status, _json(raw), _retry_after(response)
        finally:
            connection.close()

    def _connect(self) -> HTTPConnection:
        if self._is_https:
            return HTTPSConnection(
                self._host, self._port, timeout=self._timeout_seconds, context=self._tls
            )
        return HTTPConnection(self._host, self._port, timeout=self._timeout_seconds)


def _pause_seconds(tries: int) -> float:
    limit = min(_FIRST_PAUSE_SECONDS * 2.0 ** min(tries - 1, 10), _MAX_PAUSE_SECONDS)
    return limit * random.uniform(0.5, 1.0)


def _retry_after(response: HTTPResponse) -> float:
    text = response.getheader("Retry-After", "")
    return min(float(text), _MAX_PAUSE_SECONDS * 2) if text.isascii() and text.isdigit() else 0.0


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return None


def _refused(status: int, answer: Any) -> RefusedError:
    told = answer if isinstance(answer, dict) else {}
    detail = str(told.get("detail", "it does not say why"))[:_MAX_DETAIL_CHARS]
    return RefusedError(status, str(told.get("code", "unknown"))[:_MAX_DETAIL_CHARS], detail)
