"""Identifiers and times of the log.

Owns ULID coding, prefixed ids, the RFC 3339 form of times and the source key
that makes a captured event the same event from every source. Called by every
part. Never reads a clock and never draws randomness: both are arguments.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from functools import lru_cache

from .errors import IdError, TimeError

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32, as in the ULID spec
_DECODE = {c: i for i, c in enumerate(_ALPHABET)}
_PAIRS = [a + b for a in _ALPHABET for b in _ALPHABET]
_ULID_CHARS = 26
_DAY_MS = 86_400_000
# The pieces of a time of day in our own form. Every row's time is written for its leaf and for
# every answer, and read from every batch: looking pieces up takes a third of formatting them.
_MINUTES = [f"{minute // 60:02d}:{minute % 60:02d}:" for minute in range(1440)]
_SECONDS = [f"{second:02d}." for second in range(60)]
_THOUSANDTHS = [f"{ms:03d}Z" for ms in range(1000)]
_MINUTE_MS = {text: minute * 60_000 for minute, text in enumerate(_MINUTES)}
_SECOND_MS = {text: second * 1000 for second, text in enumerate(_SECONDS)}
_THOUSANDTH_MS = {text: ms for ms, text in enumerate(_THOUSANDTHS)}
MAX_MS = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z, the last instant RFC 3339 can write
_MAX_ULID_MS = 2**48 - 1

EVENT_PREFIX = "ae_"
_EVENT_ID = re.compile(r"^ae_[0-7][0-9A-HJKMNP-TV-Z]{25}\Z")
_OPAQUE = re.compile(r"^(org|user|cl)_[A-Za-z0-9_]{1,60}\Z")
_TIME = re.compile(
    r"^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)\Z",
    re.ASCII,
)


def ulid(time_ms: int, random: bytes) -> str:
    """Encode 48 bits of Unix milliseconds and 10 random bytes as 26 characters.

    Raises IdError if the time does not fit or `random` is not 10 bytes.
    """
    if not 0 <= time_ms <= _MAX_ULID_MS:
        raise IdError("a ULID holds times from 0 to 2**48-1 milliseconds")
    if len(random) != 10:
        raise IdError("a ULID holds exactly 10 random bytes")
    # Spelled out, ten bits at a time: every event that comes in is given an id.
    n, pairs = int.from_bytes(random, "big"), _PAIRS
    return (
        _time_chars(time_ms)
        + pairs[n >> 70]
        + pairs[n >> 60 & 0x3FF]
        + pairs[n >> 50 & 0x3FF]
        + pairs[n >> 40 & 0x3FF]
        + pairs[n >> 30 & 0x3FF]
        + pairs[n >> 20 & 0x3FF]
        + pairs[n >> 10 & 0x3FF]
        + pairs[n & 0x3FF]
    )


def ulid_time_ms(text: str) -> int:
    """Return the Unix milliseconds of a 26-character ULID. Raises IdError."""
    if len(text) != _ULID_CHARS or text[0] > "7":
        raise IdError("a ULID is 26 Crockford characters and begins with 0-7")
    value = 0
    for char in text:
        digit = _DECODE.get(char)
        if digit is None:
            raise IdError("a ULID has only the characters 0-9 A-Z without I L O U")
        value = (value << 5) | digit
    return value >> 80


def new_id(prefix: str, time_ms: int, random: bytes) -> str:
    """Return `prefix` (with its underscore, e.g. `org_`) and a ULID. Raises IdError."""
    return prefix + ulid(time_ms, random)


def event_id(time_ms: int, random: bytes) -> str:
    """Return the `ae_` id of an event created at `time_ms`. Raises IdError."""
    return EVENT_PREFIX + ulid(time_ms, random)


def event_time_ms(identifier: str) -> int:
    """Return the creation time that an `ae_` id carries. Raises IdError."""
    if not identifier.startswith(EVENT_PREFIX):
        raise IdError("an event id begins with ae_")
    return ulid_time_ms(identifier[len(EVENT_PREFIX) :])


def carries_time(identifier: str, time_ms: int) -> bool:
    """Tell whether `identifier` is a well-formed `ae_` id whose time is `time_ms`."""
    return _EVENT_ID.match(identifier) is not None and identifier[3:13] == _time_chars(time_ms)


def _time_chars(time_ms: int) -> str:
    return f"{_high_chars(time_ms >> 20)}{_PAIRS[time_ms >> 10 & 0x3FF]}{_PAIRS[time_ms & 0x3FF]}"


@lru_cache(maxsize=4096)
def _high_chars(high: int) -> str:
    """Return the six characters that change every 17 minutes."""
    return _PAIRS[high >> 20 & 0x3FF] + _PAIRS[high >> 10 & 0x3FF] + _PAIRS[high & 0x3FF]


def floor_id(time_ms: int) -> str:
    """Return the smallest event id of a millisecond: a time range is an id range."""
    return event_id(min(max(time_ms, 0), MAX_MS), b"\0" * 10)


def is_opaque_id(kind: str, text: str) -> bool:
    """Tell whether `text` is an acceptable id of kind org, user or cl (ours or Radar Cloud's)."""
    match = _OPAQUE.match(text)
    return match is not None and match.group(1) == kind


def source_key(cluster_id: str, session_id: str, kind: str) -> bytes:
    """Return the 80 bits that name one captured fact: 10 bytes of SHA-256.

    The same for every source of one session, so that the store's unique key
    keeps the first arrival. `kind` is started, ended, assumed or denied.
    Fields are length-framed, so no two triples share an encoding.
    """
    framed = _framed(cluster_id) + _frame(session_id) + _framed(kind)
    return hashlib.sha256(framed).digest()[:10]


def _frame(part: str) -> bytes:
    raw = part.encode("utf-8", "surrogatepass")
    return len(raw).to_bytes(4, "big") + raw


_framed = lru_cache(maxsize=4096)(_frame)  # few clusters and kinds, many sessions


def format_ms(time_ms: int) -> str:
    """Write Unix milliseconds as RFC 3339 in UTC with three decimals. Raises TimeError."""
    if not 0 <= time_ms <= MAX_MS:
        raise TimeError("a time must lie between 1970 and 9999")
    day, rest_ms = divmod(time_ms, _DAY_MS)
    minute, rest_ms = divmod(rest_ms, 60_000)
    return _day(day) + _MINUTES[minute] + _SECONDS[rest_ms // 1000] + _THOUSANDTHS[rest_ms % 1000]


@lru_cache(maxsize=4096)
def _day(day: int) -> str:
    return f"{datetime.fromtimestamp(day * 86_400, UTC):%Y-%m-%dT}"


@lru_cache(maxsize=4096)
def _day_ms(text: str) -> int:
    """Read `2026-11-24T`; KeyError for all that is not exactly a day as `format_ms` writes it."""
    try:
        day = datetime.strptime(text, "%Y-%m-%dT").replace(tzinfo=UTC)
    except ValueError:
        raise KeyError from None
    time_ms = int(day.timestamp()) * 1000
    if time_ms < 0 or _day(time_ms // _DAY_MS) != text:
        raise KeyError
    return time_ms


def parse_us(text: str) -> int:
    """Read an RFC 3339 time as Unix microseconds, cutting finer digits. Raises TimeError."""
    match = _TIME.match(text)
    if match is None:
        raise TimeError("a time is written as RFC 3339, e.g. 2026-11-24T10:00:00Z")
    year, month, day, hour, minute, second = (int(g) for g in match.groups()[:6])
    fraction = (match.group(7) or "").ljust(6, "0")[:6]
    zone = match.group(8)
    offset_minutes = 0
    if zone not in "Zz":
        sign = -1 if zone[0] == "-" else 1
        if int(zone[1:3]) > 23 or int(zone[4:6]) > 59:
            raise TimeError("a zone offset is at most 23:59")
        offset_minutes = sign * (int(zone[1:3]) * 60 + int(zone[4:6]))
    try:
        # A leap second (60) is read as the next second, as RFC 3339 readers commonly do.
        base = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC)
    except ValueError as exc:
        raise TimeError("a part of the time is out of its range") from exc
    if second > 60:
        raise TimeError("seconds go from 00 to 60")
    whole = int(base.timestamp()) + (1 if second == 60 else 0) - offset_minutes * 60
    result = whole * 1_000_000 + int(fraction)
    if not 0 <= result <= MAX_MS * 1000 + 999:
        raise TimeError("a time must lie between 1970 and 9999")
    return result


def parse_ms(text: str) -> int:
    """Read an RFC 3339 time as Unix milliseconds, cutting finer digits. Raises TimeError."""
    try:
        return (
            _day_ms(text[:11])
            + _MINUTE_MS[text[11:17]]
            + _SECOND_MS[text[17:20]]
            + _THOUSANDTH_MS[text[20:]]
        )
    except KeyError:  # another of the forms that RFC 3339 allows, or none
        pass
    return parse_us(text) // 1000
