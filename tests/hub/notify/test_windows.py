"""Quiet hours by the wall clock, also when it is set; digests on their grid; throttles by time."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from radar_audit_events.policy_wire import QuietHours
from radar_audit_hub.notify.windows import digest_end, quiet_until, reopens_at, still_counting

BERLIN = "Europe/Berlin"
ZONES = ("UTC", BERLIN, "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Cairo")
HOUR_MS = 3_600_000
clocks = st.builds(lambda h, m: f"{h:02d}:{m:02d}", st.integers(0, 23), st.integers(0, 59))
quiets = st.builds(
    lambda a, b, zone: QuietHours(from_time=a, to_time=b, time_zone=zone),
    clocks,
    clocks,
    st.sampled_from(ZONES),
).filter(lambda quiet: quiet.from_time != quiet.to_time)
instants = st.integers(1_700_000_000_000, 1_900_000_000_000)


def ms(text: str, zone: str = "UTC") -> int:
    """Return the Unix ms of a local time; the first of two that are equal."""
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


def until(quiet: QuietHours, at_ms: int) -> str | None:
    """Return the end as UTC text."""
    end = quiet_until(quiet, at_ms)
    return None if end is None else datetime.fromtimestamp(end / 1000, UTC).isoformat()[:16]


def night(zone: str = "UTC", begins: str = "22:00", ends: str = "06:00") -> QuietHours:
    """Return quiet hours over midnight."""
    return QuietHours(from_time=begins, to_time=ends, time_zone=zone)


@pytest.mark.parametrize(
    ("at", "end"),
    [
        ("2026-11-18T21:59", None),
        ("2026-11-18T22:00", "2026-11-19T06:00"),
        ("2026-11-19T00:00", "2026-11-19T06:00"),
        ("2026-11-19T05:59", "2026-11-19T06:00"),
        ("2026-11-19T06:00", None),
    ],
)
def test_quiet_hours_over_midnight_are_half_open(at: str, end: str | None) -> None:
    assert until(night(), ms(at)) == end


def test_quiet_hours_within_a_day() -> None:
    lunch = night(begins="12:00", ends="13:30")
    assert until(lunch, ms("2026-11-18T12:30")) == "2026-11-18T13:30"
    assert until(lunch, ms("2026-11-18T13:30")) is None


def test_quiet_night_is_an_hour_shorter_when_the_clock_is_set_forward() -> None:
    quiet = night(BERLIN)
    begins = ms("2026-03-28T22:00", BERLIN)
    end = quiet_until(quiet, begins)
    assert end is not None
    assert end - begins == 7 * HOUR_MS
    assert until(quiet, begins) == "2026-03-29T04:00"


def test_quiet_night_is_an_hour_longer_when_the_clock_is_set_back() -> None:
    quiet = night(BERLIN)
    begins = ms("2026-10-24T22:00", BERLIN)
    end = quiet_until(quiet, begins)
    assert end is not None
    assert end - begins == 9 * HOUR_MS


def test_end_that_does_not_exist_is_as_if_the_clock_had_not_been_set() -> None:
    assert until(night(BERLIN, ends="02:30"), ms("2026-03-28T23:00", BERLIN)) == "2026-03-29T01:30"


def test_end_that_comes_twice_is_the_second() -> None:
    assert until(night(BERLIN, ends="02:30"), ms("2026-10-25T00:30", BERLIN)) == "2026-10-25T01:30"


def test_start_that_comes_twice_is_the_first() -> None:
    quiet = night(BERLIN, begins="02:30", ends="04:00")
    first = ms("2026-10-25T02:30", BERLIN)
    assert until(quiet, first) == "2026-10-25T03:00"
    assert until(quiet, first - 1) is None


def test_zone_that_is_not_known_here_is_utc() -> None:
    assert until(night("Mars/Olympus"), ms("2026-11-18T23:00")) == "2026-11-19T06:00"


@given(quiets, instants)
def test_quiet_hours_end_later_and_are_then_over(quiet: QuietHours, now_ms: int) -> None:
    end = quiet_until(quiet, now_ms)
    if end is None:
        return
    assert now_ms < end <= now_ms + 26 * HOUR_MS
    assert quiet_until(quiet, end) is None
    assert quiet_until(quiet, end - 1) == end


@given(quiets, instants)
def test_wall_clock_says_whether_it_is_quiet(quiet: QuietHours, now_ms: int) -> None:
    """But for the hours around a change of the clock."""
    zone = ZoneInfo(quiet.time_zone)
    local = datetime.fromtimestamp(now_ms / 1000, zone)
    offsets = {
        datetime.fromtimestamp(now_ms / 1000 + hours * 3600, zone).utcoffset()
        for hours in (-30, 0, 30)
    }
    if len(offsets) > 1:
        return
    clock = local.strftime("%H:%M")
    begins, ends = quiet.from_time, quiet.to_time
    inside = begins <= clock < ends if begins < ends else clock >= begins or clock < ends
    assert (quiet_until(quiet, now_ms) is not None) == inside


@given(instants, st.integers(60, 7 * 86_400))
def test_digest_ends_on_its_grid(now_ms: int, seconds: int) -> None:
    end = digest_end(now_ms, seconds)
    assert now_ms < end <= now_ms + seconds * 1000
    assert end % (seconds * 1000) == 0


def test_throttle_counts_its_window_alone_and_reopens_with_its_oldest() -> None:
    assert still_counting([1, 100, 200, 999], 100, 200) == [200, 200]
    assert reopens_at([300, 100, 200], 2, 1000) == 1200
