"""A request head, read exactly as Go's HTTP/1 server reads the same bytes.

Owns where a head ends, its request line and its header fields: bare line feeds,
folded lines, repeated fields and odd casing mean here what they mean there
(net/textproto and net/http of Go). Called by `rules`. Pure. Never looks behind
the blank line, and never puts a byte of a head into an exception or a repr.

Where Go refuses a head, so does this module; where it is more lenient than Go
(it judges neither Host nor body framing), the API server's own 400 decides.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

MAX_HEAD_BYTES = 64 * 1024

# RFC 9110 token; Go keeps a field name with a space in textproto, but its server refuses it.
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VERSION = re.compile(rb"HTTP/[0-9]\.[0-9]")
# What Go takes in a value: tab, space, visible ASCII, and everything from 0x80.
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_BLANKS = b" \t"


@dataclass(frozen=True, slots=True)
class RequestLine:
    """The first line; `end` is where the next line begins."""

    method: bytes
    target: bytes = field(repr=False)
    version: bytes
    end: int


@dataclass(frozen=True, slots=True)
class RequestHead:
    """A whole head; field names are in lower case, in the order and number of the wire."""

    line: RequestLine
    fields: tuple[tuple[bytes, bytes], ...] = field(repr=False)

    def values(self, name: bytes) -> list[bytes]:
        """Return the values of all fields called `name` (lower case), in their order."""
        return [value for key, value in self.fields if key == name]

    def first(self, name: bytes) -> bytes:
        """Return the first value of `name` (lower case), empty if there is none."""
        return next((value for key, value in self.fields if key == name), b"")


def find_end(buffer: bytes | bytearray, start: int = 0) -> int:
    """Return where the head ends (behind its blank line), -1 if it does not yet.

    `start` is how much was already looked at: only what came since is searched.
    """
    start = max(0, start - 3)
    strict = buffer.find(b"\n\r\n", start)
    bare = buffer.find(b"\n\n", start)
    if strict < 0:
        return bare + 2 if bare >= 0 else -1
    if 0 <= bare < strict:
        return bare + 2
    return strict + 3


def read_request_line(buffer: bytes | bytearray) -> RequestLine | None:
    """Read the first line of `buffer`; null if it has no end yet or Go would refuse it."""
    end = buffer.find(b"\n")
    if end < 0:
        return None
    line = bytes(buffer[:end])
    line = line.removesuffix(b"\r")
    method, _, rest = line.partition(b" ")
    target, space, version = rest.partition(b" ")
    if not space or not target or _TOKEN.fullmatch(method) is None:
        return None
    if _VERSION.fullmatch(version) is None:
        return None
    return RequestLine(method, target, version, end + 1)


def parse(head: bytes | bytearray) -> RequestHead | None:
    """Read a head that ends with its blank line; null if Go's server would refuse it."""
    line = read_request_line(head)
    if line is None:
        return None
    fields: list[tuple[bytes, bytes]] = []
    for text in _unfolded(bytes(head[line.end :])):
        if text is None:
            return None
        name, colon, value = text.partition(b":")
        if not colon or _TOKEN.fullmatch(name) is None or _VALUE.fullmatch(value) is None:
            return None
        fields.append((name.lower(), value.lstrip(_BLANKS)))
    return RequestHead(line, tuple(fields))


def _unfolded(block: bytes) -> list[bytes | None]:
    """Join continued lines by one space each; a null stands for what cannot be joined."""
    lines: list[bytes | None] = []
    for raw in block.split(b"\n"):
        text = raw.removesuffix(b"\r")
        if not text:
            break
        if text[0] not in _BLANKS:
            # Go asks for the colon before it joins: a name may not be continued.
            lines.append(text.strip(_BLANKS) if b":" in text else None)
        elif not lines or lines[-1] is None:
            return [None]
        else:
            lines[-1] += b" " + text.strip(_BLANKS)
    return lines
