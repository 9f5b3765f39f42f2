"""Times as people type and read them.

Owns the reading of `--from`, `--to` and `--expires`, and the writing of an event's time in
the local zone or in UTC. Called by the filter options and the table columns.
Never reads a clock: `now_ms` is an argument.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

from radar_audit_events.errors import TimeError
from radar_audit_events.ids import MAX_MS, format_ms, parse_ms

from .errors import ArgumentError

_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_LENGTH = re.compile(r"([1-9]\d{0,4})([hd])")
_DAY_MS = 24 * 60 * 60 * 1000
_UNITS_MS = {"h": 60 * 60 * 1000, "d": _DAY_MS}
RANGES_MS = {"24h": _DAY_MS, "7d": 7 * _DAY_MS, "30d": 30 * _DAY_MS}  # contract: `range`


def lower_bound(text: str, option: str) -> str:
    """Return the RFC 3339 instant of `text`: a time, or a date, which begins at 00:00 UTC.

    Raises ArgumentError that names `option`.
    """
    return format_ms(_read(text, option))


def upper_bound(text: str, option: str) -> str:
    """Return the exclusive RFC 3339 end of `text`: a time, or a date, which is meant whole.

    Raises ArgumentError that names `option`.
    """
    end_ms = _read(text, option)
    if _DATE.fullmatch(text):
        end_ms = min(end_ms + _DAY_MS, MAX_MS)
    return format_ms(end_ms)


def _read(text: str, option: str) -> int:
    try:
        return parse_ms(f"{text}T00:00:00Z" if _DATE.fullmatch(text) else text)
    except TimeError as exc:
        raise ArgumentError(
            f"{option} {text!r} is neither a date nor an RFC 3339 time",
            hint="write 2026-11-24 (a whole day in UTC) or 2026-11-24T10:00:00Z",
        ) from exc


def later_instant(text: str, option: str, now_ms: int) -> str:
    """Return the RFC 3339 instant of `text`: a length from now on, or as `upper_bound`.

    Raises ArgumentError that names `option`, also for what is past at `now_ms` (Unix ms).
    """
    length = _LENGTH.fullmatch(text)
    if length is not None:
        return format_ms(now_ms + int(length.group(1)) * _UNITS_MS[length.group(2)])
    try:
        found = upper_bound(text, option)
    except ArgumentError as exc:
        exc.hint = "write 90d, 12h, 2026-12-31 (its end, UTC) or 2026-12-31T10:00:00Z"
        raise
    if parse_ms(found) <= now_ms:
        raise ArgumentError(f"{option} {text!r} is past")
    return found


def range_start(name: str, now_ms: int) -> str:
    """Return the RFC 3339 instant at which the range `name` (a key of RANGES_MS) began."""
    return format_ms(max(now_ms - RANGES_MS[name], 0))


def shown_time(text: str, *, utc: bool, fine: bool = False) -> str:
    """Write an RFC 3339 time for people, in the local zone unless `utc`.

    `fine` adds milliseconds and the offset. A text that is no time, or that
    the local zone cannot express, comes back as it is.
    """
    try:
        stamp_ms = parse_ms(text)
        moment = datetime.fromtimestamp(stamp_ms / 1000, UTC)
        local = moment if utc else moment.astimezone()
    except (TimeError, OverflowError, OSError, ValueError):
        return text
    if not fine:
        return f"{local:%Y-%m-%d %H:%M:%S}"
    return f"{local:%Y-%m-%d %H:%M:%S}.{stamp_ms % 1000:03d}{local:%z}"


def zone_name(*, utc: bool) -> str:
    """Return the name of the zone in which `shown_time` writes, for a column's title."""
    if utc:
        return "UTC"
    names = time.tzname if time.daylight else time.tzname[:1]
    return "/".join(dict.fromkeys(names))


def duration(milliseconds: int) -> str:
    """Write a length of time as people say it: `42.1s`, `3m05s`, `2h14m`."""
    seconds = milliseconds / 1000
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m"
