"""The hub's own ends of HTTP: limits of a request's head, and errors before any route.

Owns the connection class and `listener`. `app.py` starts and stops it. What the HTTP
parser refuses gets the same problem document as every other error, and its text goes
to no log: a malformed head may hold a token.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from radar_audit_runtime.listener import ClientConnection, Listener

from .errors import MalformedRequestError
from .http_errors import problem
from .middleware import REQUEST_ID, REQUEST_ID_HEADER, request_id_of

MAX_TARGET_BYTES = 32 * 1024  # a query of 2,000 characters, percent-encoded, and the rest
MAX_HEADER_BYTES = 8 * 1024
MAX_HEADERS = 100
ANSWER_SECONDS = 120.0  # for an answer that is made as a whole: at most 16 MiB
UNREAD_BYTES = 48 * 1024 * 1024  # of whole answers that clients have not taken yet
_COUNTED_FROM_BYTES = 64 * 1024  # a smaller answer is soon in the kernel's buffers
_logger = logging.getLogger(__name__)


class Unread:
    """The large answers that are on their way to clients: `limit_bytes` of them in all.

    Above it the largest is cut, of equal ones the oldest: who asks for page after page and reads
    none would else fill the memory within ANSWER_SECONDS. A client that reads is done long before.
    """

    def __init__(self, limit_bytes: int) -> None:
        """Hold nothing yet."""
        self._limit = limit_bytes
        self._held: dict[ClientConnection, int] = {}

    @contextmanager
    def sending(self, connection: ClientConnection, size_bytes: int) -> Iterator[None]:
        """Count an answer for the block; others, or this one, may be cut for it."""
        self._held[connection] = size_bytes
        try:
            self._make_room()
            yield
        finally:
            self._held.pop(connection, None)

    def _make_room(self) -> None:
        while len(self._held) > 1 and sum(self._held.values()) > self._limit:
            largest = max(self._held, key=self._held.__getitem__)
            del self._held[largest]
            _logger.info("an answer was cut: too many wait for clients that do not read")
            if largest.transport is not None:
                largest.transport.abort()


class Connection(ClientConnection):
    """One client's connection: how errors outside of the handlers and answers are sent."""

    def __init__(self, *arguments: Any, unread: Unread, **options: Any) -> None:
        """Count large answers in `unread`, which all connections share."""
        super().__init__(*arguments, **options)
        self._unread = unread

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what the parser refused (400), or what got past the middleware (500)."""
        if isinstance(exc, ConnectionError) or request.writer.output_size > 0:
            raise ConnectionResetError("the answer was cut short") from None
        request_id = request_id_of(None, os.urandom(8))
        if status == HTTPStatus.BAD_REQUEST:
            error: BaseException = MalformedRequestError(_sentence(exc))
            _logger.info("malformed request", extra={"request_id": request_id})
        else:
            error = exc if exc is not None else RuntimeError("no cause given")
            facts = {"request_id": request_id, "error": type(error).__name__}
            _logger.error("request failed outside its handler", exc_info=exc, extra=facts)
        response = _finish(problem(error).response(request_id), request_id)
        response.force_close()
        return response

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer, for a limited time; aiohttp's own refusals in the problem form."""
        if isinstance(resp, web.HTTPException):
            given = request.headers.get(REQUEST_ID_HEADER)
            request_id = request_id_of(given, os.urandom(8))
            request[REQUEST_ID] = request_id
            resp = _finish(problem(resp).response(request_id), request_id)
        size_bytes = _size_of(resp)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                if size_bytes < _COUNTED_FROM_BYTES:
                    return await super().finish_response(request, resp, start_time)
                with self._unread.sending(self, size_bytes):
                    return await super().finish_response(request, resp, start_time)
        except TimeoutError:  # the client does not read: its page must not wait in memory for ever
            if self.transport is not None:
                self.transport.abort()
            return resp, True


def _size_of(response: web.StreamResponse) -> int:
    """Return how much of an answer is in memory as a whole: nothing of one that was streamed."""
    body = response.body if isinstance(response, web.Response) else None
    return len(body) if isinstance(body, bytes | bytearray) else 0


def _finish(response: web.Response, request_id: str) -> web.Response:
    response.headers[REQUEST_ID_HEADER] = request_id
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Server"] = "radar-audit"
    return response


def _sentence(error: BaseException | None) -> str:
    if isinstance(error, LineTooLong):
        return (
            f"the request line has at most {MAX_TARGET_BYTES} bytes, a header {MAX_HEADER_BYTES}, "
            f"and there are at most {MAX_HEADERS} headers"
        )
    return "the request is not well-formed HTTP/1.1"


def listener(app: web.Application, max_connections: int, drain_seconds: float) -> Listener:
    """Return what serves the API; `drain_seconds` is how long running requests may go on."""
    return Listener(
        app,
        max_connections,
        drain_seconds,
        Connection,
        max_line_size=MAX_TARGET_BYTES,
        max_field_size=MAX_HEADER_BYTES,
        max_headers=MAX_HEADERS,
        unread=Unread(UNREAD_BYTES),
        auto_decompress=False,  # `bodies.py` inflates, after it knows who is calling
    )
