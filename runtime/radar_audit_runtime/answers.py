"""What a program of ours reads of an HTTP server's answer, within bounds.

Owns the bounded read of a body, and of the header that asks to wait. Called by whoever is a client:
of the hub, of the API server. Never judges an answer; that is the caller's.
"""

from __future__ import annotations

import aiohttp

MAX_RETRY_AFTER_SECONDS = 300.0
_MAX_DIGITS = 9


class AnswerTooLargeError(Exception):
    """The body is longer than the caller takes; its connection is closed."""


async def read_bounded(response: aiohttp.ClientResponse, limit_bytes: int) -> bytes:
    """Return a body of at most `limit_bytes`. Raises AnswerTooLargeError, aiohttp.ClientError."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > limit_bytes:
            response.close()
            raise AnswerTooLargeError("the answer is too large")
    return bytes(body)


def retry_after_seconds(response: aiohttp.ClientResponse) -> float | None:
    """Return the seconds of Retry-After, at most 300; a date or nonsense counts as none."""
    text = response.headers.get("Retry-After", "")
    if not text.isascii() or not text.isdigit() or len(text) > _MAX_DIGITS:
        return None
    return min(float(text), MAX_RETRY_AFTER_SECONDS)
