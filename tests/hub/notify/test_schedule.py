"""Retries follow the schedule of the spec, and an answer means what its channel says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from radar_audit_hub.notify.sending.schedule import (
    MAX_ATTEMPTS,
    MAX_RETRY_AFTER_MS,
    next_due_ms,
    rest_ms,
)
from radar_audit_hub.notify.sending.verdict import retry_after_ms, verdict

HOUR_MS = 3_600_000
NOW_MS = 1_795_000_000_000  # Wed, 18 Nov 2026 11:06:40 GMT


def test_schedule_is_that_of_the_spec() -> None:
    pauses = [next_due_ms(number, 0, 0.0, None) for number in range(1, 10)]
    seconds = [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400]
    assert pauses == [1000 * one for one in seconds]
    assert next_due_ms(10, 0, 0.0, None) is None
    assert next_due_ms(11, 0, 0.0, None) is None


@given(
    st.integers(1, MAX_ATTEMPTS - 1),
    st.floats(0, 1, exclude_max=True),
    st.none() | st.integers(0, 10**15),
)
def test_pause_is_never_shorter_than_asked_and_never_without_end(
    number: int, luck: float, asked: int | None
) -> None:
    due = next_due_ms(number, NOW_MS, luck, asked)
    plain = next_due_ms(number, NOW_MS, 0.0, None)
    assert due is not None
    assert plain is not None
    assert due >= max(plain, NOW_MS + min(asked or 0, MAX_RETRY_AFTER_MS))
    assert due <= NOW_MS + 27 * HOUR_MS


@given(st.integers(1, 10**6), st.none() | st.integers(0, 10**15))
def test_rest_is_a_minute_or_the_hour_that_was_asked_for_at_most(
    failures: int, asked: int | None
) -> None:
    assert 1000 <= rest_ms(failures, None) <= 60_000
    assert rest_ms(failures, asked) <= HOUR_MS


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (None, None), ("120", 120_000), ("0", 0), ("99999999999999", 999_999_999_000), ("-1", None),
        ("soon", None), ("", None), ("1.5", None), ("Wed, 18 Nov 2026 11:07:40 GMT", 60_000),
        ("Wed, 18 Nov 2020 11:06:40 GMT", None), ("Wed, 99 Nov 2026 11:06:40 GMT", None),
    ],
)  # fmt: skip
def test_retry_after_is_read_as_seconds_or_a_date(text: str | None, wanted: int | None) -> None:
    assert retry_after_ms(text, NOW_MS) == wanted


@given(st.text(max_size=60))
def test_no_retry_after_breaks_a_delivery(text: str) -> None:
    found = retry_after_ms(text, NOW_MS)
    assert found is None or found >= 0


@pytest.mark.parametrize(
    ("kind", "status", "body", "wanted"),
    [
        ("webhook", 200, b"", "delivered"), ("webhook", 204, b"", "delivered"),
        ("webhook", 301, b"", "retry"), ("webhook", 400, b"", "retry"),
        ("webhook", 401, b"", "retry"), ("webhook", 404, b"no_service", "retry"),
        ("webhook", 410, b"", "gone"), ("webhook", 429, b"", "retry"),
        ("webhook", 503, b"", "retry"),
        ("slack", 200, b"ok", "delivered"), ("slack", 400, b"invalid_blocks", "failed"),
        ("slack", 404, b"no_service", "gone"), ("slack", 404, b"channel_not_found", "retry"),
        ("slack", 410, b"channel_is_archived", "gone"), ("slack", 429, b"", "retry"),
        ("teams", 202, b"", "delivered"), ("teams", 410, b"", "gone"), ("teams", 502, b"", "retry"),
        ("pagerduty", 202, b"", "delivered"), ("pagerduty", 400, b"", "failed"),
        ("pagerduty", 410, b"", "retry"), ("pagerduty", 429, b"", "retry"),
        ("pagerduty", 500, b"", "retry"),
    ],
)  # fmt: skip
def test_status_means_what_the_channel_says(
    kind: str, status: int, body: bytes, wanted: str
) -> None:
    found = verdict(kind, status, {}, body, NOW_MS)
    assert found.result == wanted
    assert (found.error is None) == (wanted == "delivered")
