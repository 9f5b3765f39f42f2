"""The webhook source: takes the API server's audit batches over TLS.

Owns the listener, who may send to it, and its bounds. Called by the collector's
app with a function that makes records durable; only then is a batch answered
with 200, so that the API server keeps what the collector could not. Never logs a
body or any part of it, and never holds more than the bounds say.

The API server takes any 2xx as done and tries everything else again, five times
over about 80 seconds; 429 with Retry-After is what it handles best.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import zlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus

import msgspec
from aiohttp import web
from radar_audit_runtime.listener import Listener

from radar_audit_collector.errors import SpoolUnavailableError, WebhookError

from .record import AuditBatchError, AuditRecord, Skipped, parse_batch
from .tls import ServerTls

PATH = "/audit"
_BODY_SECONDS = 30.0  # the API server gives up a try after that time
_SHUTDOWN_SECONDS = 3.0
_MAX_CONNECTIONS = 200  # each API server holds a few; idle ones of others give way
_RETRY_AFTER_SECONDS = "2"
_INLINE_BYTES = 128 * 1024  # a larger body is parsed off the event loop
_SPEAKS_GZIP = 16 + zlib.MAX_WBITS

_logger = logging.getLogger(__name__)
Accept = Callable[[Sequence[AuditRecord | Skipped]], Awaitable[None]]
OnAnswer = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class WebhookLimits:
    """Bounds in bytes: one batch after decompression, and all batches in hand together."""

    max_body_bytes: int
    max_inflight_bytes: int


class _Refusal(Exception):  # noqa: N818 - it is an answer, not a fault
    """An answer other than 200, as a status and a sentence."""

    def __init__(self, status: HTTPStatus, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class WebhookSource:
    """The sink; `tls` null is plain HTTP, `token` null asks for no bearer token."""

    def __init__(
        self,
        accept: Accept,
        limits: WebhookLimits,
        *,
        tls: ServerTls | None,
        token: str | None,
        on_answer: OnAnswer,
    ) -> None:
        self._accept = accept
        self._limits = limits
        self._tls = tls
        self._token = None if token is None else token.encode()
        self._on_answer = on_answer
        self._inflight_bytes = 0
        self._listener: Listener | None = None

    @property
    def is_listening(self) -> bool:
        """Tell whether batches can come in."""
        return self._listener is not None

    async def start(self, host: str, port: int) -> int:
        """Listen; return the port (port 0 takes a free one). Raises WebhookError."""
        app = web.Application(client_max_size=self._limits.max_body_bytes)
        app.router.add_route("*", "/{path:.*}", self._answer)
        # aiohttp's own logger would print the beginning of a request that it cannot parse.
        silent = logging.getLogger(f"{__name__}.http")
        silent.disabled = True
        listener = Listener(
            app, _MAX_CONNECTIONS, _SHUTDOWN_SECONDS, logger=silent, auto_decompress=False
        )
        context = None if self._tls is None else self._tls.context
        try:
            bound_port = await listener.start(host, port, context)
        except OSError as exc:
            await listener.stop()
            raise WebhookError(
                f"the webhook sink cannot listen on {host} port {port}: {exc.strerror}"
            ) from exc
        self._listener = listener
        return bound_port

    async def stop(self) -> None:
        """Stop listening and let batches in hand finish. Harmless when nothing was started."""
        if self._listener is not None:
            listener, self._listener = self._listener, None
            await listener.stop()

    async def _answer(self, request: web.Request) -> web.Response:
        try:
            await self._take(request)
            response = web.Response(text="")
        except _Refusal as refusal:
            response = _problem(refusal.status, refusal.detail)
        except ConnectionError:
            raise
        except Exception as exc:
            # No trace and no text: either might quote the body.
            _logger.critical("the webhook sink failed", extra={"kind": type(exc).__name__})
            response = _problem(
                HTTPStatus.INTERNAL_SERVER_ERROR, "an unexpected error; see the log"
            )
        self._on_answer(response.status)
        return response

    async def _take(self, request: web.Request) -> None:
        self._authenticate(request)
        if request.path != PATH:
            raise _Refusal(HTTPStatus.NOT_FOUND, f"audit batches go to {PATH}")
        if request.method != "POST":
            raise _Refusal(HTTPStatus.METHOD_NOT_ALLOWED, f"{PATH} takes POST only")
        reserved = _Reservation(self)
        try:
            records = await self._read_records(request, reserved)
            try:
                await self._accept(records)
            except SpoolUnavailableError:
                raise _Refusal(
                    HTTPStatus.TOO_MANY_REQUESTS, "the spool cannot be written now; send it again"
                ) from None
        finally:
            reserved.release()

    def _authenticate(self, request: web.Request) -> None:
        if request.transport is not None and request.transport.get_extra_info("peercert"):
            return
        if self._token is None:
            if self._tls is not None and self._tls.asks_for_client_certificate:
                raise _Refusal(HTTPStatus.UNAUTHORIZED, "a client certificate is needed")
            return
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(
            given.strip().encode("utf-8", "surrogateescape"), self._token
        ):
            raise _Refusal(HTTPStatus.UNAUTHORIZED, "the bearer token is missing or wrong")

    async def _read_records(
        self, request: web.Request, reserved: _Reservation
    ) -> list[AuditRecord | Skipped]:
        body = await self._read_body(request, reserved)
        try:
            if len(body) <= _INLINE_BYTES:
                return parse_batch(body)
            return await asyncio.to_thread(parse_batch, body)
        except AuditBatchError as exc:
            raise _Refusal(HTTPStatus.BAD_REQUEST, str(exc)) from None

    async def _read_body(self, request: web.Request, reserved: _Reservation) -> bytes:
        encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in ("identity", "gzip"):
            raise _Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the body may be plain or gzip only")
        inflate = zlib.decompressobj(_SPEAKS_GZIP) if encoding == "gzip" else None
        if (request.content_length or 0) > self._limits.max_body_bytes:
            raise self._too_large()
        reserved.take(request.content_length or 0)
        body = bytearray()
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                async for chunk in request.content.iter_any():
                    self._grow(body, chunk, inflate, reserved)
        except TimeoutError:
            raise _Refusal(HTTPStatus.REQUEST_TIMEOUT, "the body came too slowly") from None
        except zlib.error:
            raise _Refusal(HTTPStatus.BAD_REQUEST, "the body is not valid gzip") from None
        if inflate is not None and not inflate.eof:
            raise _Refusal(HTTPStatus.BAD_REQUEST, "the gzip body is cut short")
        return bytes(body)

    def _grow(
        self,
        body: bytearray,
        chunk: bytes,
        inflate: zlib._Decompress | None,
        reserved: _Reservation,
    ) -> None:
        """Add a chunk; what it inflates to is bounded before it is made."""
        if inflate is not None:
            room = self._limits.max_body_bytes - len(body) + 1
            chunk = inflate.decompress(chunk, room)
        body += chunk
        if len(body) > self._limits.max_body_bytes:
            raise self._too_large()
        reserved.take(len(body))

    def _too_large(self) -> _Refusal:
        return _Refusal(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"a batch may hold {self._limits.max_body_bytes} bytes; lower "
            "--audit-webhook-batch-max-size or raise the collector's limit",
        )

    def reserve(self, more_bytes: int) -> None:
        """Count bytes in hand. Raises the 429 answer when all batches together hold too much."""
        if self._inflight_bytes + more_bytes > self._limits.max_inflight_bytes:
            raise _Refusal(HTTPStatus.TOO_MANY_REQUESTS, "too much is in hand; send it again")
        self._inflight_bytes += more_bytes

    def give_back(self, bytes_held: int) -> None:
        """Count bytes in hand no longer."""
        self._inflight_bytes -= bytes_held


class _Reservation:
    """The share that one request has of the bytes in hand; it only grows until its release."""

    def __init__(self, source: WebhookSource) -> None:
        self._source = source
        self._held_bytes = 0

    def take(self, total_bytes: int) -> None:
        if total_bytes > self._held_bytes:
            self._source.reserve(total_bytes - self._held_bytes)
            self._held_bytes = total_bytes

    def release(self) -> None:
        self._source.give_back(self._held_bytes)
        self._held_bytes = 0


def _problem(status: HTTPStatus, detail: str) -> web.Response:
    headers = {}
    if status is HTTPStatus.TOO_MANY_REQUESTS:
        headers["Retry-After"] = _RETRY_AFTER_SECONDS
    if status is HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = "POST"
    document = {
        "type": "about:blank",
        "title": status.phrase,
        "status": int(status),
        "detail": detail,
    }
    return web.Response(
        status=int(status),
        body=msgspec.json.encode(document),
        headers=headers,
        content_type="application/problem+json",
    )
