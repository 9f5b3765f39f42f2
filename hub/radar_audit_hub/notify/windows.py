"""Times that decide when a message may go out: pure functions of `now`.

Owns quiet hours with their zones, the grid of digests, and what a throttle or a threshold makes
of a row of times. Called by the judging of rules and of Radar's own kinds. All times are Unix
milliseconds. Never reads a clock, and never drops anything: it says until when something waits.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from radar_audit_events.policy_wire import QuietHours

_DAY = timedelta(days=1)


def quiet_until(quiet: QuietHours | None, now_ms: int) -> int | None:
    """Return when the quiet hours end in which `now_ms` lies, None outside of them.

    They are times of the wall clock. Where it is set forward over one, that time is taken as if
    it had not been (02:30 is 03:30), as RFC 5545 says; where it is set back, they begin with the
    first and end with the second of the two equal times, so that they are never the shorter.
    A zone that this machine does not know, though another did, is taken as UTC.
    """
    if quiet is None:
        return None
    zone = _zone(quiet.time_zone)
    begins, ends = time.fromisoformat(quiet.from_time), time.fromisoformat(quiet.to_time)
    day = datetime.fromtimestamp(now_ms / 1000, zone).date()
    for first in (day - _DAY, day):
        last = first if begins < ends else first + _DAY
        start_ms = _instant_ms(first, begins, zone, 0)
        end_ms = max(_instant_ms(last, ends, zone, fold) for fold in (0, 1))
        if start_ms <= now_ms < end_ms:
            return end_ms
    return None


@lru_cache(maxsize=1024)
def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


def _instant_ms(day: date, clock: time, zone: tzinfo, fold: int) -> int:
    local = datetime.combine(day, clock.replace(fold=fold), zone)
    return round(local.astimezone(UTC).timestamp() * 1000)


def digest_end(now_ms: int, seconds: int) -> int:
    """Return the end of the digest in which `now_ms` lies: a multiple of its length in UTC."""
    length_ms = seconds * 1000
    return (now_ms // length_ms + 1) * length_ms


def still_counting(times_ms: Sequence[int], length_ms: int, now_ms: int) -> list[int]:
    """Return those of the times that a window of `length_ms` which ends now holds.

    One of the future, from before a clock was set back, counts as now.
    """
    return [min(at, now_ms) for at in times_ms if at > now_ms - length_ms]


def reopens_at(sent_ms: Sequence[int], at_most: int, length_ms: int) -> int:
    """Return when a throttle lets the next message pass that has let `at_most` or more pass."""
    return sorted(sent_ms)[-at_most] + length_ms
