"""Times as the reader's clock shows them: zones by name, and how times are written: pure.

Owns the words for times and durations, and the reading of a form's fields for them. Called by the
pages. Never reads a clock, and never knows whose zone it is: `zone_cookie.py` does.
"""

from __future__ import annotations

import re
import zoneinfo
from datetime import UTC, datetime
from functools import cache
from zoneinfo import ZoneInfo

from radar_audit_events.ids import MAX_MS, format_ms

_NAME = re.compile(r"^[A-Za-z][A-Za-z0-9_+/-]{0,63}\Z")
_LOCAL = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,3})?)?\Z", re.ASCII)
UTC_ZONE = "UTC"


@cache
def names() -> tuple[str, ...]:
    """Return the names of all zones that people live in, in order."""
    odd = ("Etc/", "SystemV/", "US/", "posix", "right/")
    found = (name for name in zoneinfo.available_timezones() if not name.startswith(odd))
    return tuple(sorted(name for name in found if "/" in name or name == UTC_ZONE))


def is_zone(name: str) -> bool:
    """Tell whether a text is the name of a zone."""
    return _NAME.match(name) is not None and name in _known()


@cache
def _known() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())


def zone_named(name: str) -> ZoneInfo:
    """Return the zone of this name, UTC for a text that is none's."""
    known = _NAME.match(name) is not None and name in _known()
    return ZoneInfo(name if known else UTC_ZONE)


def local(time_ms: int, zone: ZoneInfo) -> datetime:
    """Return a time (Unix ms) on the zone's clock."""
    found = datetime.fromtimestamp(min(max(time_ms, 0), MAX_MS) / 1000, UTC)
    try:
        return found.astimezone(zone)
    except OverflowError:  # muted to the end of 9999, which is in the year after it there
        return datetime.max.replace(tzinfo=zone)


def written(time_ms: int, zone: ZoneInfo) -> str:
    """Return a time to the second, such as 24 Nov 2026, 10:00:00."""
    found = local(time_ms, zone)
    return f"{found.day} {found:%b %Y, %H:%M:%S}"


def field_text(time_ms: int | None, zone: ZoneInfo) -> str:
    """Return a time as a form's field for date and time holds it, empty for None."""
    if time_ms is None:
        return ""
    found = local(time_ms, zone)
    return found.strftime("%Y-%m-%dT%H:%M" if time_ms % 60_000 == 0 else "%Y-%m-%dT%H:%M:%S")


def is_field_text(text: str) -> bool:
    """Tell whether a form's field for date and time can hold a text."""
    return _LOCAL.match(text) is not None


def field_time(text: str, zone: ZoneInfo) -> int:
    """Read such a field as Unix ms. Raises ValueError that says what would be right."""
    try:
        if not is_field_text(text):
            raise ValueError
        found = datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()
    except (ValueError, OverflowError):
        raise ValueError("must be a date and a time such as 2026-11-24T10:00") from None
    if not 0 <= found * 1000 <= MAX_MS:
        raise ValueError("must be a time between 1970 and 9999")
    return round(found * 1000)


def utc(time_ms: int) -> str:
    """Return a time to the millisecond, such as 2026-11-24 09:00:00.000 UTC."""
    return format_ms(time_ms).replace("T", " ").replace("Z", " UTC")


def ago(length_ms: int) -> str:
    """Return how long ago something was, in its largest unit, such as 12 min ago."""
    for name, size_ms in (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000)):
        if length_ms >= size_ms:
            return f"{length_ms // size_ms:,} {name} ago"
    return "just now"


def duration(length_ms: int) -> str:
    """Return a length of time in its two largest units, such as 12 min 3 s."""
    seconds = length_ms // 1000
    if seconds < 1:
        return f"{length_ms} ms"
    units = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))
    parts: list[str] = []
    for name, size in units:
        count, seconds = divmod(seconds, size)
        if count or parts:
            parts.append(f"{count} {name}" if count else "")
    return " ".join(part for part in parts[:2] if part)
