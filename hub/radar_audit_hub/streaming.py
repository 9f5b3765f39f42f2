"""Writing to a client that may be slow or gone, without waiting for it for ever.

Owns `PatientWriter`, `sent` and `abort`. Called by exports, live tails and pages of the log. An
answer that cannot be finished is cut: the client must see an error, never a clean end.
"""

from __future__ import annotations

import asyncio

from aiohttp import web

# Below this, averaged over the time spent waiting for the client, an answer is cut:
# otherwise a client that reads a byte now and then would hold a database connection for days.
MIN_BYTES_PER_SECOND = 32 * 1024
# What is written at once: one timeout for megabytes would cut a slow client that does read.
SLICE_BYTES = 256 * 1024
_AWAITED_FROM_BYTES = 256 * 1024  # of a smaller answer the handler does not wait for the end


class SlowClientError(ConnectionError):
    """The client does not take what it asked for."""


class PatientWriter:
    """Writes chunks of a prepared response; `write_timeout_seconds` bounds each stand-still."""

    def __init__(self, response: web.StreamResponse, write_timeout_seconds: float) -> None:
        """Nothing is written yet."""
        self._response = response
        self._timeout_seconds = write_timeout_seconds
        self._waited_seconds = 0.0
        self._sent_bytes = 0

    async def write(self, chunk: bytes) -> None:
        """Send a chunk. Raises SlowClientError, or ConnectionError when the client is gone."""
        if len(chunk) <= SLICE_BYTES:
            await self._write(chunk)
            return
        view = memoryview(chunk)
        for start in range(0, len(chunk), SLICE_BYTES):
            await self._write(view[start : start + SLICE_BYTES])

    async def _write(self, chunk: bytes | memoryview) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await self._response.write(chunk)
        except TimeoutError:
            raise SlowClientError("the client has stopped reading") from None
        self._sent_bytes += len(chunk)
        self._waited_seconds += loop.time() - started
        if (
            self._waited_seconds > self._timeout_seconds
            and self._sent_bytes < self._waited_seconds * MIN_BYTES_PER_SECOND
        ):
            raise SlowClientError("the client reads too slowly")


async def sent(
    request: web.Request, response: web.Response, write_timeout_seconds: float
) -> web.StreamResponse:
    """Send an answer that is made as a whole, if it is large, and return what the handler returns.

    So that a bound which the handler holds is held until the client has taken it. Raises
    SlowClientError, ConnectionError.
    """
    body = response.body
    if not isinstance(body, bytes) or len(body) < _AWAITED_FROM_BYTES:
        return response
    streamed = web.StreamResponse(status=response.status, headers=response.headers)
    streamed.content_length = len(body)
    await streamed.prepare(request)
    await PatientWriter(streamed, write_timeout_seconds).write(body)
    return streamed


def abort(request: web.Request) -> None:
    """Cut the connection at once, so that the client sees an answer that does not end."""
    if request.transport is not None:
        request.transport.abort()


def is_gone(request: web.Request) -> bool:
    """Tell whether nobody is there to answer any more."""
    return request.transport is None or request.transport.is_closing()
