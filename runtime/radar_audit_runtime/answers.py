"""What a program of ours reads of an HTTP server's answer, within bounds.

Owns the bounded read of a body. Called by whoever is a client: of the hub, of the API server. Never
judges an answer; that is the caller's.
"""

from __future__ import annotations

import aiohttp


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
