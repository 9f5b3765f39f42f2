"""Lengths, numbers and times as the fields of a settings' form hold them, and read back: pure.

Owns both directions, so that what nobody touched in a form is saved as it was. Called by the forms
of this folder. Never knows a clock or a bound of the API's.
"""

from __future__ import annotations

import re
from zoneinfo import ZoneInfo

from radar_audit_events.errors import FieldError
from radar_audit_events.ids import format_ms, parse_ms

from radar_audit_hub.errors import InvalidBodyError
from radar_audit_hub.web import zones
from radar_audit_hub.web.forms import Form

_MINUTES = re.compile(r"^[0-9]{1,6}(\.[0-9]{1,2})?\Z")
_MAX_DIGITS = 6


def minutes_text(seconds: int) -> str:
    """Return a length in minutes, such as 1.5: exact enough for every second to be read back."""
    return f"{seconds / 60:.2f}".rstrip("0").rstrip(".")


def seconds_of(form: Form, name: str) -> int:
    """Return the seconds that a field's minutes are. Raises InvalidBodyError."""
    text = form.text(name)
    if not _MINUTES.match(text):
        raise InvalidBodyError([FieldError(name, "must be a number of minutes such as 5 or 1.5")])
    return round(float(text) * 60)


def whole(form: Form, name: str) -> int:
    """Return a field's whole number. Raises InvalidBodyError."""
    text = form.text(name)
    if text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS:
        return int(text)
    raise InvalidBodyError([FieldError(name, "must be a whole number")])


def lines(form: Form, name: str) -> list[str]:
    """Return what stands in a field of several lines: one in a line, or between commas."""
    text = form.text(name).replace(",", "\n")
    return [line.strip() for line in text.splitlines() if line.strip()]


def time_text(time: str | None, zone: ZoneInfo) -> str:
    """Return a time (RFC 3339) as a field for date and time holds it, empty for None."""
    return zones.field_text(None if time is None else parse_ms(time), zone)


def time_of(form: Form, name: str, zone: ZoneInfo, before: str | None = None) -> str | None:
    """Return a field's time (RFC 3339), None for an empty one; `before` if it still says that.

    Raises InvalidBodyError.
    """
    text = form.text(name)
    if not text:
        return None
    if text == time_text(before, zone):  # the field leaves out parts of a second
        return before
    try:
        return format_ms(zones.field_time(text, zone))
    except ValueError as error:
        raise InvalidBodyError([FieldError(name, str(error))]) from None


def is_ahead(time: str | None, now_ms: int) -> bool:
    """Tell whether a time (RFC 3339) is later than now (Unix ms); None never is."""
    return time is not None and parse_ms(time) > now_ms
