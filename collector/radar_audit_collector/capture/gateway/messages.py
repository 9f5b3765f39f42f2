"""The journal link's messages: one JSON object a line, both ways.

Owns their names and their bound. Called by `link` (relay) and `journal`
(collector). Pure, standard library only: it is part of the relay process. Never
has a field for a token, a query or a byte of a stream.

From the relay: `hello`, `ask` (could a start be stored?), `open` (101), `ended`,
`answered` (another status), `log`, `stats`, `bye`. To it: `stored` (answers `ask`
and `open` by `ref`), `drain`, `capture`, `upstream`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypedDict

MAX_LINE_BYTES = 1024 * 1024  # groups of a 64 KiB head, written as JSON, fit many times


class Facts(TypedDict):
    """What an exec's record holds; times are Unix microseconds. See `ExecRequest`.

    `chosen` tells that the client chose the Audit-ID.
    """

    audit_id: str
    chosen: bool
    verb: str
    namespace: str
    pod: str
    subresource: str
    user: str
    impersonated_user: str | None
    impersonated_groups: tuple[str, ...]
    code: int
    received_us: int
    stage_us: int
    container: str | None
    stdin: bool
    tty: bool
    user_agent_hash: str


def encode(kind: str, fields: Mapping[str, Any]) -> bytes:
    """Return a message as a line."""
    return json.dumps({"kind": kind, **fields}, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """Read a line. Raises ValueError if it is no message."""
    message = json.loads(line)
    if not isinstance(message, dict) or not isinstance(message.get("kind"), str):
        raise ValueError("no message")  # noqa: TRY004 - its caller knows one error
    return message


class Lines:
    """Cuts a stream into lines of at most MAX_LINE_BYTES."""

    def __init__(self) -> None:
        self._begun = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that `data` completes. Raises ValueError for one too long."""
        self._begun += data
        *lines, rest = bytes(self._begun).split(b"\n")
        if len(rest) > MAX_LINE_BYTES:
            raise ValueError("a line is too long")
        self._begun = bytearray(rest)
        return lines
