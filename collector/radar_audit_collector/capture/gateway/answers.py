"""What is said about an exec over HTTP: the API server's status, and the gateway's own refusals.

Owns the reading of a response's status and the few answers that the gateway gives
itself. Called by `connection` and `rules`. Pure. Never reads a response's fields
or body.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from .heads import MAX_HEAD_BYTES, find_end

_STATUS = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2})[ \r\n]")
_STATUS_BYTES = 13  # "HTTP/1.1 200" and one byte more
SWITCHING = 101


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a response was understood: bytes that may go on, and the final status if known.

    A status of 0 stands for an answer that is no HTTP/1.
    """

    passed: int
    status: int | None


def read_status(buffer: bytes | bytearray) -> Progress:
    """Look for the final status in what an upstream has sent so far.

    Interim answers (1xx other than 101) pass; the final one is left in the buffer,
    so that the caller can hold it back.
    """
    passed = 0
    while True:
        left = bytes(buffer[passed : passed + _STATUS_BYTES])
        match = _STATUS.match(left)
        if match is None:
            unfinished = len(left) < _STATUS_BYTES and _may_become_status(left)
            return Progress(passed, None if unfinished else 0)
        status = int(match[1])
        if status >= 200 or status == SWITCHING:
            return Progress(passed, status)
        end = find_end(buffer, passed + 3)
        if end < 0:
            unfinished = len(buffer) - passed < MAX_HEAD_BYTES
            return Progress(passed, None if unfinished else 0)
        passed = end


def refusal(status: int, reason: str, message: str) -> bytes:
    """Return a whole HTTP/1.1 answer with a Kubernetes Status object; it closes the connection."""
    body = json.dumps(
        {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            "code": status,
        }
    ).encode()
    head = (
        f"HTTP/1.1 {status} {_PHRASES[status]}\r\n"
        "Cache-Control: no-cache, private\r\n"
        "Connection: close\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


_PHRASES = {
    400: "Bad Request",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}


def _may_become_status(start: bytes) -> bool:
    return all(
        given == wanted or (wanted == ord("9") and chr(given).isdigit())
        for given, wanted in zip(start, b"HTTP/1.9 999 ", strict=False)
    )
