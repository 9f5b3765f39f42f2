"""The opaque cursor of a page: where to go on, bound to one org and one filter.

Owns its coding. Called by the audit handlers. Pure. A cursor is no secret and
grants nothing: it is checked so that a damaged or misplaced one is refused
instead of giving a page that looks right and is not.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

from radar_audit_events.errors import IdError
from radar_audit_events.ids import MAX_MS, event_time_ms

from radar_audit_hub.errors import InvalidCursorError

_VERSION = 1
_ID_CHARS = 29  # ae_ and a ULID
_TIME_BYTES = 6
_CHECK_BYTES = 12
_NO_TIME = (1 << 48) - 1
# 48 bytes are 64 characters without padding: no bit of the text is left unused.
_LENGTH = 1 + _ID_CHARS + _TIME_BYTES + _CHECK_BYTES
MAX_CURSOR_CHARS = _LENGTH * 4 // 3
_EXPECTED = "this is no cursor of ours; send next_cursor of the last page unchanged, or none"
_FOREIGN = (
    "this cursor belongs to another organization or filter; "
    "keep all parameters but limit the same from page to page"
)


@dataclass(frozen=True, slots=True)
class Position:
    """The next page's events have ids below `before`.

    `from_ms` is the start of a relative range (`range=24h`) as it was on the first
    page, so that the window does not move while a client pages through it.
    """

    before: str
    from_ms: int | None = None


def encode(position: Position, org_id: str, filter_text: str) -> str:
    """Return the cursor: 64 URL-safe characters. `filter_text` is the filter's canonical form."""
    start = _NO_TIME if position.from_ms is None else position.from_ms
    body = bytes([_VERSION]) + position.before.encode("ascii") + start.to_bytes(_TIME_BYTES, "big")
    return base64.urlsafe_b64encode(body + _check(body, org_id, filter_text)).decode("ascii")


def decode(text: str, org_id: str, filter_text: str) -> Position:
    """Read a cursor back. Raises InvalidCursorError unless it was made for this org and filter."""
    try:
        raw = base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True)
    except ValueError:  # also UnicodeEncodeError and binascii.Error
        raise InvalidCursorError(_EXPECTED) from None
    body, check = raw[:-_CHECK_BYTES], raw[-_CHECK_BYTES:]
    if len(raw) != _LENGTH or body[0] != _VERSION:
        raise InvalidCursorError(_EXPECTED)
    if check != _check(body, org_id, filter_text):
        raise InvalidCursorError(_FOREIGN)
    start = int.from_bytes(body[1 + _ID_CHARS :], "big")
    before = body[1 : 1 + _ID_CHARS].decode("latin-1")
    try:
        event_time_ms(before)
    except IdError:
        raise InvalidCursorError(_EXPECTED) from None
    if start != _NO_TIME and start > MAX_MS:
        raise InvalidCursorError(_EXPECTED)
    return Position(before, None if start == _NO_TIME else start)


def _check(body: bytes, org_id: str, filter_text: str) -> bytes:
    digest = hashlib.sha256(body)
    for part in (org_id, filter_text):
        raw = part.encode("utf-8", "surrogatepass")
        digest.update(len(raw).to_bytes(4, "big"))
        digest.update(raw)
    return digest.digest()[:_CHECK_BYTES]
