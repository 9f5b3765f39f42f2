"""Lists that are read in pages: their parameters, their cursor, and where one page ends.

Owns the opaque keyset cursor of the control plane's lists, bound to its list, so that one of
another list or org is refused instead of giving a page that looks right and is not. Called by
the handlers of lists. Pure. A cursor is no secret and grants nothing.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from radar_audit_events.query_text import is_storable

from .audit.parameters import Reader
from .errors import InvalidCursorError

T = TypeVar("T")
Key = tuple[str | int, ...]
DEFAULT_LIMIT, MAX_LIMIT = 100, 500
MAX_CURSOR_CHARS = 2000
PARAMETERS = ("limit", "cursor")
_CHECK_BYTES = 12
_EXPECTED = "this is no cursor of ours; send next_cursor of the last page unchanged, or none"
_FOREIGN = "this cursor belongs to another list; keep all parameters but limit the same"


@dataclass(frozen=True, slots=True)
class Asked:
    """Which page is wanted: at most `limit` rows, those whose key comes behind `after`."""

    limit: int
    after: Key | None

    @property
    def after_text(self) -> str | None:
        """The key of a list that goes by one text."""
        return None if self.after is None else str(self.after[0])


def read_page(reader: Reader, list_name: str, kinds: Sequence[type]) -> Asked:
    """Read `limit` and `cursor` off `reader`, which must know PARAMETERS.

    `list_name` says which list it is, with org and filters (`members:org_x`), `kinds` the types
    of its key (`(str, int)`). Raises InvalidParametersError (also for what else the reader has
    noted) and InvalidCursorError.
    """
    limit = reader.whole("limit", DEFAULT_LIMIT, 1, MAX_LIMIT)
    text = reader.one("cursor")
    reader.finish()
    return Asked(limit, None if text is None else decode(text, list_name, kinds))


def read_only_page(
    given: Sequence[tuple[str, str]], list_name: str, kinds: Sequence[type]
) -> Asked:
    """Read a URL's parameters for a list that has no others than the page's own."""
    return read_page(Reader(given, PARAMETERS), list_name, kinds)


def cut(
    rows: Sequence[T], asked: Asked, list_name: str, key: Callable[[T], Key]
) -> tuple[Sequence[T], str | None]:
    """Return the page and the next one's cursor, from at most `limit + 1` rows that were read."""
    if len(rows) <= asked.limit:
        return rows, None
    page = rows[: asked.limit]
    return page, encode(key(page[-1]), list_name)


def encode(key: Key, list_name: str) -> str:
    """Return the cursor of the page behind `key`: URL-safe characters."""
    body = json.dumps(key, separators=(",", ":"), ensure_ascii=False).encode()
    raw = body + _check(body, list_name)
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def decode(text: str, list_name: str, kinds: Sequence[type]) -> Key:
    """Read a cursor back. Raises InvalidCursorError unless it was made for this list."""
    if len(text) > MAX_CURSOR_CHARS:
        raise InvalidCursorError(_EXPECTED)
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        body, check = raw[:-_CHECK_BYTES], raw[-_CHECK_BYTES:]
        key: Any = json.loads(body)
    except (ValueError, RecursionError):  # also UnicodeError, JSONDecodeError, binascii.Error
        raise InvalidCursorError(_EXPECTED) from None
    if check != _check(body, list_name):
        raise InvalidCursorError(_FOREIGN)
    if (
        not isinstance(key, list)
        or [type(part) for part in key] != list(kinds)
        or not all(is_storable(part) for part in key if isinstance(part, str))
    ):
        raise InvalidCursorError(_EXPECTED)
    return tuple(key)


def _check(body: bytes, list_name: str) -> bytes:
    name = list_name.encode()
    return hashlib.sha256(len(name).to_bytes(4, "big") + name + body).digest()[:_CHECK_BYTES]
